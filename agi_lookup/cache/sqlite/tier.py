"""The disk tier: reads bounded in time, writes behind a bounded queue, trouble that never reaches a call.

Promises: what was put is on disk 250 ms later (in SQLite's write-ahead log, which survives `kill -9`), or waits in the queue
while the disk refuses, the oldest dropped first. A number that was forgotten does not come back. A damaged file is put aside and
a new one made; one that is newer, locked, full or unreadable is tried again and again while memory serves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final, Self

import aiosqlite

from agi_lookup.cache.base import CacheEntry, Count, Hits, OnAlarm, Standing, Stats
from agi_lookup.cache.codec import BadEntry
from agi_lookup.cache.queue import WriteQueue
from agi_lookup.cache.sqlite import file, statements
from agi_lookup.cache.sqlite.behind import WriteBehind
from agi_lookup.cache.sqlite.purge import Purger
from agi_lookup.cache.sqlite.reader import OPEN_S, Reader
from agi_lookup.cache.sqlite.seen import Seen
from agi_lookup.cache.sqlite.statements import FACETS, Row, digits, entry_of
from agi_lookup.cache.sqlite.together import SharedReads
from agi_lookup.cache.sqlite.writer import TROUBLE, Writer
from agi_lookup.domain.errors import CacheError
from agi_lookup.domain.model import Facet

CHECKED_BYTES: Final = 256 * 2**20
"""Larger files are not walked after the start: that would keep a slow disk from the calls."""


OWN_POLL_S: Final = 0.5
LEARN_AT_ONCE: Final = 1000
LEARN_PAUSE_S: Final = 0.002
"""A million numbers take three seconds, and a millisecond of the loop at a time."""


class Mode(StrEnum):
    SERVER = "server"  # the one writer, for life; writes behind
    TOOL = "tool"  # reads, and takes the lock for the time of a `flush`


@dataclass(frozen=True, slots=True)
class Limits:
    queue: int = 10_000  # changes that may wait to be written
    read_timeout_s: float = 0.1  # a read given up is a miss, and a miss is paid for
    line_s: float = 0.25  # for a place in a read: a disk that keeps more people waiting is slower than a provider
    lock_wait_s: float = 0.5  # for a tool's short write to end


class SqliteTier:
    """See `cache.base.CacheTier`. Made by `open`; to be closed whatever happens, as its threads outlive the event loop."""

    name = "sqlite"

    def __init__(
        self,
        path: Path,
        *,
        mode: Mode,
        clock: Callable[[], float],
        on_alarm: OnAlarm,
        count: Count,
        max_rows: int,
        limits: Limits,
    ) -> None:
        self._path = path
        self._mode = mode
        self._clock = clock
        self._count = count
        self._limits = limits
        self._queue = WriteQueue(limits.queue)
        self._reader = Reader(path, timeout_s=limits.read_timeout_s, on_damage=self._damaged, count=count)
        self._reads = SharedReads(self._reader, limits.line_s)
        self._writer = Writer(
            path,
            for_life=mode is Mode.SERVER,
            lock_wait_s=limits.lock_wait_s,
            clock=clock,
            on_replaced=self._replaced,
            count=count,
        )
        self._behind = WriteBehind(
            self._writer,
            self._queue,
            Purger(max_rows),
            clock=clock,
            on_ready=self._reader.retry_now,
            on_alarm=on_alarm,
            count=count,
        )
        self._seen = Seen(max_rows // len(Facet))
        self._generation = 0  # how often the file was replaced: news of an older one come too late
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        mode: Mode,
        clock: Callable[[], float],
        on_alarm: OnAlarm,
        count: Count,
        max_rows: int = 5_000_000,
        limits: Limits = Limits(),
    ) -> Self:
        """Never raises for the file's sake: without it reads raise `CacheError`, writes wait, and `state` says why."""
        tier = cls(path, mode=mode, clock=clock, on_alarm=on_alarm, count=count, max_rows=max_rows, limits=limits)
        await tier._start()
        return tier

    @property
    def state(self) -> str:
        """ "ok", "idle" before the first write, or why nothing is written."""
        return self._behind.state

    async def get(self, number: str) -> Hits:
        key = digits(number)
        waiting = self._queue.of(number)
        hits: dict[Facet, CacheEntry] = {}
        if len(waiting) < len(Facet) and not self._not_made_yet and self._seen.may_hold(key):
            generation = self._generation
            hits = self._checked(number, await self._reads.of(key), generation)
        for facet, entry in (waiting | self._queue.of(number)).items():
            hits.pop(facet, None)
            if entry is not None:
                hits[facet] = entry
        return hits

    def may_hold(self, number: str) -> bool:
        """False: it is sure that nothing is known of it, without a read."""
        return self._seen.may_hold(digits(number))

    def put(self, entries: Sequence[CacheEntry]) -> None:
        self._seen.add({digits(entry.number) for entry in entries})
        for entry in entries:
            for _ in range(self._queue.put(entry)):
                self._count("sqlite_dropped")
        self._behind.nudge()

    async def forget(self, number: str) -> int:
        """Gone for readers at once, and from the disk on return. Raises `CacheError` when the disk has to wait."""
        digits(number)
        if len(self._queue) >= self._limits.queue:
            raise CacheError("too much waits to be written")
        try:
            known = len(await self.get(number))
        except CacheError:
            known = 0
        for facet in Facet:
            self._queue.erase(number, facet)
        await self.flush()
        try:
            await self._behind.empty_log()
        except TROUBLE as error:
            raise CacheError(str(error)) from error
        return known

    async def flush(self, timeout_s: float = 2.0) -> None:
        """Write all that waits. Raises `CacheError`; what could not be written waits on."""
        await self._behind.flush(timeout_s)

    async def purge(self, now: float) -> int:
        """Delete a bounded part of what is past use or over `max_rows`; returns how many rows went. A server does so itself."""
        try:
            return await self._behind.purge(now)
        except TROUBLE as error:
            raise CacheError(str(error)) from error

    async def import_batch(self, entries: Sequence[CacheEntry]) -> int:
        """Write now what is newer than what is held; returns how many. All or none; raises `CacheError`."""
        self._seen.add({digits(entry.number) for entry in entries})
        try:
            async with self._behind.session() as connection:
                kept = await statements.keep_newer(connection, entries, self._bad_entry)
        except TROUBLE as error:
            raise CacheError(str(error)) from error
        self._behind.imported(kept)
        return kept

    async def export(self) -> AsyncIterator[CacheEntry]:
        """All that is on disk, by number. Raises `CacheError`."""
        if len(self._queue):
            await self.flush()
        after = (0, -1)
        if self._not_made_yet:
            return
        try:
            async with self._own_reader() as connection:
                while rows := await statements.page(connection, after):
                    for row in rows:
                        if (entry := self._entry(row)) is not None:
                            yield entry
                    after = rows[-1][:2]
        except TROUBLE as error:
            raise CacheError(str(error)) from error

    async def stats(self) -> Stats:
        """`ended` rows are past use and not purged yet; `waiting` changes are not written yet. Raises `CacheError`.

        Scans, on a connection of its own: 0.2 s a million rows.
        """
        rows, identities, livenesses, ended = 0, 0, 0, 0
        try:
            if not self._not_made_yet:
                async with self._own_reader() as connection:
                    rows, identities, livenesses, ended = await statements.tally(connection, self._clock())
        except TROUBLE as error:
            raise CacheError(str(error)) from error
        return {
            "state": self.state,
            "rows": rows,
            "identities": identities,
            "livenesses": livenesses,
            "ended": ended,
            "file_bytes": file.size(self._path),
            "waiting": len(self._queue),
        }

    def standing(self) -> Standing:
        return Standing(self.state, len(self._queue), None)

    async def close(self) -> None:
        """Write what waits, for 2 s at most."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self.flush()
        except CacheError:
            self._count("sqlite_unwritten")
        finally:
            await self._reads.close()
            await self._reader.close()
            await self._writer.close()

    async def _start(self) -> None:
        server = self._mode is Mode.SERVER
        if server:
            await self._behind.open(OPEN_S)
        if not self._not_made_yet:
            await self._reader.open()
        if server:
            works = (self._behind.run(), self._check(), self._learn())
            self._tasks = [asyncio.create_task(work) for work in works]

    @property
    def _not_made_yet(self) -> bool:
        """A tool before the first write: nothing is there, and that is no trouble."""
        return self._mode is Mode.TOOL and not self._path.exists()

    async def _check(self) -> None:
        """Walk the file once, behind the running service."""
        generation = self._generation
        try:
            if file.size(self._path) > CHECKED_BYTES:
                return
            async with self._own_reader() as connection:
                try:
                    sound = await statements.is_sound(connection)
                except asyncio.CancelledError:
                    await connection.interrupt()
                    raise
        except TROUBLE as error:
            sound = not file.is_corruption(error)
        if not sound:
            self._damaged("the check after opening found damage", generation)

    async def _learn(self) -> None:
        """Which numbers are there, in slices that keep nobody waiting. Not while another process may write some more."""
        while not self._writer.owns:  # noqa: ASYNC110 - another process's lock tells nobody when it goes
            await asyncio.sleep(OWN_POLL_S)
        after = 0
        try:
            async with self._own_reader() as connection:
                while numbers := await statements.numbers(connection, after):
                    for start in range(0, len(numbers), LEARN_AT_ONCE):
                        self._seen.add(numbers[start : start + LEARN_AT_ONCE])
                        await asyncio.sleep(LEARN_PAUSE_S)
                    after = numbers[-1]
        except TROUBLE:
            self._count("sqlite_not_learned")  # then each number is read
        else:
            self._seen.knows_all()

    def _own_reader(self) -> AbstractAsyncContextManager[aiosqlite.Connection]:
        return aiosqlite.Connection(partial(file.open_reader, self._path), iter_chunk_size=64)

    def _checked(self, number: str, rows: Sequence[Row], generation: int) -> dict[Facet, CacheEntry]:
        """The rows that are what they should be; the others are to go."""
        hits = {}
        for row in rows:
            entry = self._entry(row)
            if entry is not None and entry.number == number:
                hits[entry.facet] = entry
            elif entry is not None:
                self._damaged("a number was found in another's place", generation)
            elif row[1] in range(len(FACETS)) and len(self._queue) < self._limits.queue:
                self._queue.erase(number, FACETS[row[1]])
                self._behind.nudge()
        return hits

    def _entry(self, row: Row) -> CacheEntry | None:
        try:
            return entry_of(row)
        except BadEntry:
            self._bad_entry()
            return None

    def _bad_entry(self) -> None:
        self._count("sqlite_bad_entry")

    def _damaged(self, why: str, generation: int | None = None) -> None:
        """Mend the file, unless it is another one by now."""
        if generation in (None, self._generation):
            self._behind.damaged(why)

    def _replaced(self, what: str) -> None:
        self._generation += 1
        self._seen.doubt()
        self._reader.drop()
        self._behind.replaced(what)
