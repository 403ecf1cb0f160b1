"""Calls and results as the tests of the call log want them."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from agi_lookup.calls.records import CallRecord, Told
from agi_lookup.domain.model import (
    Action,
    CacheState,
    CallResult,
    Identity,
    Liveness,
    Method,
    NumberType,
    Reason,
    Sourced,
    Status,
    Tri,
    Verdict,
)

NOW = 1_800_000_000.0
DAY = 86_400.0
NUMBER = "+447400123456"
OTHER = "+447400999999"
CALLER = "PJSIP/secret-alice"
VODAFONE = Identity(carrier="Vodafone", mcc="234", mnc="15", ported=Tri.YES)
DEAD = Liveness(Tri.NO, Reason.UNKNOWN_SUBSCRIBER, valid=Tri.NO)


def call(number: str = NUMBER, at: float = NOW, channel: str = "1.1", **other: Any) -> CallRecord:
    said: dict[str, Any] = {
        "caller": CALLER,
        "country": "GB",
        "type": NumberType.MOBILE,
        "valid": Tri.YES,
        "identity": Sourced(VODAFONE, "npl", Method.MNP, at - 5, CacheState.FRESH),
        "liveness": Sourced(DEAD, "hlr", Method.HLR, at, CacheState.MISS),
        "status": Status.OK,
        "verdict": Verdict(Action.BLOCK, 1, "dead_number"),
        "routes": (Told("acme", Decimal("0.012"), "EUR"), Told("bravo", Decimal("0.02"), "EUR")),
        "book": "20261130T000000.000Z-12345678.book",
    }
    return CallRecord(at=at, channel=channel, profile="default", number=number, **(said | other))


def result(trunk: str = "acme", dialstatus: str = "ANSWER", **said: Any) -> CallResult:
    return CallResult(NUMBER, trunk, dialstatus, **({"cause": 16, "sip_code": 200, "billsec": 61} | said))


class Heard:
    """What an operator is told."""

    def __init__(self) -> None:
        self.alarms: list[tuple[str, str]] = []
        self.events: Counter[str] = Counter()

    @property
    def codes(self) -> set[str]:
        return {code for code, _ in self.alarms}

    def alarm(self, code: str, detail: str) -> None:
        self.alarms.append((code, detail))

    def count(self, event: str) -> None:
        self.events[event] += 1
