"""Logs never block, never show a whole number, and say so when they lose something."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from agi_lookup.call import CallRequest
from agi_lookup.domain.model import CacheState, Decision, LookupOutcome, Method, Sourced, Status, mask
from agi_lookup.keyed import ID_KEY_DAYS, KEY_BYTES, NumberIds
from agi_lookup.log import ALARM, MAX_ALIKE, MAX_LINE_CHARS, MAX_LINES, LineSink, Repeats, configure
from agi_lookup.server import call_line
from tests.fakes import KNOWN, NUMBER


def logged(write: Callable[[Any], object]) -> list[str]:
    """The lines that come of it."""
    reader, writer = os.pipe()
    sink = configure("info", fd=writer)
    write(structlog.get_logger())
    sink.close()
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as lines:
        return lines.readlines()


def test_a_line_is_json_with_control_characters_escaped() -> None:
    reader, writer = os.pipe()
    sink = configure("info", fd=writer)
    structlog.get_logger().info("call", channel="1.1\n{forged}\x1b[31m")
    structlog.get_logger().debug("not at this level")
    sink.close()
    os.close(writer)
    with os.fdopen(reader) as lines:
        (line,) = lines.readlines()

    shown = json.loads(line)
    assert (shown["event"], shown["level"], shown["channel"]) == ("call", "info", "1.1\n{forged}\x1b[31m")
    assert "\x1b" not in line


def test_a_reader_that_stopped_reading_blocks_nothing_and_losses_are_counted() -> None:
    """O7."""
    reader, writer = os.pipe()
    dropped = 0

    def drop(count: int) -> None:
        nonlocal dropped
        dropped += count

    sink = LineSink(writer, drop)
    for _ in range(
        4 * MAX_LINES
    ):  # of which the pipe takes some hundred, the thread a buffer full, the buffer the last
        sink.msg("x" * 200)
    sink.close()
    os.close(reader)

    assert dropped >= MAX_LINES
    os.close(writer)


def test_a_closed_log_is_counted_not_raised() -> None:
    """O7."""
    reader, writer = os.pipe()
    os.close(reader)
    dropped: list[int] = []
    sink = LineSink(writer, dropped.append)
    sink.msg("lost")
    sink.close()
    os.close(writer)

    assert sum(dropped) == 1


def test_a_calls_line_masks_the_number() -> None:
    outcome = LookupOutcome(Status.OK, Sourced(KNOWN, "npl", Method.HLR, 0.0, CacheState.FRESH))
    request, decision = CallRequest(NUMBER.e164, channel="1.1"), Decision(Status.OK, NUMBER, outcome)
    line = call_line(request, decision, 0.0123, lambda _number: "an id")

    assert NUMBER.e164 not in json.dumps(line)
    assert NUMBER.e164[1:] not in json.dumps(line)
    shown = (line["number"], line["number_id"], line["source"], line["ms"])
    assert shown == ("+4474******56", "an id", "npl", 12.3)


def test_nothing_that_holds_a_number_shows_it() -> None:
    assert NUMBER.e164 not in repr(NUMBER)
    assert mask("+447400123456") == "+4474******56"
    assert mask("12345") == "*****"


def test_an_exceptions_text_never_gets_into_the_log() -> None:
    """S13: it may hold the number; class and place are enough to find it."""
    read, write = os.pipe()
    sink = configure("info", fd=write)
    try:
        int("+447400123401x")
    except ValueError:
        structlog.get_logger().exception("a bug")
    sink.close()
    os.close(write)
    with os.fdopen(read) as lines:
        line = json.loads(lines.readline())
    assert "447400123401" not in str(line)
    assert (line["event"], line["error"]) == ("a bug", "ValueError")
    assert line["where"][0].startswith("test_log.py:")


@pytest.mark.parametrize(
    "trick", ["\x7f", "\x85", "\x9b31m", "\u2028", "\u2029", "\u202e", "\u2066", "\u200b", "\ufeff", "\U000e0041"]
)
def test_nothing_that_a_viewer_obeys_gets_into_a_line_as_it_is(trick: str) -> None:
    """S18, CWE-117: line ends of Unicode, marks that turn text round, and terminals' one-byte escapes."""
    (line,) = logged(lambda log: log.info("call", channel=f"1{trick}2", carrier="Télé"))

    assert trick not in line
    assert json.loads(line)["channel"] == f"1{trick}2"
    assert "Télé" in line


def test_half_a_surrogate_pair_is_written_escaped() -> None:
    (line,) = logged(lambda log: log.info("call", channel="1\udcff2"))

    assert json.loads(line)["channel"] == "1\udcff2"


def test_what_is_too_long_is_cut_and_is_still_json() -> None:
    """S18."""
    (line,) = logged(
        lambda log: log.info("call", channel="1" * 100_000, many=["x" * 100_000] * 50, deep={"a": "b" * 9999})
    )

    assert len(line) <= MAX_LINE_CHARS + 1
    assert json.loads(line)["channel"].startswith("111")


def test_what_grows_by_being_escaped_is_cut_after_that() -> None:
    """S18: six characters stand for each of these."""
    (line,) = logged(lambda log: log.info("call", channel="\u200b" * 3_900, status="OK"))

    assert len(line) <= MAX_LINE_CHARS + 1
    assert json.loads(line)["status"] == "OK"


def test_a_warning_that_repeats_is_written_a_hundred_times_a_minute_and_says_what_it_left_out() -> None:
    """S18: a fault at 600 calls/s must not fill a disk."""
    repeats = Repeats()
    assert sum(repeats.may_write("a bug", 100.0 + n / 1000) for n in range(5000)) == MAX_ALIKE
    assert repeats.may_write("another", 101.0)
    assert repeats.may_write("a bug", 161.0)
    assert (repeats.left_out("a bug"), repeats.left_out("a bug")) == (5000 - MAX_ALIKE, 0)


def test_neither_calls_nor_alarms_are_ever_left_out() -> None:
    def write(log: Any) -> None:
        for _ in range(2 * MAX_ALIKE):
            log.warning("odd")
            log.error(ALARM, code="x")
            log.info("call")

    events = [json.loads(line)["event"] for line in logged(write)]
    assert (events.count("odd"), events.count(ALARM), events.count("call")) == (MAX_ALIKE, 2 * MAX_ALIKE, 2 * MAX_ALIKE)


def test_lines_of_one_number_have_one_id_until_the_key_goes(tmp_path: Path) -> None:
    """S15: joined without the number; a number cannot be guessed from its id without the key."""
    path = tmp_path / "state" / "log.key"
    ids = NumberIds(path)
    ids.renew()
    first = ids("+447400123456")
    again = NumberIds(path)
    again.renew()

    assert (len(first), again("+447400123456"), ids("")) == (12, first, "")
    assert ids("+447400123457") != first
    assert (path.stat().st_mode & 0o777, path.stat().st_size) == (0o600, KEY_BYTES)

    path.unlink()
    ids.renew()
    second = ids("+447400123456")
    assert second != first

    month_ago = path.stat().st_mtime - (ID_KEY_DAYS + 1) * 86_400
    os.utime(path, (month_ago, month_ago))
    ids.renew()
    assert ids("+447400123456") not in (first, second)


def test_ids_are_given_without_a_disk(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    ids = NumberIds(tmp_path / "state" / "log.key")
    with pytest.raises(OSError, match="state"):
        ids.renew()

    assert len(ids("+447400123456")) == 12
