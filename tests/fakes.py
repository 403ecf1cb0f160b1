"""Fakes that the tests share. A fake with nothing scripted fails loudly."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import ClassVar

from agi_lookup.cache.base import CacheEntry, Hits
from agi_lookup.domain.errors import ProviderError
from agi_lookup.domain.model import (
    Decision,
    Facet,
    Identity,
    Liveness,
    LookupAnswer,
    Method,
    Number,
    NumberType,
    Reason,
    Tri,
)
from agi_lookup.providers.base import Lookup, NumberResult

NUMBER = Number("+447400123456", country="GB", type=NumberType.MOBILE, valid=Tri.YES, portable=Tri.YES)
KNOWN = Identity(carrier="Example Mobile", mcc="234", mnc="15", ported=Tri.YES)
PARTLY = Identity(carrier="Example Mobile")
ALIVE = Liveness(Tri.YES, Reason.OK, Tri.YES)
DEAD = Liveness(Tri.NO, Reason.UNKNOWN_SUBSCRIBER, Tri.NO)
ABSENT = Liveness(Tri.NO, Reason.ABSENT, Tri.YES)
UNSAID = Liveness()


class Clock:
    """Unix seconds that the test moves."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def answer(
    identity: Identity | None = KNOWN, liveness: Liveness | None = ALIVE, *, now: float = 0.0, number: str = NUMBER.e164
) -> LookupAnswer:
    return LookupAnswer(number, "fake", Method.HLR, now, identity, liveness, Decimal("1.00"), "credits")


@dataclass
class FakeSource:
    """A provider and its driver in one: answers what is scripted, in order; the last item repeats.

    With `gate`, each request waits until the test opens it. `requests` counts what a vendor would bill.
    """

    script: Sequence[LookupAnswer | ProviderError | Exception]
    name: str = "fake"
    kind: ClassVar[str] = "fake"
    provides: frozenset[Facet] = frozenset(Facet)
    currency: str = "credits"
    gate: asyncio.Event | None = None
    requests: int = 0
    cancelled: int = 0
    clock: Clock = field(default_factory=Clock)
    lag_s: float = 0.0  # how old its news is

    def lookup(self, numbers: Sequence[Number], now: float) -> Lookup:
        yield from ()
        raise AssertionError("run() answers for the vendor")

    async def run(self, lookup: Lookup, *, timeout_s: float) -> Mapping[str, NumberResult]:
        self.requests += 1
        result = self.script[min(self.requests, len(self.script)) - 1]
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(result, LookupAnswer):
            return {result.number: replace(result, provider=self.name, observed_at=self.clock() - self.lag_s)}
        raise result


class FakeCache:
    """A cache in a dict; `reads` counts what would have gone to disk."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[Facet, CacheEntry]] = {}
        self.reads = 0

    def peek(self, number: str) -> Hits:
        return dict(self.entries.get(number, {}))

    def may_tell(self, number: str) -> bool:
        return True

    async def get(self, number: str, facets: frozenset[Facet]) -> Hits:
        self.reads += 1
        return self.peek(number)

    def put(self, entries: Sequence[CacheEntry]) -> None:
        for entry in entries:
            self.entries.setdefault(entry.number, {})[entry.facet] = entry


@dataclass
class FakeMetrics:
    """Counts by word."""

    bugs: list[str] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    alarms: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    calls: list[Decision] = field(default_factory=list)

    def bug(self, where: str) -> None:
        self.bugs.append(where)

    def source_asked(self, provider: str, result: str, seconds: float, answer: LookupAnswer | None) -> None:
        self.asked.append((provider, result))

    def alarm(self, code: str, detail: str) -> None:
        self.alarms.append((code, detail))

    def refused(self, why: str) -> None:
        self.refusals.append(why)

    def call(self, decision: Decision, seconds: float) -> None:
        self.calls.append(decision)
