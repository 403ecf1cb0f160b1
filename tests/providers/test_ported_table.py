"""The table on disk: the most specific row wins, an import shows whole or not at all, the reader outlives whatever befalls it."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_lookup.domain.errors import ConfigError, OutsideError, ProviderError
from agi_lookup.domain.model import LookupAnswer, Number, Tri
from agi_lookup.providers.ported_csv import Line, Problem, read
from agi_lookup.providers.ported_import import Imported, Terms, import_lines
from agi_lookup.providers.ported_numbers import Options, Provider, Row, TableUnusable, open_driver
from agi_lookup.providers.ported_table import Reader, TableDriver, last_runs, open_reader
from tests.providers.replay import split

NOW = 1_767_225_600.0
SOAK = "SOAK" in os.environ
LINES = 10_000_000 if SOAK else 200_000


def parsed(
    rows: Iterable[str], head: str = "number,from,to,prefix,carrier,ported,ported_at,removed"
) -> Iterator[Line | Problem]:
    return read(
        itertools.chain([head + "\n"], (row + "\n" for row in rows)), split=split, columns={}, fixed={}, delimiter=","
    )


def load(table: Path, *rows: str, now: float = NOW, replace: bool = False, **terms: Any) -> Imported:
    """`number,from,to,prefix,carrier,ported,ported_at,removed`."""
    return put(table, parsed(rows), Terms("test.csv", now, replace, **terms))


def put(
    table: Path, lines: Iterable[Line | Problem], terms: Terms, on_merge: Callable[[], None] = lambda: None
) -> Imported:
    return import_lines(table, lines, terms, on_problem=lambda _: None, on_merge=on_merge)


def single(number: str, carrier: str = "A", *, ported_at: str = "", removed: str = "") -> str:
    return f"{number},,,,{carrier},yes,{ported_at},{removed}"


def block(first: str, last: str, carrier: str = "A", removed: str = "") -> str:
    return f",{first},{last},,{carrier},no,,{removed}"


def prefix(digits: str, carrier: str = "A") -> str:
    return f",,,{digits},{carrier},no,,"


def find(table: Path, number: str) -> Row | None:
    with closing(Reader(table)) as reader:
        return reader.read((f"+{number}",)).rows.get(f"+{number}")


def carrier(table: Path, number: str) -> str | None:
    row = find(table, number)
    return row.carrier if row else None


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ported.sqlite"


# Which row


def test_a_number_wins_over_blocks_and_a_narrow_block_over_a_wide_one(table: Path) -> None:
    load(
        table,
        prefix("44", "country"),
        prefix("447700", "wide"),
        block("447700900100", "447700900299", "range"),
        single("447700900150", "number"),
    )
    assert carrier(table, "447700900150") == "number"
    assert carrier(table, "447700900151") == "range"
    assert carrier(table, "447700900300") == "wide"
    assert carrier(table, "447990000000") == "country"
    assert carrier(table, "33639980001") is None


def test_a_block_covers_longer_numbers_and_a_number_only_itself(table: Path) -> None:
    """Extensions of a German line: its block is shorter than the numbers in it."""
    load(table, block("493012340", "493012349", "block"), single("4930123450", "number"))
    assert carrier(table, "49301234012345") == "block"
    assert carrier(table, "4930123450") == "number"
    assert carrier(table, "49301234501") == "block"
    assert carrier(table, "49301234") is None


Place = tuple[str, str]
DIGITS = st.text("01", min_size=1, max_size=5)


@st.composite
def places(draw: st.DrawFn) -> Place:
    """(`44770090...`, the same): a number. (lower, higher): a range. (prefix, ""): a prefix."""
    kind = draw(st.sampled_from(["number", "range", "prefix"]))
    first = "4477009" + draw(DIGITS)
    if kind == "range":
        last = "4477009" + draw(st.text("01", min_size=len(first) - 7, max_size=len(first) - 7))
        return min(first, last), max(first, last)
    return (first, first) if kind == "number" else (first, "")


def covers(place: Place, number: str) -> bool:
    first, last = place
    if first == last:
        return number == first
    return first <= number[: len(first)] <= (last or first) and len(number) >= len(first)


def width(place: Place) -> int:
    """In numbers of 15 digits; 0 for a number's own row."""
    first, last = place
    return 0 if first == last else (int(last or first) - int(first) + 1) * 10 ** (15 - len(first))


@settings(max_examples=60, deadline=None)
@given(st.lists(places(), min_size=1, max_size=12), st.lists(DIGITS.map("4477009".__add__), min_size=1, max_size=12))
def test_the_narrowest_row_around_a_number_is_found_whatever_overlaps(
    tmp_path_factory: pytest.TempPathFactory, held: list[Place], asked: list[str]
) -> None:
    table = tmp_path_factory.mktemp("ranges") / "ported.sqlite"
    rows = [
        prefix(a, str(i)) if not b else single(a, str(i)) if a == b else block(a, b, str(i))
        for i, (a, b) in enumerate(held)
    ]
    load(table, *rows)
    with closing(Reader(table)) as reader:
        found = reader.read([f"+{number}" for number in asked]).rows
    for number in asked:
        around = [
            (width(place), -int(place[0].ljust(15, "0")), -i) for i, place in enumerate(held) if covers(place, number)
        ]
        expected = str(-min(around)[2]) if around else None
        row = found.get(f"+{number}")
        assert (row.carrier if row else None) == expected, number


# Imports on imports


def test_a_later_import_changes_what_it_names_and_nothing_else(table: Path) -> None:
    load(table, single("447700900001", "old"), single("447700900002", "old"), prefix("447700", "old"))
    done = load(
        table, single("447700900002", "new"), single("447700900003", "new"), prefix("447700", "new"), now=NOW + 60
    )
    assert (done.lines, done.written, done.numbers, done.blocks) == (3, 3, 3, 1)
    assert [carrier(table, f"44770090000{n}") for n in range(1, 5)] == ["old", "new", "new", "new"]
    older, newer = find(table, "447700900001"), find(table, "447700900002")
    assert older is not None
    assert newer is not None
    assert (older.imported_at, newer.imported_at) == (NOW, NOW + 60)


@pytest.mark.parametrize(
    ("held", "comes", "wins"),
    [
        ("2024-05-01", "2024-05-02", "new"),
        ("2024-05-02", "2024-05-01", "old"),
        ("2024-05-01", "2024-05-01", "new"),
        ("2024-05-01", "2024-05-01T12:00:00Z", "new"),
        ("2024-05-01T12:00:00Z", "2024-05-01", "old"),
        ("", "2024-05-01", "new"),
        ("2024-05-01", "", "new"),
        ("", "", "new"),
    ],
)
@pytest.mark.parametrize("in_one_file", [True, False])
def test_the_later_port_wins_else_the_later_line(
    table: Path, held: str, comes: str, wins: str, in_one_file: bool
) -> None:
    rows = [single("447700900001", "old", ported_at=held), single("447700900001", "new", ported_at=comes)]
    if in_one_file:
        load(table, *rows)
    else:
        load(table, rows[0])
        load(table, rows[1])
    assert carrier(table, "447700900001") == wins


def test_what_ended_is_gone_and_the_block_speaks_again(table: Path) -> None:
    load(
        table,
        prefix("447700", "issuer"),
        single("447700900001", "A"),
        single("447700900002", "A", ported_at="2024-05-01"),
    )
    done = load(
        table,
        single("447700900001", "", removed="yes"),
        single("447700900002", "", removed="yes", ported_at="2024-04-01"),  # older than what is held
        single("447700900003", "", removed="yes"),
    )
    assert done.numbers == 1
    assert [carrier(table, f"44770090000{n}") for n in (1, 2, 3)] == ["issuer", "A", "issuer"]
    load(table, ",,,447700,,,,yes")
    assert carrier(table, "447700900001") is None


def test_a_whole_table_takes_the_place_of_the_one_before(table: Path) -> None:
    load(table, single("447700900001", "old", ported_at="2030-01-01"), prefix("33", "old"))
    done = load(table, single("447700900001", "new", ported_at="2020-01-01"), replace=True)
    assert (done.numbers, done.blocks) == (1, 0)
    assert carrier(table, "447700900001") == "new"
    assert carrier(table, "33639980001") is None


def test_the_runs_are_kept_newest_first(table: Path) -> None:
    load(table, single("447700900001"))
    load(table, single("447700900001"), single("447700900002"), now=NOW + 60, replace=True)
    with closing(open_reader(table)) as connection:
        runs = last_runs(connection, 5)
    assert [(run.at, run.source, run.lines, run.replaced) for run in runs] == [
        (NOW + 60, "test.csv", 2, True),
        (NOW, "test.csv", 1, False),
    ]


# All or nothing


def test_a_malformed_line_imports_nothing(table: Path) -> None:
    load(table, single("447700900001", "old"))
    with pytest.raises(ConfigError, match="1 of 3 lines"):
        load(table, single("447700900001", "new"), single("bad"), single("447700900002", "new"), replace=True)
    assert carrier(table, "447700900001") == "old"
    assert carrier(table, "447700900002") is None


def test_so_many_malformed_lines_as_are_allowed_are_passed_by(table: Path) -> None:
    done = load(table, single("bad"), single("447700900001"), single("bad"), max_errors=2)
    assert (done.lines, done.malformed, done.written) == (3, 2, 1)
    with pytest.raises(ConfigError):
        load(table, single("bad"), single("447700900001"), single("bad"), max_errors=1)


def test_an_empty_file_replaces_nothing(table: Path) -> None:
    """Half a download must not turn a whole country into "not in the table"."""
    load(table, single("447700900001"))
    with pytest.raises(ConfigError, match="no line"):
        load(table, replace=True)
    assert carrier(table, "447700900001") == "A"


def test_two_imports_at_a_time_are_one_too_many(table: Path) -> None:
    """C12"""
    second: list[str] = []

    def meanwhile() -> None:
        with pytest.raises(OutsideError, match="another import") as caught:
            load(table, single("447700900002"))
        second.append(str(caught.value))

    put(table, parsed([single("447700900001")]), Terms("test.csv", NOW), on_merge=meanwhile)
    assert len(second) == 1
    assert carrier(table, "447700900002") is None


KILLED = """
import sys
from pathlib import Path
from tests.providers.test_ported_table import load, single
table, carrier = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
load(table, *(single(str(447700900000 + n), carrier) for n in range(10_000)), replace=True)
"""


def test_an_import_that_is_killed_leaves_the_table_as_it_was(table: Path) -> None:
    """C6: at any moment, the reader sees all of the old or all of the new."""
    load(table, *(single(str(447700900000 + n), "0") for n in range(10_000)))
    held = "0"
    with closing(Reader(table)) as reader:
        for run in range(1, 200 if SOAK else 9):
            with subprocess.Popen(
                [sys.executable, "-c", KILLED, str(table), str(run)], stdout=subprocess.PIPE
            ) as process:
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(random.uniform(0, 0.4))  # the moment is what is drawn
                process.send_signal(signal.SIGKILL)
            seen = {carrier(table, str(447700900000 + n)) for n in range(0, 10_000, 2499)}
            kept = {
                row.carrier
                for row in reader.read([f"+{447700900000 + n}" for n in range(0, 10_000, 2499)]).rows.values()
            }
            assert len(seen) == 1
            assert seen == kept
            assert seen <= {held, str(run)}
            held = str(seen.pop())
    with closing(sqlite3.connect(table)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    load(table, single("447700900001", "after"))
    assert carrier(table, "447700900001") == "after"


FULL = """
import resource, sys
from pathlib import Path
from tests.providers.test_ported_table import load, single
table, limit, first, count = Path(sys.argv[1]), *map(int, sys.argv[2:])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
load(table, *(single(str(447700900000 + n), "new") for n in range(first, first + count)))
"""


def load_with_no_room(table: Path, limit: int, first: int, count: int) -> subprocess.CompletedProcess[str]:
    """No file may grow over `limit` bytes."""
    command = [sys.executable, "-c", FULL, str(table), str(limit), str(first), str(count)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("limit", [30_000, 300_000])
def test_a_full_disk_leaves_the_table_as_it_was(table: Path, limit: int) -> None:
    """C8"""
    load(table, *(single(str(447700900000 + n), "old") for n in range(100)))
    done = load_with_no_room(table, limit, 0, 20_000)
    assert done.returncode != 0
    assert "OutsideError" in done.stderr
    assert "as it was" in done.stderr
    assert carrier(table, "447700900001") == "old"


def test_what_fits_into_the_log_is_imported_though_the_table_cannot_grow(table: Path) -> None:
    """C8"""
    load(table, *(single(str(447700900000 + n), "old") for n in range(20_000)))
    done = load_with_no_room(table, 300_000, 19_950, 100)
    assert (done.returncode, done.stderr) == (0, "")
    assert carrier(table, "447700919999") == "new"
    assert carrier(table, "447700900001") == "old"


@pytest.mark.parametrize("content", [b"text, not a database\n" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_table_is_never_touched(table: Path, content: bytes) -> None:
    """C10"""
    table.parent.mkdir()
    table.write_bytes(content)
    with pytest.raises(OutsideError):
        load(table, single("447700900001"))
    assert table.read_bytes() == content
    with pytest.raises(TableUnusable), closing(Reader(table)) as reader:
        reader.read(("+447700900001",))


def test_the_table_of_a_newer_version_is_left_alone(table: Path) -> None:
    """C11"""
    load(table, single("447700900001"))
    with closing(sqlite3.connect(table)) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(OutsideError, match="move it away"):
        load(table, single("447700900002"))
    with pytest.raises(TableUnusable):
        find(table, "447700900001")


@pytest.mark.parametrize(
    "damage",
    ["SET ported = 7", "SET type = 'gadget'", "SET carrier = x'ff'", "SET mcc = 234.5e300", "SET import = 99"],
)
def test_a_row_that_no_import_wrote_is_no_answer(table: Path, damage: str) -> None:
    """C15"""
    load(table, single("447700900001"))
    with closing(sqlite3.connect(table)) as connection, connection:
        connection.execute(f"UPDATE number {damage}")
    try:
        row = find(table, "447700900001")
    except TableUnusable:
        return
    assert row is None or all(isinstance(value, str | None) for value in (row.carrier, row.mcc))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_imports_belongs_to_whom_the_folder_belongs(table: Path) -> None:
    """The server does not run as root."""
    table.parent.mkdir()
    os.chown(table.parent, 12345, 12345)
    seen: set[tuple[str, int]] = set()
    put(
        table,
        parsed([single("447700900001")]),
        Terms("test.csv", NOW),
        on_merge=lambda: seen.update((part.name, part.stat().st_uid) for part in table.parent.iterdir()),
    )
    seen |= {(part.name, part.stat().st_uid) for part in table.parent.iterdir()}
    assert {uid for _, uid in seen} == {12345}
    assert {"ported.sqlite", "ported.sqlite-wal", "ported.sqlite-shm", "ported.sqlite.lock"} <= {
        name for name, _ in seen
    }


# The driver, under a server


@pytest.fixture
async def driver(table: Path) -> AsyncIterator[TableDriver]:
    opened = open_driver(Options(kind="ported_numbers", table=table))
    yield opened
    await opened.close()


SOURCE = Provider("ported", Options(kind="ported_numbers"), split)


async def ask(driver: TableDriver, *numbers: str, timeout_s: float = 5.0) -> list[str | None]:
    """Carriers, or the error's word."""
    try:
        found = await driver.run(SOURCE.lookup([Number(f"+{n}") for n in numbers], NOW), timeout_s=timeout_s)
    except ProviderError as error:
        return [error.code] * len(numbers)
    results = [found[f"+{n}"] for n in numbers]
    return [
        r.identity.carrier if isinstance(r, LookupAnswer) and r.identity else getattr(r, "code", "?") for r in results
    ]


async def test_what_is_imported_is_seen_at_once(table: Path, driver: TableDriver) -> None:
    assert await ask(driver, "447700900001") == ["unavailable"]
    load(table, single("447700900001", "first"))
    assert await ask(driver, "447700900001", "447700900002") == ["first", "not_covered"]
    load(table, single("447700900001", "second"), replace=True)
    assert await ask(driver, "447700900001") == ["second"]


async def test_a_table_that_is_missing_tells_the_operator_what_to_do(driver: TableDriver) -> None:
    with pytest.raises(TableUnusable, match="ports import") as caught:
        await driver.run(SOURCE.lookup([Number("+447700900001")], NOW), timeout_s=5)
    assert caught.value.alarm
    assert not caught.value.maybe_charged


async def test_the_reader_outlives_the_file(table: Path, driver: TableDriver, tmp_path: Path) -> None:
    load(table, single("447700900001", "first"))
    assert await ask(driver, "447700900001") == ["first"]
    for part in table.parent.iterdir():
        part.unlink()
    assert await ask(driver, "447700900001") == ["unavailable"]
    load(tmp_path / "other.sqlite", single("447700900001", "other"))
    (tmp_path / "other.sqlite").rename(table)
    assert await ask(driver, "447700900001") == ["other"]
    load(tmp_path / "third.sqlite", single("447700900001", "third"))
    (tmp_path / "third.sqlite").rename(table)
    assert await ask(driver, "447700900001") == ["third"]
    table.write_bytes(b"garbage" * 1000)
    assert (await ask(driver, "447700900001"))[0] in {"unavailable", "third"}  # what is open may be in SQLite's memory
    table.unlink()
    load(table, single("447700900001", "again"))
    assert await ask(driver, "447700900001") == ["again"]


async def test_an_import_under_way_is_not_seen_and_not_waited_for(table: Path, driver: TableDriver) -> None:
    """C9: neither while lines are read, nor while they are sorted in."""
    load(table, *(single(str(447700900000 + n), "old") for n in range(1000)))
    reading, go_on = threading.Event(), threading.Event()

    def slowly() -> Iterator[str]:
        for n in range(1000):
            yield single(str(447700900000 + n), "new")
            if n == 500:
                reading.set()
                assert go_on.wait(30)

    with ThreadPoolExecutor(1) as other:
        importing = other.submit(put, table, parsed(slowly()), Terms("test.csv", NOW, replace=True))
        await asyncio.to_thread(reading.wait, 30)
        assert set(await ask(driver, *(str(447700900000 + n) for n in range(0, 1000, 99)))) == {"old"}
        go_on.set()
        while not importing.done():
            seen = await ask(driver, *(str(447700900000 + n) for n in range(0, 1000, 99)))
            assert set(seen) in ({"old"}, {"new"})
        importing.result()
    assert set(await ask(driver, "447700900000", "447700900999")) == {"new"}


async def test_a_writer_that_never_ends_is_not_waited_for(table: Path, driver: TableDriver) -> None:
    """C9"""
    load(table, single("447700900001", "held"))
    with closing(sqlite3.connect(table, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DELETE FROM number")
        assert await ask(driver, "447700900001") == ["held"]
        other.execute("ROLLBACK")


async def test_many_lookups_share_few_reads(table: Path, driver: TableDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    load(table, *(single(str(447700900000 + n), str(n)) for n in range(500)))
    reads: list[int] = []
    whole = Reader.read

    def counted(self: Reader, numbers: Sequence[str]) -> Any:
        reads.append(len(numbers))
        return whole(self, numbers)

    monkeypatch.setattr(Reader, "read", counted)
    found = await asyncio.gather(*(ask(driver, str(447700900000 + n)) for n in range(500)))
    assert [one for (one,) in found] == [str(n) for n in range(500)]
    assert sum(reads) == 500
    assert len(reads) <= 3


async def test_a_disk_that_hangs_holds_no_call_and_no_shutdown(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P3, C9"""
    monkeypatch.setattr("agi_lookup.providers.ported_table.CLOSE_S", 0.05)
    released = threading.Event()

    def hangs(_self: Reader, _numbers: Sequence[str]) -> Any:
        released.wait(30)
        raise TableUnusable("late")

    monkeypatch.setattr(Reader, "read", hangs)
    driver = open_driver(Options(kind="ported_numbers", table=table))
    try:
        assert await ask(driver, "447700900001", timeout_s=0.05) == ["unavailable"]
        await driver.close()
    finally:
        released.set()


async def test_a_caller_may_leave(table: Path, driver: TableDriver) -> None:
    """P17"""
    load(table, single("447700900001"))
    for _ in range(50):
        leaving = [asyncio.ensure_future(ask(driver, "447700900001")) for _ in range(5)]
        await asyncio.sleep(0)
        for task in leaving[:4]:
            task.cancel()
        assert (await asyncio.gather(*leaving, return_exceptions=True))[4] == ["A"]


# Size


def many(count: int) -> Iterator[Line | Problem]:
    """In no order: the next of `n * step` modulo a prime visits every number once."""
    prime, step = 10_000_019, 6_700_417
    numbers = (n * step % prime for n in range(1, prime))
    rows = (f"4477{n:08},Example Mobile,234,15,yes,2024-{n % 12 + 1:02}-01" for n in numbers if n < count)
    return parsed(rows, "number,carrier,mcc,mnc,ported,ported_at")


def test_a_country_fits_and_memory_stays_small(table: Path) -> None:
    """C17: measured, ten million lines in chance order make a table of 460 MB, with 200 MB of memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = put(table, many(LINES), Terms("big.csv", NOW, replace=True))
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert done.numbers == done.written == LINES - 1
    assert grown_kib < 256 * 1024
    row = find(table, "447700000077")
    assert row is not None
    assert (row.carrier, row.mcc, row.mnc, row.ported) == ("Example Mobile", "234", "15", Tri.YES)
    assert find(table, f"4477{LINES:08}") is None
