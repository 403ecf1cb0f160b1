"""The call log's file: what is kept of a number, whose result is whose, what leaves, and what is not believed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agi_lookup.calls import file
from agi_lookup.calls.file import CallFile, Reported, read, recent, span
from agi_lookup.calls.options import CallLogOptions, NumbersKept
from agi_lookup.calls.records import CallRecord, LoggedCall
from agi_lookup.domain.errors import CacheError
from agi_lookup.domain.model import CacheState, Identity, Method, Sourced
from tests.past_calls.logged import CALLER, DAY, NOW, NUMBER, OTHER, call, result

MASKED = CallLogOptions()
FULL = CallLogOptions(numbers=NumbersKept.FULL)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "calls.sqlite"


@pytest.fixture
def log(path: Path) -> Iterator[CallFile]:
    log = CallFile(path, MASKED)
    log.open()
    yield log
    log.close()


def written(path: Path, options: CallLogOptions, *rows: CallRecord | Reported) -> None:
    log = CallFile(path, options)
    log.open()
    log.write(rows)
    log.close()


def calls(path: Path, since: float = 0.0) -> list[LoggedCall]:
    return [found for found in read(path, since) if found is not None]


def channels(path: Path, since: float = 0.0) -> list[str]:
    return [found.record.channel for found in calls(path, since)]


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608


def test_a_call_is_read_back_as_it_was_but_for_who_talked(path: Path) -> None:
    written(path, MASKED, call(), Reported(NOW + 70, "1.1", result()))

    (found,) = calls(path)

    assert found.record == replace(call(), number="+44740012****", caller="")
    assert [said.of(NUMBER) for said in found.results] == [result()]


def test_full_keeps_all(path: Path) -> None:
    written(path, FULL, call())

    assert calls(path)[0].record == call()


def test_a_call_of_which_nothing_was_found_is_read_back(path: Path) -> None:
    bare = call("", identity=None, liveness=None, country=None, routes=(), caller="")
    written(path, MASKED, bare)

    assert calls(path)[0].record == bare


@pytest.mark.parametrize(("how", "shown"), [(NumbersKept.MASKED, "+44740012****"), (NumbersKept.HASHED, "")])
def test_no_byte_on_disk_tells_who_talked(path: Path, how: NumbersKept, shown: str) -> None:
    written(path, CallLogOptions(numbers=how), call(), Reported(NOW, "1.1", result()))

    assert calls(path)[0].record.number == shown
    for part in path.parent.iterdir():
        content = part.read_bytes()
        assert b"0123456" not in content
        assert CALLER.encode() not in content


def test_files_are_for_their_owner_alone(path: Path) -> None:
    written(path, MASKED, call())

    assert {part.stat().st_mode & 0o077 for part in path.parent.iterdir()} == {0}


def test_a_result_belongs_to_the_last_call_of_its_channel_before_it(path: Path) -> None:
    first, second = call(at=NOW, channel="a"), call(at=NOW + 10, channel="a")
    results = [
        Reported(NOW + 5, "a", result("one")),
        Reported(NOW + 15, "a", result("two")),
        Reported(NOW + 15, "unheard of", result("three")),
    ]
    written(path, MASKED, first, second, *results)

    assert [[said.trunk for said in found.results] for found in calls(path)] == [["one"], ["two"]]


def test_a_result_finds_a_call_of_before_a_restart(path: Path) -> None:
    written(path, MASKED, call())
    written(path, MASKED, Reported(NOW + 9, "1.1", result()))

    assert len(calls(path)[0].results) == 1


def test_what_is_read_is_in_order_and_since_a_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(path, MASKED, *[call(at=NOW + n, channel=str(n)) for n in range(2500)])

    assert channels(path) == [str(n) for n in range(2500)]
    assert channels(path, NOW + 2490) == [str(n) for n in range(2490, 2500)]
    assert [found.record.channel for found in recent(path, 3)] == ["2499", "2498", "2497"]
    assert span(path) == 2500


def test_old_calls_leave_a_slice_at_a_time(log: CallFile, path: Path) -> None:
    log.write([call(at=NOW - 31 * DAY, channel="old") for _ in range(700)])
    log.write([call(at=NOW - 29 * DAY, channel="young"), Reported(NOW - 31 * DAY, "old", result())])

    assert log.purge(NOW)
    assert channels(path).count("old") == 700 - file.SLICE_ROWS
    assert log.purge(NOW)
    assert not log.purge(NOW)
    assert channels(path) == ["young"]
    assert count(path, "result") == 0


def test_calls_of_a_clock_that_was_ahead_do_not_keep_older_ones_from_leaving(log: CallFile, path: Path) -> None:
    """C16."""
    log.write([call(at=NOW + 400 * DAY, channel="ahead") for _ in range(700)])
    log.write([Reported(NOW + 400 * DAY, "ahead", result()) for _ in range(700)])
    log.write([call(at=NOW - 31 * DAY, channel="old"), Reported(NOW - 31 * DAY, "old", result())])
    log.write([call(at=NOW + 0.9 * DAY, channel="a little ahead"), call(at=NOW, channel="young")])
    while log.purge(NOW):
        pass

    assert channels(path) == ["a little ahead", "young"]
    assert count(path, "result") == 0


def test_more_calls_than_allowed_push_the_oldest_out(path: Path) -> None:
    log = CallFile(path, CallLogOptions(max_rows=1000))
    log.open()
    log.write([call(channel=str(n)) for n in range(1700)])
    while log.purge(NOW):
        pass
    log.close()

    assert channels(path) == [str(n) for n in range(700, 1700)]


def test_a_forgotten_number_leaves_nothing_behind(path: Path) -> None:
    log = CallFile(path, FULL)
    log.open()
    log.write([call(), call(OTHER, channel="2.2"), call(channel="3.3"), Reported(NOW, "3.3", result())])

    assert log.forget(NUMBER) == 2
    assert log.forget(NUMBER) == 0
    assert [found.record.number for found in calls(path)] == [OTHER]
    assert count(path, "result") == 0
    assert not any(NUMBER.encode() in part.read_bytes() for part in path.parent.iterdir())
    log.close()


def test_a_masked_number_is_forgotten_by_its_hash_and_its_neighbours_stay(log: CallFile, path: Path) -> None:
    log.write([call(), call("+447400123457")])

    assert log.forget(NUMBER) == 1
    assert len(calls(path)) == 1


def test_a_batch_is_written_whole_or_not_at_all(log: CallFile, path: Path) -> None:
    with pytest.raises(OverflowError):
        log.write([call(), Reported(NOW, "1.1", result(cause=2**70))])

    assert not log.is_open
    assert calls(path) == []


def test_text_that_is_no_utf8_is_kept_as_text(path: Path) -> None:
    written(path, FULL, call(channel="\udcff\0'); DROP TABLE call; --", caller="\udcff"))

    assert calls(path)[0].record.channel == "\\udcff\0'); DROP TABLE call; --"


def test_what_a_vendor_sent_that_is_no_text_costs_its_own_row_only(log: CallFile, path: Path) -> None:
    broken = Sourced(Identity(carrier="\ud800"), "npl", Method.MNP, NOW, CacheState.FRESH)

    assert log.write([call(channel="1"), call(identity=broken), call(channel="2")]) == 1
    assert channels(path) == ["1", "2"]


@pytest.mark.parametrize(
    ("column", "value"),
    [("action", "explode"), ("identity", "{"), ("routes", '[["a","NaNa","EUR"]]'), ("number", b"\xff"), ("at", "x")],
)
def test_a_row_that_does_not_fit_is_not_believed(path: Path, column: str, value: object) -> None:
    written(path, MASKED, call(), call(channel="2.2"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE call SET {column} = ? WHERE channel = '1.1'", (value,))  # noqa: S608

    assert [found and found.record.channel for found in read(path)] == [None, "2.2"]


def test_only_one_process_writes(log: CallFile, path: Path) -> None:
    with pytest.raises(CacheError, match="another process"):
        CallFile(path, MASKED).open()
