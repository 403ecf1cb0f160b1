"""Facts and results as the tests of the policy want them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from agi_lookup.domain.model import (
    CacheState,
    CallResult,
    Identity,
    Liveness,
    LookupOutcome,
    Method,
    Number,
    Sourced,
)
from agi_lookup.policy.facts import Facts, Price
from agi_lookup.policy.history import History
from tests.fakes import NUMBER

NOW = 1_700_000_000.0  # a Tuesday, 22:13:20 UTC
DAY = 86_400.0


def facts(
    liveness: Liveness | None = None,
    identity: Identity | None = None,
    *,
    number: Number = NUMBER,
    method: Method = Method.HLR,
    stale: bool = False,
    stale_identity: bool = False,
    provider: str = "fake",
    age_s: float = 0.0,
    caller: str = "PJSIP/alice",
    now: float | None = NOW,
    cost: str = "",
    history: History | None = None,
) -> Facts:
    outcome = LookupOutcome(
        identity=Sourced(identity, provider, method, NOW - age_s, CacheState.MISS, stale_identity)
        if identity
        else None,
        liveness=Sourced(liveness, provider, method, NOW - age_s, CacheState.MISS, stale) if liveness else None,
    )
    amount, _, currency = cost.partition(" ")
    price = Price(Decimal(amount), currency) if cost else None
    return Facts(number, outcome, caller, now, price, history)


ANSWERED = CallResult(NUMBER.e164, "a", "ANSWER", 16, 200, pdd_ms=1500, billsec=30)
RANG = replace(ANSWERED, dialstatus="NOANSWER", cause=19, sip_code=480, billsec=None)
BUSY = CallResult(NUMBER.e164, "a", "BUSY", 17, 486)
NO_SUCH_NUMBER = CallResult(NUMBER.e164, "a", "CHANUNAVAIL", 1, 404)
BAD_FORMAT = CallResult(NUMBER.e164, "a", "CHANUNAVAIL", 28, 484)
NO_CIRCUIT = CallResult(NUMBER.e164, "a", "CONGESTION", 34, 503)
DEAD_TRUNK = CallResult(NUMBER.e164, "a", "CHANUNAVAIL", 18, 408)
NO_ANSWER = CallResult(NUMBER.e164, "a", "NOANSWER", 19, None)
CANCELLED = CallResult(NUMBER.e164, "a", "CANCEL", 16, 487)
