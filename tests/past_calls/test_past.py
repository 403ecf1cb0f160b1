"""Past calls made ready: what is known of them, and which are left out."""

from __future__ import annotations

from typing import Any

import pytest

from agi_lookup.calls.cdr import Cdr
from agi_lookup.calls.past import Decided, PastCall, Skipped, logged, recorded, talked_s
from agi_lookup.calls.records import LoggedCall, LoggedResult
from agi_lookup.domain.dial_plan import DialPlan
from agi_lookup.domain.model import ALLOW, CacheState, Method, Number, NumberClass, NumberType, Sourced, Status, Tri
from tests.past_calls.logged import NOW, NUMBER, VODAFONE, call

GB = DialPlan(country="GB", extensions=("2XX",))
KNOWN = Sourced(VODAFONE, "npl", Method.MNP, NOW, CacheState.FRESH)


def of_cdr(dialled: str) -> PastCall | Skipped:
    cdr = Cdr(7, NOW, dialled, "default", "PJSIP/alice", "1.1", 9)
    (found,) = recorded([cdr], {"default": GB}, lambda number, _at: KNOWN if number == NUMBER else None)
    return found


def of_log(number: str = "+44740012****", **said: Any) -> PastCall | Skipped:
    return logged(LoggedCall(7, call(number, **said), (LoggedResult(NOW, "acme", "ANSWER", billsec=9),)))


def test_a_record_is_normalised_by_its_dial_plan() -> None:
    found = of_cdr("07400 123456")

    assert isinstance(found, PastCall)
    assert (found.number.e164, found.number.country, found.dialled) == (NUMBER, "GB", "07400 123456")
    assert (found.identity, found.caller, found.billsec, found.as_logged) == (KNOWN, "PJSIP/alice", 9, None)


@pytest.mark.parametrize(
    ("dialled", "why"), [("999", "emergency"), ("112", "emergency"), ("s", "no_number"), ("", "no_number")]
)
def test_calls_for_help_and_what_is_no_number_are_left_out(dialled: str, why: str) -> None:
    assert of_cdr(dialled) == Skipped(7, why)


def test_an_extension_is_a_call_without_a_network() -> None:
    found = of_cdr("201")

    assert isinstance(found, PastCall)
    assert (found.number.kind, found.identity) == (NumberClass.EXTENSION, None)


def test_a_masked_number_is_its_leading_digits_and_never_more() -> None:
    found = of_log()

    assert isinstance(found, PastCall)
    assert found.number == Number("+44740012", "GB", NumberType.MOBILE, Tri.YES)
    assert found.is_cut
    assert (found.billsec, found.liveness) == (9, call().liveness)
    assert found.as_logged == Decided(call().verdict, call().routes[0])


def test_a_number_in_full_is_itself() -> None:
    found = of_log(NUMBER)

    assert isinstance(found, PastCall)
    assert (found.number.e164, found.is_cut) == (NUMBER, False)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"number": ""}, "no_number"),
        ({"number": "", "status": Status.BADNUMBER, "verdict": ALLOW}, "no_number"),
        ({"number": "", "status": Status.EMERGENCY, "verdict": ALLOW}, "emergency"),
    ],
)
def test_logged_calls_without_a_number_are_left_out(said: dict[str, Any], why: str) -> None:
    assert of_log(**said) == Skipped(7, why)


def test_a_logged_short_code_is_a_call() -> None:
    assert isinstance(of_log("", kind=NumberClass.SHORT), PastCall)


@pytest.mark.parametrize(
    ("results", "length_s"),
    [
        ([], None),
        ([("CONGESTION", None)], 0),
        ([("CONGESTION", None), ("ANSWER", 61)], 61),
        ([("ANSWER", 0)], 0),
        ([("ANSWER", None)], None),
        ([("BUSY", 5)], 0),
    ],
)
def test_how_long_was_talked_is_known_or_not(results: list[tuple[str, int | None]], length_s: int | None) -> None:
    said = [LoggedResult(NOW, "acme", dialstatus, billsec=billsec) for dialstatus, billsec in results]

    assert talked_s(said) == length_s


def test_a_past_call_shows_no_number() -> None:
    assert "123456" not in repr(of_cdr("07400123456"))
