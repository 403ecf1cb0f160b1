"""The writing side: a task that writes what waits within 250 ms, tries again while it cannot, purges and mends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import aiosqlite

from agi_lookup.cache.base import Count, OnAlarm
from agi_lookup.cache.queue import WriteQueue
from agi_lookup.cache.sqlite import file, statements
from agi_lookup.cache.sqlite.purge import SLICE_ROWS, SLICES, Purger
from agi_lookup.cache.sqlite.writer import TROUBLE, Writer
from agi_lookup.domain.errors import CacheError

OK: Final = "ok"
IDLE: Final = "idle"

BATCH_ROWS: Final = 500
BATCH_S: Final = 0.25
FIRST_PAUSE_S: Final = 0.25
LAST_PAUSE_S: Final = 5.0
PURGE_EVERY_S: Final = 10.0
ALARM_EVERY_S: Final = 300.0
"""One kind of alarm, while its trouble lasts or comes and goes; every trouble is counted."""


class WriteBehind:
    """`state` is "ok", "idle" before the first write, or why nothing is written; `on_ready` is called when it turns to "ok"."""

    def __init__(
        self,
        writer: Writer,
        queue: WriteQueue,
        purger: Purger,
        *,
        clock: Callable[[], float],
        on_ready: Callable[[], None],
        on_alarm: OnAlarm,
        count: Count,
    ) -> None:
        self.state = IDLE
        self._writer = writer
        self._queue = queue
        self._purger = purger
        self._clock = clock
        self._on_ready = on_ready
        self._on_alarm = on_alarm
        self._count = count
        self._damage = ""
        self._told_until: dict[str, float] = {}
        self._purge_at = 0.0
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        """For ever."""
        pause_s = FIRST_PAUSE_S
        while True:
            await _wait(self._wake, PURGE_EVERY_S)
            await _wait(self._hurry, BATCH_S)
            self._wake.clear()
            self._hurry.clear()
            try:
                await self._work()
                pause_s = FIRST_PAUSE_S
            except Exception as error:  # noqa: BLE001 - counted and told; not even a bug may end the writing
                self._failed(error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LAST_PAUSE_S)
                self._wake.set()

    def nudge(self) -> None:
        """Something waits in the queue."""
        self._wake.set()
        if len(self._queue) >= BATCH_ROWS:
            self._hurry.set()

    def damaged(self, why: str) -> None:
        """A reader met damage: start on a new file, where this one is ours."""
        self._damage = why
        self._wake.set()
        self._hurry.set()

    def replaced(self, what: str) -> None:
        """The file was put aside; a new one is made next."""
        self.state = "a new file is made"
        self._purger.start_over()
        self._count("sqlite_corrupt")
        self._tell("sqlite_corrupt", what)

    def imported(self, rows: int) -> None:
        self._purger.wrote(rows)

    async def flush(self, timeout_s: float) -> None:
        """Write all that waits. Raises `CacheError`; what could not be written waits on."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._drain()
        except TROUBLE as error:
            self._failed(error)
            raise CacheError(self.state) from error

    async def purge(self, now: float) -> int:
        """Returns how many rows went, `SLICES` x `SLICE_ROWS` at most. Raises one of `TROUBLE`."""
        gone = 0
        for _ in range(SLICES):
            async with self.session() as connection:
                slice_ = await self._purger.slice(connection, now)
            gone += slice_
            if slice_ < SLICE_ROWS:
                break
        return gone

    async def empty_log(self) -> None:
        """So that nothing of what was erased is left in it. Raises one of `TROUBLE`."""
        for _ in range(file.EMPTY_TRIES):
            async with self.session() as connection:
                done = await (await connection.execute(file.EMPTY_LOG)).fetchone()
            if done is not None and not done[0]:
                return
            await asyncio.sleep(file.EMPTY_PAUSE_S)
        self._count("sqlite_log_not_emptied")

    async def open(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s), self.session():
                pass
        except TROUBLE as error:
            self._failed(error)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[aiosqlite.Connection]:
        """See `Writer.session`."""
        async with self._writer.session() as connection:
            yield connection
        before, self.state = self.state, OK
        if before != OK:
            self._count("sqlite_ready")
            self._on_ready()

    async def _work(self) -> None:
        if self._damage:
            why, self._damage = self._damage, ""
            await self._writer.replace_file(why)
            async with self.session():
                pass
        await self._drain()
        now = asyncio.get_running_loop().time()
        if now >= self._purge_at:
            self._purge_at = now + PURGE_EVERY_S
            await self.purge(self._clock())

    async def _drain(self) -> None:
        while len(self._queue):
            async with self.session() as connection:
                batch = self._queue.oldest(BATCH_ROWS)
                await statements.write(connection, batch, lambda: self._count("sqlite_bad_entry"))
            self._queue.written(batch)
            self._purger.wrote(len(batch))

    def _failed(self, error: Exception) -> None:
        self._count("sqlite_write_failed")
        self.state = str(error) or type(error).__name__
        self._tell(getattr(error, "alarm", "sqlite_failing"), self.state)

    def _tell(self, code: str, detail: str) -> None:
        """Alarm the operator, but not for every try."""
        now = asyncio.get_running_loop().time()
        if now >= self._told_until.get(code, 0.0):
            self._told_until[code] = now + ALARM_EVERY_S
            self._on_alarm(code, detail)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    """Until the event or the time, whichever is first."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
