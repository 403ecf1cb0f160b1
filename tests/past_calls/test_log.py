"""The call log's thread: whatever befalls the disk, calls go on, and what is lost is counted."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agi_lookup.calls import log as call_log
from agi_lookup.calls.file import CALLS_FILE, CallFile
from agi_lookup.calls.log import CallLog
from agi_lookup.calls.options import CallLogOptions
from agi_lookup.domain.errors import CacheError
from agi_lookup.privacy import forget_calls, in_files
from tests.past_calls.logged import DAY, NOW, NUMBER, OTHER, Heard, call, result

OpenLog = Callable[[], CallLog]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "calls.sqlite"


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def open_log(path: Path, heard: Heard) -> Iterator[OpenLog]:
    logs: list[CallLog] = []

    def opened() -> CallLog:
        options = CallLogOptions(keep_days=3650)
        logs.append(CallLog(path, options, on_alarm=heard.alarm, count=heard.count, clock=lambda: NOW))
        return logs[-1]

    yield opened
    for log in logs:
        log.close()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def channels(log: CallLog) -> list[str]:
    return [found.record.channel for found in log.read(0.0)]


def test_calls_and_results_are_there_after_a_moment_and_after_a_restart(open_log: OpenLog) -> None:
    log = open_log()
    log.decided(call())
    log.result(result(), "1.1")
    until(lambda: log.state == call_log.OK)
    until(lambda: len(log.recent(5)) == 1 and len(log.recent(5)[0].results) == 1)
    log.decided(call(channel="2.2"))
    log.close()

    assert channels(open_log()) == ["1.1", "2.2"]


def test_a_log_that_cannot_be_written_drops_counts_and_tells(
    open_log: OpenLog, path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_log, "MAX_WAITING", 10)
    other = CallFile(path, CallLogOptions())
    other.open()
    log = open_log()

    for n in range(25):
        log.decided(call(channel=str(n)))
    until(lambda: heard.codes == {"call_log_failing", "call_log_dropped"})

    assert heard.events["call_log_dropped"] == 15
    assert "another process" in log.state
    other.close()
    until(lambda: log.state == call_log.OK)
    assert channels(log) == [str(n) for n in range(10)]


@pytest.mark.parametrize("trouble", ["newer", "another program's", "no folder"])
def test_a_file_that_is_not_ours_is_never_touched(open_log: OpenLog, path: Path, heard: Heard, trouble: str) -> None:
    if trouble == "no folder":
        path.parent.write_text("a file")
    else:
        path.parent.mkdir()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE precious (x)")
            if trouble == "newer":
                connection.execute("PRAGMA application_id = 0x4147494E")
                connection.execute("PRAGMA user_version = 3")
    before = path.read_bytes() if path.exists() else path.parent.read_bytes()
    log = open_log()

    log.decided(call())
    until(lambda: heard.codes == {"call_log_failing"})
    log.close()

    assert before == (path.read_bytes() if path.exists() else path.parent.read_bytes())


def test_a_damaged_file_is_put_aside_and_a_new_one_made(open_log: OpenLog, path: Path, heard: Heard) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    log = open_log()

    log.decided(call())
    until(lambda: log.state == call_log.OK)

    assert channels(log) == ["1.1"]
    assert "call_log_corrupt" in heard.codes
    assert [aside.read_bytes()[:11] for aside in path.parent.glob("*.corrupt-*")] == [b"no database"]


def test_what_is_too_old_leaves_by_itself(open_log: OpenLog, path: Path) -> None:
    before = open_log()
    before.decided(call(at=NOW - 4000 * DAY, channel="old"))
    before.decided(call(channel="young"))
    before.close()

    log = open_log()
    until(lambda: log.state == call_log.OK and channels(log) == ["young"])


def test_who_is_forgotten_in_a_log_that_is_switched_off_takes_nobody_along(tmp_path: Path) -> None:
    """S16: what the operator keeps for a year is not shed by a rule that is not theirs."""
    options, heard = CallLogOptions(keep_days=365), Heard()
    log = CallLog(tmp_path / CALLS_FILE, options, on_alarm=heard.alarm, count=heard.count)
    now = time.time()
    for number in (NUMBER, OTHER):
        log.decided(call(number, at=now - 60 * DAY, channel=number))
    log.close()

    assert forget_calls(tmp_path, options, NUMBER) == 1

    log = CallLog(tmp_path / CALLS_FILE, options, on_alarm=heard.alarm, count=heard.count)
    assert channels(log) == [OTHER]
    log.close()


def test_without_the_key_no_row_is_anybodys(tmp_path: Path) -> None:
    """Whoever deletes the key, as the documents advise, still gets the rest that is kept of a number."""
    heard = Heard()
    log = CallLog(tmp_path / CALLS_FILE, CallLogOptions(), on_alarm=heard.alarm, count=heard.count)
    log.decided(call(at=time.time()))
    log.close()
    assert len(in_files(tmp_path, NUMBER)["calls"]) == 1

    (tmp_path / CALLS_FILE).with_suffix(".key").unlink()

    assert in_files(tmp_path, NUMBER)["calls"] == []


def test_a_row_that_cannot_be_written_does_not_hold_up_those_behind_it(open_log: OpenLog, heard: Heard) -> None:
    log = open_log()
    log.result(result(cause=2**70), "1.1")
    until(lambda: heard.events["call_log_dropped"] == 1)

    log.decided(call(channel="next"))
    until(lambda: channels(log) == ["next"])


def test_a_number_is_forgotten_even_where_its_call_still_waits(open_log: OpenLog) -> None:
    log = open_log()
    log.decided(call())
    log.decided(call(OTHER, channel="2.2"))

    assert log.forget(NUMBER) == 1
    assert channels(log) == ["2.2"]


def test_what_cannot_be_forgotten_now_is_forgotten_later(
    open_log: OpenLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_log, "FORGET_S", 0.01)
    other = CallFile(path, CallLogOptions())
    other.open()
    other.write([call(), call(OTHER, channel="2.2")])
    log = open_log()

    with pytest.raises(CacheError, match="the number is erased when that is over"):
        log.forget(NUMBER)
    other.close()

    until(lambda: channels(log) == ["2.2"])
