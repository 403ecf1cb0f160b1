"""Asks for rows, some at a time, until there are no more or it is of no use to go on.

A provider that is busy, limits the rate or is away is waited for, as long as others bring answers and `retry_s` longer. What may
have been charged in vain is left open, for another run. A run that is stopped takes no new rows, and waits for what it asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol, TypeAlias

from agi_lookup.bulk.answers import HOPELESS, UNKNOWN_S, Shown, Verdict, add_cost, cells, verdict, with_cost, word
from agi_lookup.bulk.journal import Line
from agi_lookup.bulk.rows import Known, Totals, Wanted
from agi_lookup.domain.errors import ProviderOverBudget
from agi_lookup.domain.model import CacheState

INTERRUPTED: Final = "interrupted"
SERVER_STARTED: Final = "server_started"
GRACE_S: Final = 30.0
"""How long a run that is stopped waits for what it asked."""
SYNC_S: Final = 1.0
FIRST_PAUSE_S: Final = 1.0
LAST_PAUSE_S: Final = 15.0
FEWEST_LOST: Final = 20
"""Rows in a row that end without an answer before the run ends too; twice what is asked at a time, if that is more."""

Look: TypeAlias = Callable[[str], Awaitable[Shown]]
"""Looks a number up, as it is written. Raises `AgiLookupError` where it is of no use to ask for others."""


class Kept(Protocol):
    def write(self, line: Line) -> None: ...
    async def sync(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """`burst_s`: how long a spending cap may hold that is not a day's."""

    concurrency: int
    retry_s: float
    burst_s: float = 0.0
    fresh: bool = False


class Run:
    """`stopped` says why it ended before all rows were asked: `interrupted`, `server_started`, or an error's stable word."""

    def __init__(
        self, left: Iterator[Wanted | Known | None], look: Look, kept: Kept, pace: Pace, totals: Totals
    ) -> None:
        self.stopped = ""
        self._left = left
        self._look = look
        self._kept = kept
        self._pace = pace
        self._totals = totals
        self._stop = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []
        self._answered_at = 0.0
        self._lost = 0  # rows in a row

    async def run(self) -> None:
        """Raises what `look` raises, and `OutsideError` when the journal cannot be written."""
        loop = asyncio.get_running_loop()
        self._answered_at = loop.time()
        self._workers = [loop.create_task(self._work()) for _ in range(self._pace.concurrency)]
        ended = loop.create_task(asyncio.wait(self._workers, return_when=asyncio.FIRST_EXCEPTION))
        stopped, sync = loop.create_task(self._stop.wait()), loop.create_task(self._sync())
        everyone = (*self._workers, ended, stopped, sync)
        try:
            await asyncio.wait([ended, stopped, sync], return_when=asyncio.FIRST_COMPLETED)
            if self._stop.is_set():
                await asyncio.wait([ended, sync], timeout=GRACE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in everyone:
                task.cancel()
            await asyncio.gather(*everyone, return_exceptions=True)
        for task in (*self._workers, sync):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def interrupt(self) -> None:
        """End. The second time, do not wait for what was asked either: what comes is cached."""
        if self._stop.is_set():
            for task in self._workers:
                task.cancel()
        self.end(INTERRUPTED)

    def end(self, why: str) -> None:
        """Take no new rows."""
        self.stopped = self.stopped or why
        self._stop.set()

    async def _work(self) -> None:
        for row in self._left:
            if self._stop.is_set():
                return
            if isinstance(row, Wanted):
                await self._ask(row)
            elif row is not None:
                self._totals.bad += 1
                self._keep(row.index, row.shown, done=True)
            await asyncio.sleep(0)  # an answer of the cache takes no time

    async def _ask(self, row: Wanted) -> None:
        """Until it is done, or of no use; a row that a stop cuts short is not kept."""
        await self._pause(min(row.again_at - time.time(), max(UNKNOWN_S.values())))
        began, pause_s = asyncio.get_running_loop().time(), FIRST_PAUSE_S
        spent: dict[str, Decimal] = {}
        while not self._stop.is_set():
            shown = await self._look(row.text)
            add_cost(shown, spent)
            add_cost(shown, self._totals.spent)
            self._totals.asked += 1
            said = verdict(shown, fresh=self._pace.fresh)
            if said is not Verdict.AGAIN or self._in_vain(shown, began):
                self._keep(row.index, with_cost(shown, spent), done=said is Verdict.DONE)
                self._judge(shown, said)
                return
            await self._pause(pause_s)
            pause_s = min(2 * pause_s, LAST_PAUSE_S)

    def _in_vain(self, shown: Shown, began: float) -> bool:
        """Has nothing been answered for too long?"""
        over_budget = word(shown) == ProviderOverBudget.code
        patience_s = self._pace.burst_s if over_budget else self._pace.retry_s
        return asyncio.get_running_loop().time() - max(began, self._answered_at) >= patience_s

    def _judge(self, shown: Shown, said: Verdict) -> None:
        """Is it of use to go on?"""
        if said is not Verdict.DONE:
            self._lost += 1
            if word(shown) in HOPELESS or self._lost >= max(FEWEST_LOST, 2 * self._pace.concurrency):
                self.end(word(shown))
        elif shown.get("cache") == CacheState.MISS.value:
            self._lost = 0
            self._answered_at = asyncio.get_running_loop().time()

    def _keep(self, row: int, shown: Shown, *, done: bool) -> None:
        now = time.time()
        again_at = 0.0 if done else now + UNKNOWN_S.get(word(shown), 0.0)
        self._kept.write(Line(row=row, done=done, at=now, cells=cells(shown), again_at=again_at))
        self._totals.done += done
        self._totals.open += not done

    async def _pause(self, seconds: float) -> None:
        """Or until the run is stopped."""
        if seconds <= 0:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    async def _sync(self) -> None:
        while True:
            await asyncio.sleep(SYNC_S)
            await self._kept.sync()
