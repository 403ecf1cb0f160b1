"""The last calls in memory: bounded, masked wherever a number stands, and gone when it is to be forgotten."""

from __future__ import annotations

import gc
import json
import weakref
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.call import CallRequest
from agi_lookup.domain.model import (
    Attempt,
    CacheState,
    Decision,
    Identity,
    LookupOutcome,
    Method,
    Number,
    NumberType,
    Route,
    Sourced,
    Status,
    Tri,
)
from agi_lookup.keyed import NumberIds
from agi_lookup.recent import RecentCalls, hide
from agi_lookup.web import shapes

NUMBER = Number("+447400123456", "GB", NumberType.MOBILE, Tri.YES)
IDS = NumberIds(Path("/nowhere"))
NOW = 1_764_514_920.5


def decided(number: Number | None = NUMBER, dial: str = "PJSIP/77447400123456@acme") -> Decision:
    identity = Identity(carrier="Vodafone", mcc="234", mnc="15", lrn="07400123456", ported=Tri.YES)
    outcome = LookupOutcome(
        Status.OK,
        Sourced(identity, "npl", Method.HLR, NOW - 3, CacheState.MISS),
        attempts=(Attempt("npl", "answer", 410.2, Decimal("1.00"), "credits"),),
    )
    route = Route("acme", dial, Decimal("0.012"), "EUR", "prefix 4474 cheapest")
    return Decision(Status.OK, number, outcome, routes=(route,))


def noted(calls: RecentCalls, number: Number | None = NUMBER, **changes: str) -> None:
    calls.add(
        CallRequest("07400 123456", channel="1764514919.42", caller="+447700900009"),
        decided(number, **changes),
        NOW,
        0.4127,
    )


def lines(calls: RecentCalls) -> list[dict[str, Any]]:
    return [calls.line(call, IDS) for call in calls.newest(500)]


def one(calls: RecentCalls) -> tuple[shapes.Call, shapes.ExplainedCall]:
    """The newest as both are sent."""
    line = msgspec.convert(json.loads(msgspec.json.encode(lines(calls)[0])), shapes.Call)
    whole = calls.find(line.id, IDS)
    return line, msgspec.convert(json.loads(msgspec.json.encode(whole)), shapes.ExplainedCall)


def test_a_call_is_shown_with_all_that_was_decided() -> None:
    calls = RecentCalls(10)
    noted(calls)
    line, whole = one(calls)
    assert (line.number, line.number_id, line.carrier, line.trunk) == (
        "+4474******56",
        IDS(NUMBER.e164),
        "Vodafone",
        "acme",
    )
    assert (line.ms, line.routes, line.cache, line.status) == (412.7, 1, CacheState.MISS, Status.OK)
    assert [(a.provider, a.result, a.cost) for a in whole.attempts] == [("npl", "answer", "1.00")]
    assert (whole.id, whole.age_s, whole.identity.mccmnc) == (line.id, 3, "23415")


def test_no_form_of_the_number_and_no_caller_is_shown() -> None:
    """S13, S15: the dial string and the routing number hold it too."""
    calls = RecentCalls(10)
    for dial in (
        "PJSIP/447400123456@acme",
        "SIP/acme/99#07400123456",
        "PJSIP/+447400123456;npdi@acme",
        "Local/7400123456@x",
    ):
        noted(calls, dial=dial)
        shown = json.dumps([msgspec.to_builtins(part) for part in one(calls)])
        assert "0123456" not in shown
        assert "900009" not in shown
        assert "acme" in shown


@given(
    st.text("0123456789+@/;#", max_size=12),
    st.text("0123456789+@/;#", max_size=12),
    st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True),
)
def test_whatever_stands_around_a_number_it_is_hidden(before: str, after: str, number: str) -> None:
    assert number[-7:].removeprefix("+") not in json.dumps(hide({"x": [f"{before}{number[1:]}{after}"]}, number))


def test_calls_without_a_number_are_shown_without_one() -> None:
    """B1: of a call for help nothing is kept but that there was one."""
    calls = RecentCalls(10)
    calls.add(CallRequest("112", channel="1.1"), Decision(Status.EMERGENCY), NOW, 0.001)
    line, whole = one(calls)
    assert (line.status, line.number, line.number_id, whole.number) == (Status.EMERGENCY, None, None, None)
    calls.add(CallRequest("07400 12345x", channel="1.2"), Decision(Status.BADNUMBER, error="bad_character"), NOW, 0.001)
    line, whole = one(calls)
    assert (line.error, line.number) == ("bad_character", None)
    assert "12345" not in json.dumps(msgspec.to_builtins(whole))


def test_only_so_many_are_kept_and_each_has_an_id_of_its_own() -> None:
    calls = RecentCalls(3)
    for _ in range(5):
        noted(calls)
    shown = lines(calls)
    assert [int(call["id"].partition("-")[2]) for call in shown] == [5, 4, 3]
    assert len(calls.newest(2)) == 2
    assert calls.find(shown[0]["id"].replace("-5", "-1"), IDS) is None, "it has left"
    assert calls.find("", IDS) is None


def test_none_are_kept_where_none_are_wanted() -> None:
    calls = RecentCalls(0)
    noted(calls)
    assert calls.newest(500) == []


def test_a_forgotten_number_is_gone_and_no_other() -> None:
    """S15."""
    calls = RecentCalls(10)
    other = replace(NUMBER, e164="+447400999999")
    for number in (NUMBER, other, None, NUMBER):
        noted(calls, number)
    assert calls.forget(NUMBER.e164) == 2
    assert calls.forget(NUMBER.e164) == 0
    assert [call["number"] for call in lines(calls)] == [None, "+4474******99"]
    for _ in range(20):
        noted(calls, other)
    assert len(calls) == 10, "and it is still bounded"


def test_no_book_of_rates_is_held_by_a_call_that_went_by_it() -> None:
    """A deleted book takes room on the disk for as long as something maps it."""

    class Router:
        def started(self, now: float) -> None: ...

    router = Router()
    gone = weakref.ref(router)
    calls = RecentCalls(10)
    decision = replace(decided(), accepted=partial(router.started))
    calls.add(CallRequest("07400123456", channel="1.1"), decision, NOW, 0.1)
    del router, decision
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("name", ["dialled", "caller", "accepted"])
def test_what_is_not_to_be_kept_has_no_place(name: str) -> None:
    from agi_lookup.recent import Call

    assert name not in Call.__struct_fields__
