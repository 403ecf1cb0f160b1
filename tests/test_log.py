"""Logs never block, never show a whole number, and say so when they lose something."""

from __future__ import annotations

import json
import os

import structlog

from agi_lookup.call import CallRequest
from agi_lookup.domain.model import CacheState, Decision, LookupOutcome, Method, Sourced, Status, mask
from agi_lookup.log import MAX_LINES, LineSink, configure
from agi_lookup.server import call_line
from tests.fakes import KNOWN, NUMBER


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
    for _ in range(3 * MAX_LINES):
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
    line = call_line(CallRequest(NUMBER.e164, channel="1.1"), Decision(Status.OK, NUMBER, outcome), 0.0123)

    assert NUMBER.e164 not in json.dumps(line)
    assert NUMBER.e164[1:] not in json.dumps(line)
    assert (line["number"], line["source"], line["ms"]) == ("+4474*******56"[:5] + "*" * 6 + "56", "npl", 12.3)


def test_nothing_that_holds_a_number_shows_it() -> None:
    assert NUMBER.e164 not in repr(NUMBER)
    assert mask("+447400123456") == "+4474******56"
    assert mask("12345") == "*****"
