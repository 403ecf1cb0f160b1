"""`agi-lookup replay`: what other decks and rules would have made of past calls, with nobody asked."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from agi_lookup.calls.file import CALLS_FILE, CallFile, Reported
from agi_lookup.calls.options import CallLogOptions, NumbersKept
from agi_lookup.domain.model import ALLOW
from agi_lookup.routing.rates import Kind, Rate, Tariff
from agi_lookup.routing.store import Store
from tests.in_process import Command, runner
from tests.past_calls.deck_store import imported
from tests.past_calls.logged import NOW, NUMBER, OTHER, call, result
from tests.past_calls.test_known import cached
from tests.processes import CLI, Site, make_site

CENT = 10**7
TRUNKS = {
    "acme": {"vendor": "acme", "dial": "PJSIP/{number}@acme", "max_calls": 1},
    "bravo": {"vendor": "bravo", "dial": "PJSIP/{number}@bravo"},
}
MASTER = (
    '"","100","07400123456","out","""A"" <100>","PJSIP/alice-00000001","PJSIP/acme-00000002","Dial","x",'
    '"2027-01-15 09:00:00","2027-01-15 09:00:05","2027-01-15 09:01:06",66,{billsec},"{disposition}","DOCUMENTATION","{id}",""\n'
)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Acme is the cheaper one by a cent."""
    site = make_site(tmp_path)
    site.data["routing"] = {"trunks": TRUNKS, "durations": [{"seconds": 60, "weight": 1}]}
    site.write()
    decks = store(site)
    for vendor, cents in (("acme", 1), ("bravo", 2)):
        imported(decks, vendor, [rate("44", cents)], NOW)
        decks.activate(vendor, None, NOW)
    return site


@pytest.fixture
def replay(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return runner("replay", site, monkeypatch, capsys)


def store(site: Site) -> Store:
    return Store(Path(site.data["state_dir"]) / "decks")


def rate(prefix: str, cents: int, first_s: int = 1, next_s: int = 1) -> Rate:
    return Rate(Kind.PREFIX, prefix, Tariff("EUR", cents * CENT, 0, first_s, next_s))


def master(site: Site, *calls: tuple[int, str]) -> str:
    """Calls by billsec and disposition."""
    path = site.folder / "Master.csv"
    path.write_text("".join(MASTER.format(billsec=s, disposition=d, id=n) for n, (s, d) in enumerate(calls)))
    return str(path)


def other_config(site: Site, **changed: Any) -> str:
    path = site.folder / "new.yaml"
    path.write_text(yaml.safe_dump(site.data | changed))
    return str(path)


def log_calls(site: Site, *rows: Any, numbers: NumbersKept = NumbersKept.MASKED) -> None:
    log = CallFile(Path(site.data["state_dir"]) / CALLS_FILE, CallLogOptions(numbers=numbers))
    log.open()
    log.write(rows)
    log.close()


def allowed(**said: Any) -> Any:
    return call(**({"verdict": ALLOW} | said))


def blocking(**when: Any) -> dict[str, Any]:
    return {"rules": [{"name": "no", "action": "block", "mode": "enforce", "when": when}]}


def test_a_new_deck_moves_calls_and_costs_by_its_increments(site: Site, replay: Command) -> None:
    new = imported(store(site), "acme", [rate("44", 3, 60, 60)], NOW + 1)
    file = master(site, (61, "ANSWERED"), (0, "NO ANSWER"))

    done = replay(file, "--deck", f"acme={new}", "--json")

    assert done.returncode == 0
    assert (done.json["calls"], done.json["rerouted"]) == (2, 2)
    assert done.json["rerouted_most"] == [{"before": "acme", "after": "bravo", "calls": 2}]
    assert done.json["before"]["cost"] == {"EUR": "0.010167"}  # 61 s at 0.01 a minute, second by second
    assert done.json["after"]["cost"] == {"EUR": "0.020333"}
    assert store(site).live()["acme"][0] != new


def test_a_deck_counts_with_the_rates_in_force_when_the_call_was_made(site: Site, replay: Command) -> None:
    began = 1_800_003_600.0  # 2027-01-15 09:00 UTC
    imported(store(site), "acme", [rate("44", 5)._replace(end=began), rate("44", 1)._replace(start=began)], NOW + 1)

    same = replay(master(site, (60, "ANSWERED")), "--deck", "acme", "--json").json
    east = replay(master(site, (60, "ANSWERED")), "--deck", "acme", "--zone", "Europe/Paris", "--json").json

    assert (same["rerouted"], same["after"]["cost"]) == (0, {"EUR": "0.010000"})
    assert (east["rerouted"], east["after"]["cost"]) == (1, {"EUR": "0.020000"})


def test_a_new_rule_blocks_and_tells_of_the_calls_that_were_answered(site: Site, replay: Command) -> None:
    new = other_config(site, policy=blocking(country="GB"))
    out = site.folder / "out.csv"

    shown = replay(master(site, (60, "ANSWERED"), (0, "BUSY")), "--config", new, "-o", str(out), "--json").json

    assert (shown["newly_blocked"], shown["after"]["blocked"], shown["after"]["answered_blocked"]) == (2, 2, 1)
    assert shown["rules"] == [{"rule": "no", "before": 0, "after": 2}]
    assert shown["after"]["cost"] == {}
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [(row["channel"], row["change"], row["after_action"], row["before_trunk"]) for row in rows] == [
        ("0", "newly_blocked", "block", "acme"),
        ("1", "newly_blocked", "block", "acme"),
    ]
    assert "123456" not in out.read_text()


def test_logged_calls_are_compared_with_what_they_were_told(site: Site, replay: Command) -> None:
    log_calls(site, allowed(), Reported(NOW + 70, "1.1", result()), call(OTHER, channel="2.2"))

    done = replay("--log", "--json")

    shown = done.json
    assert (done.returncode, shown["compared_with"], shown["leading_digits_only"]) == (0, "logged", 2)
    assert shown["before"]["cost"] == {"EUR": "0.012200"}  # 61 s at what a minute was expected to cost
    assert shown["before"]["blocked"] == 1
    assert (shown["after"]["blocked"], shown["after"]["would_block"], shown["unblocked"]) == (0, 2, 1)
    assert shown["after"]["cost"] == {"EUR": "0.020167"}  # and a usual minute for the call that was blocked
    assert shown["unknown_length"] == 1


def test_the_dead_number_that_was_logged_blocks_again_where_rules_say_so(site: Site, replay: Command) -> None:
    log_calls(site, allowed())

    shown = replay(
        "--log",
        "--config",
        other_config(site, policy={"dead_numbers": {"mode": "enforce"}}),
        "--before",
        "live",
        "--json",
    ).json

    assert (shown["before"]["blocked"], shown["after"]["blocked"]) == (0, 1)


def test_a_hashed_number_is_counted_and_not_guessed(site: Site, replay: Command) -> None:
    log_calls(site, allowed(), numbers=NumbersKept.HASHED)

    done = replay("--log", "--json")

    assert (done.returncode, done.json["calls"], done.json["skipped"]) == (1, 0, {"no_number": 1})


def test_lines_that_cannot_be_used_are_told_and_the_rest_counted(site: Site, replay: Command) -> None:
    path = site.folder / "calls.csv"
    bad = "".join(f"07400{n:06d},soon\n" for n in range(25))
    path.write_text(f"dst,calldate\n07400123456,2027-01-15T09:00:00Z\n{bad}112,2027-01-15 09:00:00\ns,1800003600\n")

    done = replay(str(path), "--config", other_config(site), "--json")

    assert (done.returncode, done.json["bad_rows"], done.json["calls"]) == (1, 25, 1)
    assert done.json["skipped"] == {"emergency": 1, "no_number": 1}
    errors = done.stderr.splitlines()
    assert len(errors) == 21
    assert errors[0].startswith(f"{path}:3: when the call began is no time")
    assert "07400" not in done.stderr


def test_networks_are_taken_from_the_cache(site: Site, replay: Command) -> None:
    cached(Path(site.data["state_dir"]) / "cache.sqlite", NUMBER)
    file = master(site, (60, "ANSWERED"))
    new = other_config(site, policy=blocking(mccmnc="23415"))

    assert replay(file, "--config", new, "--json").json["newly_blocked"] == 1
    assert replay(file, "--config", new, "--no-cache", "--json").json["newly_blocked"] == 0


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), "nothing is changed"),
        (("--deck", "acme=20270101T000000.000Z-00000000"), "acme: no version"),
        (("--deck", "nobody"), "nobody: no deck was imported"),
        (("--deck", "acme", "--zone", "Mars/Olympus"), "--zone: no time zone"),
        (("--deck", "acme", "--delimiter", ";;"), "--delimiter: give one character"),
        (("--deck", "acme", "--profile", "nobody"), "'nobody' is not under profiles"),
        (("--deck", "acme", "--column", "price=x"), "--column: write OURS=THEIRS"),
        (("--deck", "acme", "--column", "number=x"), "Master.csv:1: neither a line that names columns"),
        (("--before", "logged"), "--before logged: a file of calls does not say"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(site: Site, replay: Command, args: tuple[str, ...], says: str) -> None:
    done = replay(master(site, (60, "ANSWERED")), *args)

    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_deck_where_nothing_is_routed_is_a_mistake(site: Site, replay: Command) -> None:
    done = replay(master(site), "--deck", "acme", "--config", other_config(site, routing={}))

    assert (done.returncode, "no trunks under routing" in done.stderr) == (2, True)


def test_a_log_that_is_not_there_is_said_in_one_line(replay: Command) -> None:
    done = replay("--log")

    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    assert CALLS_FILE in done.stderr


def test_the_input_is_never_written_over(site: Site, replay: Command) -> None:
    file = master(site, (60, "ANSWERED"))

    done = replay(file, "--deck", "acme", "-o", file)

    assert (done.returncode, "that is the input" in done.stderr) == (2, True)


def test_standard_input_is_read(site: Site) -> None:
    calls = Path(master(site, (60, "ANSWERED"))).read_bytes()
    args = [*CLI, "--config", str(site.config), "replay", "-", "--deck", "acme", "--json"]

    done = subprocess.run(args, input=calls, capture_output=True, check=False, timeout=60)

    assert (done.returncode, json.loads(done.stdout)["calls"]) == (0, 1), done.stderr


def test_no_output_is_left_by_a_replay_that_failed(site: Site, replay: Command) -> None:
    out = site.folder / "out.csv"

    replay("--log", "-o", str(out))

    assert list(site.folder.glob("out.csv*")) == []


def test_the_report_reads_as_text(site: Site, replay: Command) -> None:
    imported(store(site), "acme", [rate("44", 3)], NOW + 1)

    text = replay(master(site, (60, "ANSWERED")), "--deck", "acme").stdout

    assert "1 call, none skipped" in text
    assert "acme > bravo: 1" in text
    assert "GB: 1 call, 1 rerouted, blocked 0 > 0, cost 0.010000 EUR > 0.020000 EUR" in text


OFFLINE = """
import sys
def watch(event, args):
    if event.startswith("socket."):
        raise SystemExit(f"{event} while replaying")
sys.addaudithook(watch)
from agi_lookup.cli import main
sys.argv = ["agi-lookup", *sys.argv[1:]]
try:
    main.main()
except SystemExit as ended:
    assert not ended.code, ended.code
asking = {"aiohttp", "agi_lookup.wiring", "agi_lookup.providers.http", "agi_lookup.lookup.link", "agi_lookup.lookup.chain"}
print(sorted(asking & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("source", ["file", "log"])
def test_no_provider_can_be_asked(site: Site, source: str) -> None:
    """No socket is made, and nothing that could ask is even imported, though the config has a provider that costs money."""
    provider = {"kind": "numberportabilitylookup", "base_url": "https://vendor.example", "user": "u", "password": "p"}
    site.data["providers"] = {"npl": provider}
    site.write()
    log_calls(site, allowed(identity=None, liveness=None))
    calls = ["--log"] if source == "log" else [master(site, (60, "ANSWERED"))]
    args = ["--config", str(site.config), "replay", *calls, "--deck", "acme", "--json"]

    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, *args], capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stderr.strip()) == (0, "[]"), done.stderr
    assert json.loads(done.stdout)["calls"] == 1
