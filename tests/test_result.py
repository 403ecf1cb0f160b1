"""What the dialplan reports of a call: what is taken, what is refused, who is told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from agi_lookup.agi.request import AgiRefused
from agi_lookup.agi.result import Counted, Report, ResultStatus, parse_result, record
from agi_lookup.agi.session import AgiSession
from agi_lookup.agi.wire import FAILURE, AgiParser, Environment
from agi_lookup.domain.dial_plan import DialPlan
from agi_lookup.domain.model import CallResult
from tests.environments import UNIQUEID, environment
from tests.test_server import serving, variables

PLAN = DialPlan(country="GB", extensions=("2XX",))
NUMBER = "+447400123456"
GOOD = ("trunk=acme-1", "dialstatus=ANSWER", "cause=16", "tech=200", "pdd_ms=1200", "billsec=61")


@dataclass
class Told:
    """Remembers what it was told, or breaks."""

    broken: bool = False
    results: list[tuple[CallResult, str]] = field(default_factory=list)

    def report(self, result: CallResult, channel: str) -> None:
        if self.broken:
            raise RuntimeError("broken")
        self.results.append((result, channel))


def result_environment(*options: str, number: str = NUMBER, uniqueid: str = UNIQUEID, token: str = "-") -> bytes:
    return environment(number, uniqueid, token, *options, changes={"agi_network_script": "result"})


def parsed(*options: str, token: str = "-") -> Report:
    parser = AgiParser()
    parser.receive_data(result_environment(*options, token=token))
    event = parser.next_event()
    assert isinstance(event, Environment)
    return parse_result(event, token="", profiles={"default", "uk"})


def test_every_detail_of_a_call_is_taken() -> None:
    told = Told()
    assert record(parsed(*GOOD), PLAN, told) is ResultStatus.OK
    assert told.results == [(CallResult(NUMBER, "acme-1", "ANSWER", 16, 200, 1200, 61), UNIQUEID)]


@pytest.mark.parametrize(
    "options", [("cause=", "tech=", "pdd_ms=", "billsec="), (), ("cause=0",)], ids=["empty", "absent", "cause 0"]
)
def test_what_is_not_said_is_unknown(options: tuple[str, ...]) -> None:
    told = Told()
    record(parsed("trunk=a", "dialstatus=CANCEL", *options), PLAN, told)
    assert told.results[0][0] == CallResult(NUMBER, "a", "CANCEL")
    assert not told.results[0][0].rang


def test_a_ring_at_once_is_a_ring() -> None:
    told = Told()
    record(parsed("trunk=a", "dialstatus=NOANSWER", "pdd_ms=0"), PLAN, told)
    assert told.results[0][0].rang


REFUSED = {
    "unknown key": ((*GOOD, "colour=red"), "unknown_option"),
    "a lookup's key": ((*GOOD, "fresh=yes"), "unknown_option"),
    "no key": ((*GOOD, "ANSWER"), "unknown_option"),
    "twice": ((*GOOD, "cause=17"), "option_twice"),
    "no trunk": (GOOD[1:], "missing_option"),
    "empty trunk": (("trunk=", *GOOD[1:]), "bad_trunk"),
    "trunk with a quote": (('trunk=a"', *GOOD[1:]), "bad_trunk"),
    "long trunk": (("trunk=" + "a" * 129, *GOOD[1:]), "bad_trunk"),
    "no dialstatus": (("trunk=a",), "missing_option"),
    "empty dialstatus": (("trunk=a", "dialstatus="), "bad_dialstatus"),
    "unknown dialstatus": (("trunk=a", "dialstatus=answer"), "bad_dialstatus"),
    "cause": ((*GOOD[:2], "cause=128"), "bad_cause"),
    "negative cause": ((*GOOD[:2], "cause=-1"), "bad_cause"),
    "Arabic digits": ((*GOOD[:2], "cause=١٦"), "bad_cause"),
    "reason phrase": ((*GOOD[:2], "tech=404 Not Found"), "bad_tech"),
    "SIP code below": ((*GOOD[:2], "tech=99"), "bad_tech"),
    "SIP code above": ((*GOOD[:2], "tech=700"), "bad_tech"),
    "pdd of hours": ((*GOOD[:2], "pdd_ms=3600000"), "bad_pdd_ms"),
    "pdd of eras": ((*GOOD[:2], "pdd_ms=" + "9" * 5000), "bad_pdd_ms"),
    "fraction": ((*GOOD[:2], "billsec=1.5"), "bad_billsec"),
    "month-long call": ((*GOOD[:2], "billsec=2592000"), "bad_billsec"),
    "unknown profile": ((*GOOD, "profile=nobody"), "unknown_profile"),
}


@pytest.mark.parametrize(("options", "why"), REFUSED.values(), ids=REFUSED)
def test_a_report_that_is_not_exact_is_refused(options: tuple[str, ...], why: str) -> None:
    """F10, F11"""
    with pytest.raises(AgiRefused) as refused:
        parsed(*options)
    assert refused.value.code == why


@pytest.mark.parametrize("number", ["112", "9*911", "+44999", "0112", "112#"])
def test_emergency_calls_are_never_recorded(number: str) -> None:
    """B1"""
    told = Told()
    report = Report(number, UNIQUEID, "default", parsed(*GOOD).details)
    assert record(report, PLAN, told) is ResultStatus.EMERGENCY
    assert told.results == []


@pytest.mark.parametrize("number", ["", "alice", "201", "1471", "9" * 5000])
def test_what_is_no_international_number_is_not_recorded(number: str) -> None:
    told = Told()
    report = Report(number, UNIQUEID, "default", parsed(*GOOD).details)
    assert record(report, PLAN, told) is ResultStatus.BADNUMBER
    assert told.results == []


def test_number_is_read_as_its_lookup_read_it() -> None:
    told = Told()
    record(Report("07400123456", UNIQUEID, "uk", parsed(*GOOD).details), PLAN, told)
    assert told.results[0][0].number == NUMBER


def test_reports_are_counted_by_how_the_calls_ended() -> None:
    counted = Counted()
    for status in ("ANSWER", "BUSY", "ANSWER"):
        record(parsed("trunk=a", f"dialstatus={status}"), PLAN, counted)
    assert counted.counts == {"ANSWER": 2, "BUSY": 1}


# ------------------------------------------------------------------------------------------------ over a connection


async def test_server_takes_a_result_and_says_so_in_one_command() -> None:
    told = Told()
    async with serving() as running:
        running.server.results = told
        lines, _ = await running.call(result_environment(*GOOD))
    assert [variables([line]) for line in lines] == [{"LOOKUP_RESULT_STATUS": "OK"}]
    assert told.results == [(CallResult(NUMBER, "acme-1", "ANSWER", 16, 200, 1200, 61), UNIQUEID)]
    assert running.resolver.asked == []
    assert running.metrics.calls == []


class Leaving(asyncio.Transport):
    """A connection that is closed by the time that anything is written to it."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def close(self) -> None: ...


async def test_result_counts_though_asterisk_left_at_once() -> None:
    """F16: the watchdog of a call, or its caller, did not wait for our thanks: its words and its end come together."""
    told = Told()
    async with serving() as running:
        running.server.results = told
        session = AgiSession(running.server)
        session.connection_made(Leaving())
        session.data_received(result_environment(*GOOD))
        session.eof_received()
        session.connection_lost(None)
        await asyncio.sleep(0)
    assert len(told.results) == 1


async def test_bug_in_what_learns_from_results_is_counted_and_ends_the_session() -> None:
    """O9"""
    async with serving() as running:
        running.server.results = Told(broken=True)
        lines, _ = await running.call(result_environment(*GOOD))
    assert variables(lines) == {"LOOKUP_RESULT_STATUS": "DEGRADED"}
    assert running.metrics.bugs == ["result"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (result_environment(*GOOD, token="guess"), "wrong_token"),
        (result_environment(*GOOD, uniqueid="1.1"), "wrong_uniqueid"),
        (result_environment("trunk=a"), "missing_option"),
    ],
)
async def test_forged_result_is_refused_and_nobody_is_told(data: bytes, why: str) -> None:
    """F23"""
    told = Told()
    async with serving() as running:
        running.server.results = told
        lines, _ = await running.call(data)
    assert lines == [FAILURE]
    assert running.metrics.refusals == [why]
    assert told.results == []
