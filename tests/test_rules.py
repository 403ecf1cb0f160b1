"""Who is blocked: hardly anyone. The whole matrix of evidence, and the few cells that may block."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from agi_lookup.domain.model import (
    Action,
    CacheState,
    Liveness,
    LookupOutcome,
    Method,
    NumberType,
    Reason,
    Sourced,
    Tri,
    Verdict,
)
from agi_lookup.policy.rules import DeadNumbers, Facts, Mode, PolicyOptions, build, evaluate
from tests.fakes import DEAD, NUMBER

ENFORCE = PolicyOptions(dead_numbers=DeadNumbers(mode=Mode.ENFORCE))


def verdict(
    liveness: Liveness | None,
    *,
    options: PolicyOptions = ENFORCE,
    method: Method = Method.HLR,
    stale: bool = False,
) -> Verdict:
    sourced = Sourced(liveness, "fake", method, 0.0, CacheState.MISS, stale=stale) if liveness else None
    return evaluate(build(options), Facts(NUMBER, LookupOutcome(liveness=sourced)))


def test_a_fresh_word_of_the_subscribers_own_network_blocks() -> None:
    """B4."""
    assert verdict(DEAD) == Verdict(Action.BLOCK, 1, "dead_number")


BLOCKING = {
    (Tri.NO, reason, Method.HLR, False, Tri.NO) for reason in (Reason.UNKNOWN_SUBSCRIBER, Reason.INVALID_NUMBER)
}


@pytest.mark.parametrize("reason", Reason)
def test_nothing_else_blocks(reason: Reason) -> None:
    """B3: every reason with every reachability, method, freshness and stated validity."""
    for reachable, method, stale, valid in itertools.product(Tri, Method, (False, True), Tri):
        liveness = Liveness(reachable, reason, valid)

        blocked = verdict(liveness, method=method, stale=stale).action is Action.BLOCK

        cell = (reachable, reason, method, stale, valid)
        assert blocked == (cell in BLOCKING), cell


def test_nothing_known_allows() -> None:
    assert verdict(None).action is Action.ALLOW


def test_shadow_is_the_default_and_allows() -> None:
    assert verdict(DEAD, options=PolicyOptions()) == Verdict(Action.ALLOW, None, "dead_number", shadow=True)


def test_off_says_nothing() -> None:
    off = PolicyOptions(dead_numbers=DeadNumbers(mode=Mode.OFF))

    assert verdict(DEAD, options=off) == Verdict()


def test_the_configured_reasons_and_cause_are_used() -> None:
    options = PolicyOptions(dead_numbers=DeadNumbers(mode=Mode.ENFORCE, reasons=frozenset({Reason.ABSENT}), cause=20))

    assert verdict(replace(DEAD, reason=Reason.ABSENT), options=options) == Verdict(Action.BLOCK, 20, "dead_number")
    assert verdict(DEAD, options=options).action is Action.ALLOW


@pytest.mark.parametrize("listed", ["+447400123456", "+4474", "+44"])
def test_the_allow_list_wins(listed: str) -> None:
    """B4."""
    options = ENFORCE.model_copy(update={"allow": (listed,)})

    assert verdict(DEAD, options=options) == Verdict(rule="allow_list")


@pytest.mark.parametrize("listed", ["+447400123457", "+4475", "+1"])
def test_the_allow_list_speaks_for_its_own_numbers_only(listed: str) -> None:
    options = ENFORCE.model_copy(update={"allow": (listed,)})

    assert verdict(DEAD, options=options).action is Action.BLOCK


@pytest.mark.parametrize("kind", [t for t in NumberType if t not in (NumberType.MOBILE, NumberType.MOBILE_OR_LANDLINE)])
def test_only_mobile_numbers_can_be_dead(kind: NumberType) -> None:
    """A fixed line has no record in a home location register: "no such subscriber" proves nothing there."""
    outcome = LookupOutcome(liveness=Sourced(DEAD, "fake", Method.HLR, 0.0, CacheState.MISS))

    assert evaluate(build(ENFORCE), Facts(replace(NUMBER, type=kind), outcome)).action is Action.ALLOW
