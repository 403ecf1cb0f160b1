"""Many past calls, replayed by the command: the same each time, and whoever waits for it sees how far it is."""

from __future__ import annotations

import filecmp
import json
import os
import pty
import random
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from agi_lookup.routing.rates import Kind, Rate, Tariff
from agi_lookup.routing.store import Store
from tests.past_calls.deck_store import imported
from tests.past_calls.logged import NOW
from tests.processes import CLI, Site, make_site

COUNTRIES = ("1", "33", "34", "39", "44", "48", "49", "61", "91", "234")
VENDORS = ("acme", "bravo", "carol")
FEW = 2001
"""Progress is told every 2000 calls, the first among them: the last of these is the second time."""
MANY = 1_000_000
MASTER = (
    '"","100","{dialled}","out","""A"" <100>","PJSIP/alice-{n:08x}","PJSIP/acme-{n:08x}","Dial","PJSIP/x@acme,60",'
    '"{began:%Y-%m-%d %H:%M:%S}","","",{billsec},{billsec},"{disposition}","DOCUMENTATION","{n}.1",""\n'
)
BLOCKING = {"rules": [{"name": "no", "action": "block", "mode": "enforce", "when": {"country": "FR"}}]}
LENGTHS = [{"seconds": 60, "weight": 1}]
PERCENT = re.compile(rb"(\d+)%")


def dialled(draw: random.Random) -> str:
    chance = draw.random()
    if chance < 0.001:
        return draw.choice(("112", "999", "201", "*43", "s"))
    if chance < 0.7:
        return f"07{draw.randrange(400_000_000, 1_000_000_000)}"
    return f"00{draw.choice(COUNTRIES)}{draw.randrange(200_000_000, 1_000_000_000)}"


def write_calls(path: Path, count: int) -> None:
    """As Asterisk writes them to Master.csv, one a second."""
    draw = random.Random(1)
    with path.open("w") as file:
        for n in range(count):
            billsec = draw.choice((0, 0, draw.randrange(1, 120), draw.randrange(1, 1800)))
            file.write(
                MASTER.format(
                    n=n,
                    dialled=dialled(draw),
                    began=datetime.fromtimestamp(NOW + n, UTC),
                    billsec=billsec,
                    disposition="ANSWERED" if billsec else "NO ANSWER",
                )
            )


def rates(seed: str) -> list[Rate]:
    """Of each country, and of some thousand of its areas."""
    draw = random.Random(seed)
    areas = {f"{draw.choice(COUNTRIES)}{draw.randrange(1, 10_000)}" for _ in range(3000)}
    return [
        Rate(Kind.PREFIX, prefix, Tariff("EUR", draw.randrange(1, 500) * 10**5, 0, *draw.choice(((1, 1), (30, 6)))))
        for prefix in sorted(areas.union(COUNTRIES))
    ]


def with_decks(folder: Path) -> Site:
    """Three vendors' decks are live, and acme has a newer one."""
    site = make_site(folder)
    trunks = {vendor: {"vendor": vendor, "dial": f"PJSIP/{{number}}@{vendor}"} for vendor in VENDORS}
    site.data["routing"] = {"trunks": trunks, "durations": LENGTHS}
    site.write()
    store = Store(folder / "state" / "decks")
    for vendor in VENDORS:
        imported(store, vendor, rates(vendor), NOW)
        store.activate(vendor, None, NOW)
    imported(store, "acme", rates("newer"), NOW + 1)
    return site


def watched(command: list[str], stdout: Path, **environ: str) -> tuple[int, bytes]:
    """The exit status, and what a terminal shows meanwhile. Standard output goes to a file, so that it never waits for us."""
    theirs, ours = pty.openpty()
    with (
        stdout.open("wb") as file,
        subprocess.Popen(command, stdout=file, stderr=ours, env={**os.environ, "TERM": "xterm", **environ}) as process,
    ):
        os.close(ours)
        shown = b""
        while chunk := read(theirs):
            shown += chunk
    os.close(theirs)
    return process.returncode, shown


def read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # the other end is closed
        return b""


@pytest.mark.parametrize(
    "count",
    [
        FEW,
        pytest.param(
            MANY,
            marks=[
                pytest.mark.soak,
                pytest.mark.skipif("SOAK" not in os.environ, reason="minutes of CPU: make soak"),
                pytest.mark.timeout(3600),
            ],
        ),
    ],
)
def test_a_replay_is_the_same_each_time_and_shows_how_far_it_is(tmp_path: Path, count: int) -> None:
    """Byte by byte, report and rows, whatever hashes a process draws; and nothing but the report is on standard output."""
    site = with_decks(tmp_path)
    write_calls(tmp_path / "Master.csv", count)
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(site.data | {"policy": BLOCKING}))
    command = [*CLI, "--config", str(site.config), "replay", str(tmp_path / "Master.csv"), "--json"]
    command += ["--deck", "acme", "--config", str(tmp_path / "new.yaml"), "-o"]
    reports, rows = ([tmp_path / f"{turn}.{kind}" for turn in (1, 2)] for kind in ("json", "csv"))

    for turn in (0, 1):
        status, shown = watched([*command, str(rows[turn])], reports[turn], PYTHONHASHSEED=str(turn + 1))
        assert status == 0, shown[-2000:]
        assert b"replaying" in shown
        told = PERCENT.findall(shown)
        assert told[-1] == b"100"
        assert count == FEW or len(set(told)) > 10

    report: dict[str, Any] = json.loads(reports[0].read_bytes())
    assert report["calls"] + sum(report["skipped"].values()) == count
    assert min(report["rerouted"], report["newly_blocked"], report["calls"] - report["after"]["blocked"]) > 0
    for first, second in (reports, rows):
        assert filecmp.cmp(first, second, shallow=False)


def test_who_does_not_look_on_is_shown_no_progress(tmp_path: Path) -> None:
    site = with_decks(tmp_path)
    write_calls(tmp_path / "Master.csv", FEW)
    command = [*CLI, "--config", str(site.config), "replay", str(tmp_path / "Master.csv"), "--deck", "acme", "--json"]

    done = subprocess.run(command, capture_output=True, check=False, timeout=60)

    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["calls"] > 0
