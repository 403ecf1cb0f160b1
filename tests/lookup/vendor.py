"""Fakes around a link: a vendor that answers as a script says, and a purse that notices every wrong booking."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, TypeAlias

from agi_lookup.domain.errors import ProviderError, ProviderNotBooked, ProviderOverBudget
from agi_lookup.domain.model import Facet, Identity, LookupAnswer, Method, Number, Tri
from agi_lookup.lookup.budget import Payer
from agi_lookup.lookup.gates import Gates
from agi_lookup.lookup.line import Line
from agi_lookup.lookup.link import Link, Notices
from agi_lookup.providers.base import Lookup, NumberResult

Reply: TypeAlias = Mapping[str, NumberResult]
Script: TypeAlias = Callable[[Sequence[Number]], Awaitable[Reply]]
COST: Decimal = Decimal("1.5")


def number(index: int, prefix: str = "+4477009") -> Number:
    return Number(f"{prefix}{index:05}", country="GB")


def answer(asked: Number) -> LookupAnswer:
    """Each number has a network of its own, so that no answer can pass for another's."""
    identity = Identity(carrier=f"of {asked.e164}", mcc="234", mnc="15", ported=Tri.NO)
    return LookupAnswer(asked.e164, "fake", Method.HLR, 0.0, identity, cost=COST, currency="credits")


async def good(numbers: Sequence[Number]) -> Reply:
    return {one.e164: answer(one) for one in numbers}


def failing(error: Exception) -> Script:
    async def script(_numbers: Sequence[Number]) -> Reply:
        raise error

    return script


def after(seconds: float, then: Script = good) -> Script:
    async def script(numbers: Sequence[Number]) -> Reply:
        await asyncio.sleep(seconds)
        return await then(numbers)

    return script


@dataclass
class Vendor:
    """A provider and its driver in one. `requests` holds the numbers of each request, in the order sent."""

    script: Script = good
    name: str = "fake"
    kind: ClassVar[str] = "fake"
    provides: frozenset[Facet] = frozenset(Facet)
    currency: str = "credits"
    requests: list[list[str]] = field(default_factory=list)
    now: list[float] = field(default_factory=list)
    under_way: int = 0
    most: int = 0  # under way at once
    _numbers: Sequence[Number] = ()

    def lookup(self, numbers: Sequence[Number], now: float) -> Lookup:
        self._numbers = numbers
        self.now.append(now)
        return self._never()

    def _never(self) -> Lookup:
        yield from ()
        raise AssertionError("run() answers for the vendor")

    async def run(self, lookup: Lookup, *, timeout_s: float) -> Reply:
        lookup.close()
        numbers = self._numbers
        self.requests.append([one.e164 for one in numbers])
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            return await self.script(numbers)
        finally:
            self.under_way -= 1


@dataclass(eq=False)
class Reserved:
    number: str
    payer: Payer
    state: str = "reserved"
    result: NumberResult | None = None


@dataclass
class FakePurse:
    """Every reservation goes reserved, intended, settled; or reserved (intended), released. There is money for `left` more."""

    left: float = float("inf")
    writable: bool = True
    write_s: float | None = None  # None: at once
    all: list[Reserved] = field(default_factory=list)

    def reserve(self, provider: str, number: str, payer: Payer, now: float) -> Reserved:
        if self.left <= 0:
            raise ProviderOverBudget
        self.left -= 1
        self.all.append(Reserved(number, payer))
        return self.all[-1]

    async def intend(self, reservations: Sequence[Reserved]) -> None:
        if self.write_s is not None:
            await asyncio.sleep(self.write_s)
        if not self.writable:
            raise ProviderNotBooked
        for one in reservations:
            assert one.state == "reserved"
            one.state = "intended"

    def settle(self, reservation: Reserved, result: NumberResult) -> None:
        assert reservation.state == "intended", reservation.state
        reservation.state, reservation.result = "settled", result

    def release(self, reservation: Reserved) -> None:
        assert reservation.state in {"reserved", "intended"}, reservation.state
        reservation.state = "released"
        self.left += 1

    def count(self, state: str) -> int:
        return sum(1 for one in self.all if one.state == state)


class World:
    """A link to a fake vendor, and callers who ask it."""

    def __init__(
        self,
        script: Script = good,
        *,
        max_batch: int = 1,
        purse: FakePurse | None = None,
        notices: Notices | None = None,
        **gates: Any,
    ) -> None:
        self.vendor = Vendor(script)
        self.purse = purse
        self.gates = Gates(**{"max_concurrency": 4, **gates})
        self.line = Line(self.gates, max_batch)
        self.link = Link(self.vendor, self.vendor, self.line, timeout_s=10.0, purse=purse, notices=notices)

    async def ask(self, asked: Number | int, within_s: float = 5.0) -> LookupAnswer:
        deadline = asyncio.get_running_loop().time() + within_s
        asked = number(asked) if isinstance(asked, int) else asked
        return await self.link.ask(asked, 1_700_000_000.0, lambda: deadline, Payer("default"))

    async def try_to_ask(self, asked: Number | int, within_s: float = 5.0) -> LookupAnswer | ProviderError:
        try:
            return await self.ask(asked, within_s)
        except ProviderError as error:
            return error

    def start(self, asked: Number | int, within_s: float = 5.0) -> asyncio.Task[LookupAnswer | ProviderError]:
        return asyncio.create_task(self.try_to_ask(asked, within_s))

    async def ask_all(self, count: int, within_s: float = 5.0) -> list[LookupAnswer | ProviderError]:
        return await asyncio.gather(*(self.start(index, within_s) for index in range(count)))
