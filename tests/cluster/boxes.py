"""Instances in one process, each with a budget and a line of its own, over one real Valkey."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from agi_lookup.cache.valkey.health import Health
from agi_lookup.cache.valkey.link import Command, Reply
from agi_lookup.cache.valkey.open import link_to
from agi_lookup.cache.valkey.options import SharedOptions
from agi_lookup.cache.valkey.reader import Reader
from agi_lookup.cluster.leases import Leases
from agi_lookup.cluster.options import ClusterOptions
from agi_lookup.domain.errors import CacheError, ProviderOverBudget
from agi_lookup.lookup.budget import Budget
from agi_lookup.lookup.caps import BudgetOptions
from agi_lookup.lookup.gates import Gates
from agi_lookup.lookup.line import Line
from tests.cache.servers import Server
from tests.lookup.money import CREDITS, NOW, NUMBER, Alarms

PREFIX = "agi-lookup:cluster"


@dataclass
class Monotonic:
    """Seconds; none pass but those that the test says."""

    ahead_s: float = 0.0
    started: float = field(default_factory=time.monotonic)

    def __call__(self) -> float:
        return self.started + self.ahead_s


class Wire:
    """To the server, until it is cut."""

    def __init__(self, server: Server) -> None:
        options = SharedOptions.model_validate({"url": server.url})
        health = Health("test", tell=lambda _why: None, count=lambda _word: None)
        self._reader: Reader[tuple[Command, ...]] = Reader(
            link_to(options), list, (("PING",),), timeout_s=10.0, health=health, from_sending=True
        )
        self.cut = False

    async def open(self) -> None:
        await self._reader.start()

    async def ask(self, question: tuple[Command, ...]) -> list[Reply]:
        if self.cut:
            raise CacheError("cut off")
        return await self._reader.replies(question)

    async def close(self) -> None:
        await self._reader.close()


class Box:
    """`buy` as long as it may; `bought` credits so far."""

    def __init__(self, name: str, server: Server, caps: BudgetOptions, cluster: ClusterOptions) -> None:
        self.wire = Wire(server)
        self.monotonic = Monotonic()
        self.leases = Leases(self.wire.ask, PREFIX, lambda: name, cluster, lambda _word: None, monotonic=self.monotonic)
        self.alarms = Alarms()
        self.budget = Budget(caps, self.alarms, self.leases)
        self.budget.configure(caps, CREDITS, NOW)
        self.bought = 0

    async def renew(self, at: float = NOW) -> None:
        await self.leases.renew(self.budget.standing, at)

    def buy(self, at: float = NOW) -> bool:
        try:
            self.budget.reserve("npl", "default", NUMBER, None, at)
        except ProviderOverBudget:
            return False
        self.bought += 1
        return True

    def buy_all(self, at: float = NOW) -> int:
        """As many as it may."""
        count = 0
        while self.buy(at):
            count += 1
        return count

    def cut_off(self) -> None:
        """And it has noticed."""
        self.wire.cut = True
        self.monotonic.ahead_s += 60.0


@asynccontextmanager
async def boxes(
    server: Server,
    count: int,
    caps: BudgetOptions,
    *,
    set_up: Callable[[Box], None] = lambda _box: None,
    **cluster: object,
) -> AsyncIterator[list[Box]]:
    options = ClusterOptions.model_validate({"instances": count, **cluster})
    some = [Box(f"box{n}", server, caps, options) for n in range(count)]
    try:
        for box in some:
            await box.wire.open()
            set_up(box)
            await box.renew()
        yield some
    finally:
        for box in some:
            await box.wire.close()


def line(max_concurrency: int, max_per_minute: int | None = None) -> Line:
    return Line(Gates(max_concurrency=max_concurrency, max_per_minute=max_per_minute), 1)


def total(some: list[Box]) -> int:
    return sum(box.bought for box in some)
