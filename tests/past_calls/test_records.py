"""What is kept of a decision."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agi_lookup.call import CallRequest
from agi_lookup.calls.options import NumbersKept
from agi_lookup.calls.records import Told, record_of
from agi_lookup.calls.rows import kept
from agi_lookup.domain.model import Decision, LookupOutcome, Number, NumberType, Route, Status, Tri
from tests.past_calls.logged import CALLER, NOW, NUMBER, call

REQUEST = CallRequest("07400 123456", channel="1.1", caller=CALLER)


def test_a_decision_becomes_a_record() -> None:
    full = call()
    decision = Decision(
        Status.OK,
        Number(NUMBER, "GB", NumberType.MOBILE, Tri.YES),
        LookupOutcome(Status.OK, full.identity, full.liveness),
        full.verdict,
        routes=(
            Route("acme", "PJSIP/447400123456@acme", Decimal("0.012"), "EUR", "prefix 44 cheapest"),
            Route("bravo", "PJSIP/447400123456@bravo", Decimal("0.02"), "EUR", "prefix 44 next"),
        ),
    )

    assert record_of(REQUEST, decision, NOW, full.book) == full
    assert full.routes[0] == Told("acme", Decimal("0.012"), "EUR")


def test_a_call_for_help_is_logged_without_what_was_dialled() -> None:
    record = record_of(CallRequest("999", channel="1.1"), Decision(Status.EMERGENCY), NOW)

    assert (record.status, record.number, record.routes) == (Status.EMERGENCY, "", ())


def test_what_a_caller_sends_is_cut() -> None:
    record = record_of(CallRequest("1", channel="c" * 9999, caller="x" * 9999), Decision(Status.BADNUMBER), NOW)

    assert (len(record.channel), len(record.caller)) == (256, 256)


def test_a_record_shows_no_number() -> None:
    assert "123456" not in repr(call())


@pytest.mark.parametrize(
    ("number", "how", "shown"),
    [
        (NUMBER, NumbersKept.MASKED, "+44740012****"),
        ("+2901234", NumbersKept.MASKED, "+290****"),
        (NUMBER, NumbersKept.HASHED, ""),
        (NUMBER, NumbersKept.FULL, NUMBER),
        ("", NumbersKept.MASKED, ""),
    ],
)
def test_numbers_are_kept_as_the_config_says(number: str, how: NumbersKept, shown: str) -> None:
    assert kept(number, how) == shown
