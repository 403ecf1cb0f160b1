"""A carrier says "no such number" of one whose network we believe to know: looked up again behind calls, and seldom."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agi_lookup import wiring
from agi_lookup.cache.base import CacheEntry
from agi_lookup.cache.sqlite import Mode
from agi_lookup.daemon import Daemon
from agi_lookup.domain.model import Facet, Identity, LookupAnswer, Method, Tri
from agi_lookup.feedback import RECHECKS_PER_HOUR
from agi_lookup.lag import LagMeter
from agi_lookup.lookup.freshness import Lifetimes, entries
from agi_lookup.lookup.resolver import BELIEVED_S
from agi_lookup.metrics import Metrics
from agi_lookup.providers.base import NumberResult, SourceOptions
from agi_lookup.providers.ported_numbers import Row, TableQuery, TableReply
from agi_lookup.routing.capacity import Course
from tests.fakes import Clock
from tests.policy.situations import ANSWERED, BUSY, DEAD_TRUNK, NO_CIRCUIT, NO_SUCH_NUMBER
from tests.routing.routes import trunk
from tests.served import read_config

NUMBERS = [f"+3361234{index:04}" for index in range(100, 150)]
NUMBER = NUMBERS[0]
HOUR = 3600.0
OLD = Identity(carrier="Old Network", mcc="208", mnc="01", ported=Tri.NO)
UNTOLD = Row(None, None, None, Tri.UNKNOWN, None, OLD.type, None, None, 0.0, in_block=False)
MOVED = replace(UNTOLD, carrier="New Network", mcc="208", mnc="10", ported=Tri.YES)


class Table:
    """A source that says the same of every number, or knows none. `asked`: one item for each request."""

    def __init__(self, row: Row | None) -> None:
        self.row = row
        self.asked: list[tuple[str, ...]] = []

    async def run(self, lookup: Any, *, timeout_s: float) -> Mapping[str, NumberResult]:
        query: TableQuery = next(lookup)
        self.asked.append(query.numbers)
        now = time.time()
        rows = {} if self.row is None else dict.fromkeys(query.numbers, replace(self.row, imported_at=now))
        try:
            lookup.send(TableReply(rows, now))
        except StopIteration as done:
            said: Mapping[str, NumberResult] = done.value
            return said
        raise AssertionError("one read is enough")

    async def close(self) -> None: ...


class World:
    """A server's parts as `serve` puts them together. Each number's network was told `age_s` ago."""

    def __init__(self, daemon: Daemon, table: Table) -> None:
        self.table = table
        self.core = daemon.core
        self.clock = Clock()  # of the results alone: no test waits for an hour, or meets the end of one
        self.feedback = replace(daemon.feedback(), clock=self.clock)
        self._channels = 0

    def believe(self, *numbers: str, age_s: float = BELIEVED_S + HOUR) -> None:
        now = time.time()
        for number in numbers:
            told = LookupAnswer(number, "table", Method.MNP, now - age_s, OLD)
            self.core.cache.put(list(entries(told, Lifetimes(), now, 0.0)))

    def called(self, number: str = NUMBER, over: str = "acme", *, routed: bool = True, **how: Any) -> None:
        """A call was routed and its result came; `how` it differs from "no such number"."""
        self._channels += 1
        channel = f"1700000000.{self._channels}"
        if routed:
            self.core.memory.started(channel, Course((trunk(over),), "", "FR", ""), self.clock())
        self.feedback.report(replace(NO_SUCH_NUMBER, number=number, trunk=over, **how), channel)

    async def landed(self) -> list[str]:
        """Every number that was asked about, once for each time."""
        assert await self.core.flights.landed(30.0) == set()
        return [number for numbers in self.table.asked for number in numbers]

    def held(self) -> CacheEntry:
        return self.core.cache.peek(NUMBER)[Facet.IDENTITY]


@asynccontextmanager
async def world(folder: Path, row: Row | None = MOVED) -> AsyncIterator[World]:
    table = Table(row)

    def make_driver(_options: SourceOptions) -> Table:
        return table

    config = read_config(folder, providers={"table": {"kind": "ported_numbers"}})
    core = await wiring.open_core(config, Metrics(), Mode.SERVER)
    daemon = Daemon(folder / "agi-lookup.yaml", core, LagMeter(), make_driver)
    daemon.generation = daemon.build(config)
    try:
        yield World(daemon, table)
    finally:
        await daemon.close()
        await core.close(0.0)


@pytest.mark.parametrize("cause", [1, 28])
async def test_a_carriers_no_such_number_has_an_old_belief_looked_up_again(tmp_path: Path, cause: int) -> None:
    """Once, behind calls; the carrier's word itself changes nothing, what the source says does."""
    async with world(tmp_path) as site:
        site.believe(NUMBER)
        site.called(cause=cause)
        assert site.table.asked == []
        assert site.held().body == OLD

        assert await site.landed() == [NUMBER]
        body = site.held().body
        assert isinstance(body, Identity)
        assert (body.carrier, body.mnc, body.ported) == ("New Network", "10", Tri.YES)


INNOCENT: dict[str, dict[str, Any]] = {
    "it rang": {"pdd_ms": 1500},
    "it rang at once": {"pdd_ms": 0},
    "it was answered": {"dialstatus": "ANSWER"},
    "no cause": {"cause": None},
    "busy": {"dialstatus": BUSY.dialstatus, "cause": BUSY.cause, "sip_code": BUSY.sip_code},
    "no circuit": {"dialstatus": NO_CIRCUIT.dialstatus, "cause": NO_CIRCUIT.cause, "sip_code": NO_CIRCUIT.sip_code},
    "a dead trunk": {"cause": DEAD_TRUNK.cause, "sip_code": DEAD_TRUNK.sip_code},
    "an ordinary call": {"dialstatus": "ANSWER", "cause": ANSWERED.cause, "pdd_ms": 900, "billsec": 30},
    "a result of no call": {"routed": False},
}


@pytest.mark.parametrize("how", INNOCENT.values(), ids=INNOCENT)
async def test_nothing_else_has_it_looked_up(tmp_path: Path, how: dict[str, Any]) -> None:
    """F23: nor does a result that belongs to no call that we routed."""
    async with world(tmp_path) as site:
        site.believe(NUMBER)
        site.called(**how)
        assert await site.landed() == []


async def test_what_was_told_lately_is_not_doubted_until_it_is_old(tmp_path: Path) -> None:
    async with world(tmp_path) as site:
        site.called()
        assert await site.landed() == [], "nothing is believed at all"
        site.believe(NUMBER, age_s=BELIEVED_S - HOUR)
        site.called()
        assert await site.landed() == [], "believed for five hours"
        site.believe(NUMBER)
        site.called()
        assert await site.landed() == [NUMBER], "and what was not looked up counts for nothing"


async def test_once_a_day(tmp_path: Path) -> None:
    async with world(tmp_path) as site:
        site.believe(NUMBER)
        site.called()
        await site.landed()
        site.core.refreshed.clear()  # the pause of five minutes is over
        site.believe(NUMBER)
        site.clock.now += 2 * HOUR
        site.called(over="other")
        assert await site.landed() == [NUMBER]


async def test_a_vendor_that_denies_every_number_makes_nobody_pay_for_all_of_them(tmp_path: Path) -> None:
    """B5: twenty in an hour for each trunk; one that lies takes nothing from the others."""
    async with world(tmp_path) as site:
        site.believe(*NUMBERS)
        for number in NUMBERS[:30]:
            site.called(number, over="liar")
        assert await site.landed() == NUMBERS[:RECHECKS_PER_HOUR]
        site.called(NUMBERS[30], over="honest")
        assert (await site.landed())[RECHECKS_PER_HOUR:] == [NUMBERS[30]]
        site.clock.now += HOUR
        site.called(NUMBERS[31], over="liar")
        assert (await site.landed())[RECHECKS_PER_HOUR:] == [NUMBERS[30], NUMBERS[31]]


@pytest.mark.parametrize(
    "row", [UNTOLD, replace(UNTOLD, carrier="Somebody"), None], ids=["nothing", "half", "not known"]
)
async def test_a_refresh_that_settles_nothing_leaves_what_is_believed(tmp_path: Path, row: Row | None) -> None:
    """C15: whatever carriers say, the cache holds what sources said, and no less than it did."""
    async with world(tmp_path, row) as site:
        site.believe(NUMBER)
        before = site.held()
        site.called()
        assert await site.landed() == [NUMBER]
        assert site.held() == before
