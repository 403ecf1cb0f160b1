"""`agi-lookup league`: from real calls and results to who is worth his money, beside the server that logs them."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from agi_lookup.calls import by_number
from agi_lookup.calls.file import CALLS_FILE, CallFile, Reported
from agi_lookup.calls.options import CallLogOptions
from agi_lookup.calls.records import LookupRecord
from agi_lookup.calls.shape import SHAPE
from agi_lookup.domain.model import CacheState, Method, NumberType, Sourced
from agi_lookup.sim.asterisk import play
from agi_lookup.sim.asterisk_wire import Call
from tests.calls import UNIQUEID, Vendors, reachable, site_of, vendors
from tests.past_calls.logged import NOW, NUMBER, OTHER, VODAFONE, call, result
from tests.processes import Site, make_site

CALLS = 35
LIES = {"reachable": {"CONNECTED": "no"}, "reason": {"CONNECTED": "invalid_number"}, "valid": {"CONNECTED": "no"}}
"""How the liar's word for "reachable" is read."""


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Vendors]:
    with vendors(tmp_path) as running:
        yield running


def path_of(site: Site) -> Path:
    return Path(site.data["state_dir"]) / CALLS_FILE


def wait_for_rows(site: Site, **tables: int) -> None:
    """The log is written behind."""
    deadline = time.monotonic() + 20
    while True:
        with closing(sqlite3.connect(path_of(site))) as connection:
            found = {t: connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in tables}  # noqa: S608
        if found == tables:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


async def dial(site: Site, number: str, *options: str) -> str:
    """Look up, talk, report. Returns what was said of reachability."""
    told = (await play(Call((number, UNIQUEID, "-", *options)), "127.0.0.1", site.agi_port)).variables
    answered = Call(
        (number, UNIQUEID, "-", "trunk=acme", "dialstatus=ANSWER", "cause=16", "billsec=60"), script="result"
    )
    reported = (await play(answered, "127.0.0.1", site.agi_port)).variables
    assert reported["LOOKUP_RESULT_STATUS"] == "OK"
    return told["LOOKUP_REACHABLE"]


async def test_the_league_says_which_provider_lied(tmp_path: Path, sim: Vendors) -> None:
    """P19."""
    honest, liar = sim.blocks("npl"), sim.blocks("http_json", values=LIES)
    site = site_of(tmp_path, honest | {"liar": liar["http_json"]}, deadline_ms=8000)
    site.data["calls"] = {"enabled": True}
    site.data["profiles"]["default"]["sources"] = ["npl"]
    site.data["profiles"]["cheap"] = deepcopy(site.data["profiles"]["default"]) | {"sources": ["liar"]}
    site.write()
    numbers = [reachable(index) for index in range(CALLS)]
    with site.serve():
        said = [await dial(site, number, "profile=cheap") for number in numbers]
        said += [await dial(site, number, "fresh=yes") for number in numbers]
        said += [await dial(site, number) for number in numbers[:10]]
        wait_for_rows(site, lookup=2 * CALLS, result=2 * CALLS + 10)
        shown = site.json("league", "--sort", "false_dead")
        text = site.cli("league").stdout

    assert said == ["no"] * CALLS + ["yes"] * (CALLS + 10)
    rows = {row["provider"]: row for row in shown["rows"]}
    lied, told = rows["liar"], rows["npl"]
    assert (lied["asked"], lied["in_time"], lied["useful"], lied["liveness_known"]) == (CALLS, 1.0, 1.0, 1.0)
    assert (lied["false_dead"]["judged"], lied["false_dead"]["wrong"], lied["false_dead"]["share"]) == (CALLS, CALLS, 1)
    assert lied["false_dead"]["low"] > 0.9
    assert (told["false_dead"]["judged"], told["false_reachable"]["judged"]) == (0, CALLS)
    assert (told["false_reachable"]["wrong"], told["from_cache"], lied["from_cache"]) == (0, 10, 0)
    paid = told["cost"]["credits"]
    assert (paid["numbers"], float(paid["charged"])) == (CALLS, float(sim.charged("npl")))
    assert float(paid["spared"]) == pytest.approx(10 * float(paid["per_lookup"]))
    assert "EUR" in lied["cost"]
    assert "100.0% (35/35, 90%-100%)" in text
    assert numbers[0][-6:] not in text + json.dumps(shown)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


def lookup(number: str = NUMBER, at: float = NOW, **said: Any) -> LookupRecord:
    known: dict[str, Any] = {"provider": "npl", "result": "answer", "ms": 120, "in_time": True, "country": "GB"}
    return LookupRecord(at=at, number=number, type=NumberType.MOBILE, **(known | said))


def log(site: Site, *rows: Any) -> CallFile:
    """Open; to be closed."""
    file = CallFile(path_of(site), CallLogOptions())
    file.open()
    file.write(rows)
    return file


def test_lookups_are_read_back_beside_the_calls_to_their_number(site: Site) -> None:
    cached = Sourced(VODAFONE, "npl", Method.MNP, NOW - 99, CacheState.STALE, stale=True)
    called = call(identity=cached)
    log(site, lookup(), called, Reported(NOW + 9, "1.1", result()), lookup(OTHER, provider="hlr"), call("")).close()

    numbers = sorted(by_number.read(path_of(site), 0.0), key=lambda one: len(one.calls))

    assert [[one.provider for one in number.lookups] for number in numbers] == [["hlr"], ["npl"]]
    (heard,) = numbers[1].calls
    assert (set(heard.cached), [said.of(NUMBER) for said in heard.results]) == ({"npl"}, [result()])
    assert [number.unfit for number in numbers] == [0, 0]


def test_a_number_is_forgotten_with_its_lookups(site: Site) -> None:
    file = log(site, lookup(), call(), lookup(OTHER))

    assert file.forget(NUMBER) == 1
    assert [len(one.lookups) for one in by_number.read(path_of(site), 0.0)] == [1]
    file.close()


def test_old_lookups_leave_as_calls_do(site: Site) -> None:
    file = log(site, lookup(at=NOW - 31 * 86_400), lookup(OTHER))
    while file.purge(NOW):
        pass

    assert [one.lookups[0].at for one in by_number.read(path_of(site), 0.0)] == [NOW]
    file.close()


def test_only_what_is_since_then_counts(site: Site) -> None:
    log(site, lookup(at=NOW - 10), call(at=NOW - 10), lookup(), call()).close()

    (number,) = by_number.read(path_of(site), NOW - 5)

    assert (len(number.lookups), len(number.calls)) == (1, 1)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE lookup SET reachable = 'perhaps' WHERE provider = 'bad'",
        "UPDATE lookup SET cost = 'much' WHERE provider = 'bad'",
        "UPDATE call SET identity = '{' WHERE channel = 'bad'",
        "UPDATE result SET at = 'soon' WHERE trunk = 'bad'",
    ],
)
def test_rows_that_do_not_fit_are_left_out_and_counted(site: Site, damage: str) -> None:
    """C15."""
    rows = (lookup(provider="bad"), lookup(), call(channel="bad"), Reported(NOW, "bad", result(trunk="bad")), call())
    log(site, *rows).close()
    with closing(sqlite3.connect(path_of(site))) as connection, connection:
        connection.execute(damage)

    (number,) = by_number.read(path_of(site), 0.0)

    assert (len(number.lookups) + len(number.calls), number.unfit) == (3, 1)


def test_a_log_of_an_older_version_gains_what_it_lacks_and_keeps_its_calls(site: Site) -> None:
    log(site, call()).close()
    with closing(sqlite3.connect(path_of(site))) as connection, connection:
        connection.execute("DROP TABLE lookup")
        connection.execute("PRAGMA user_version = 1")
    before = site.cli("league")

    log(site, lookup()).close()

    assert (before.returncode, "an older version made the file" in before.stderr) == (3, True)
    (number,) = by_number.read(path_of(site), 0.0)
    assert (len(number.lookups), len(number.calls), SHAPE.version) == (1, 1, 2)


def test_without_a_log_it_says_so_in_one_line(site: Site) -> None:
    done = site.cli("league")

    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    assert "calls.enabled" in done.stderr


def test_nobody_asked_is_a_negative_answer(site: Site) -> None:
    log(site).close()

    done = site.cli("league", "--since", "2026-01-31")

    assert (done.returncode, done.stdout) == (1, "nobody was asked since 2026-01-31\n")


def test_groups_are_told_apart(site: Site) -> None:
    log(site, lookup(), lookup(OTHER, country="FR")).close()

    shown = site.json("league", "--by", "country", "--days", "3650")

    assert [(row["group"], row["asked"], row["useful"]) for row in shown["rows"]] == [("FR", 1, None), ("GB", 1, None)]
