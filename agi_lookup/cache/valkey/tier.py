"""The shared tier: what one instance learns, all that share the server know. For calls a luxury, given up at any trouble.

Promises: a read takes its share of the deadline at most, and nothing while the server is in trouble. Writes wait in a bounded
queue, the oldest dropped first, and reach the others some milliseconds later. A number that was forgotten is not written back from
here.

One key a facet, `PREFIX:FORMAT:DIGITS:FACET`, so that versions with another format live side by side; its value is the same checked
body as on disk, which holds its number, and it goes by itself when the entry is of no more use. What was asked and not told never
takes the place of an answer (`NX`), whoever writes last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from agi_lookup.cache.base import CacheEntry, Count, Hits, OnAlarm, Outcome, Standing, Stats
from agi_lookup.cache.codec import FORMAT, MAX_BODY_BYTES, BadEntry, is_e164, pack, unpack
from agi_lookup.cache.queue import Change, WriteQueue
from agi_lookup.cache.valkey.behind import WriteBehind
from agi_lookup.cache.valkey.health import Health
from agi_lookup.cache.valkey.link import Command, Reply
from agi_lookup.cache.valkey.open import link_to
from agi_lookup.cache.valkey.options import SharedOptions
from agi_lookup.cache.valkey.reader import NOBODY, Reader
from agi_lookup.domain.errors import CacheError
from agi_lookup.domain.model import Facet

FACETS: Final = tuple(Facet)
ALARM_EVERY_S: Final = 300.0
"""While the trouble lasts or comes and goes; every failure is counted."""


@dataclass(frozen=True, slots=True)
class Limits:
    queue: int = 10_000  # changes that may wait to be written
    write_s: float = 2.0  # for a batch to be written, and for all that waits in the end


class ValkeyTier:
    """See `cache.base.CacheTier`. Made by `open`; to be closed whatever happens."""

    name = "valkey"

    def __init__(
        self,
        options: SharedOptions,
        *,
        clock: Callable[[], float],
        on_alarm: OnAlarm,
        count: Count,
        limits: Limits,
    ) -> None:
        self._prefix = f"{options.prefix}:{FORMAT}"
        self._clock = clock
        self._on_alarm = on_alarm
        self._count = count
        self._limits = limits
        self._tell_again_at = 0.0
        self._queue = WriteQueue(limits.queue)
        self._reads = Health("read", tell=self._tell, count=count)
        self._writes = Health("write", tell=self._tell, count=count)
        timeout_s = options.timeout_ms / 1000
        self._reader = Reader(link_to(options), self._reading, NOBODY, timeout_s=timeout_s, health=self._reads)
        self._behind = WriteBehind(
            link_to(options), self._queue, self._writing, timeout_s=limits.write_s, health=self._writes
        )
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        options: SharedOptions,
        *,
        clock: Callable[[], float],
        on_alarm: OnAlarm,
        count: Count,
        limits: Limits = Limits(),
    ) -> Self:
        """Waits for the first try to connect, 1 s at most. Never raises for the server's sake. `clock` is Unix seconds."""
        tier = cls(options, clock=clock, on_alarm=on_alarm, count=count, limits=limits)
        tier._task = asyncio.create_task(tier._behind.run())
        await tier._reader.start()
        return tier

    @property
    def state(self) -> str:
        """ "ok", or what fails and why."""
        sides = {"reads": self._reads, "writes": self._writes}
        return "; ".join(f"{side}: {health.state}" for side, health in sides.items() if health.failing) or "ok"

    async def get(self, number: str) -> Hits:
        _check(number)
        waiting = self._queue.of(number)
        hits: dict[Facet, CacheEntry] = {}
        if len(waiting) < len(FACETS):
            hits = self._checked(number, await self._reader.replies(number))
        for facet, entry in (waiting | self._queue.of(number)).items():
            hits.pop(facet, None)
            if entry is not None:
                hits[facet] = entry
        return hits

    def may_hold(self, number: str) -> bool:
        """Others write to it: who knows?"""
        return True

    def put(self, entries: Sequence[CacheEntry]) -> None:
        for entry in entries:
            for _ in range(self._queue.put(entry)):
                self._count("valkey_dropped")
        self._behind.nudge()

    async def forget(self, number: str) -> int:
        """Gone for our readers at once, and from the server on return. Raises `CacheError` when it has to wait.

        Other instances keep what they hold in memory and on disk: they are to be told, too.
        """
        _check(number)
        if len(self._queue) >= self._limits.queue:
            raise CacheError("too much waits to be written")
        try:
            known = len(await self.get(number))
        except CacheError:
            known = 0
        for facet in FACETS:
            self._queue.erase(number, facet)
        await self.flush()
        return known

    async def flush(self) -> None:
        """Write all that waits. Raises `CacheError`; what could not be written waits on."""
        await self._behind.flush()

    async def stats(self) -> Stats:
        """`waiting` changes are not written yet."""
        return {"state": self.state, "waiting": len(self._queue)}

    def standing(self) -> Standing:
        return Standing(self.state, len(self._queue), None)

    async def close(self) -> None:
        """Write what waits, for a bounded time."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self.flush()
        except CacheError:
            self._count("valkey_unwritten")
        finally:
            await self._reader.close()
            await self._behind.close()

    def _key(self, number: str, facet: Facet) -> str:
        return f"{self._prefix}:{number[1:]}:{facet.value}"

    def _reading(self, number: str) -> list[Command]:
        """Nothing huge is loaded: what is cut off is no body."""
        return [("GETRANGE", self._key(number, facet), 0, MAX_BODY_BYTES - 1) for facet in FACETS]

    def _writing(self, change: Change) -> Command:
        """Its time to live is counted here, so that the server's clock does not matter."""
        (number, facet), entry = change
        key = self._key(number, facet)
        if entry is None:
            return ("UNLINK", key)
        try:
            body = pack(entry)
        except BadEntry:
            self._count("valkey_bad_entry")
            return ("UNLINK", key)
        lives_ms = max(1, int((entry.stale_until - self._clock()) * 1000))
        condition = ("NX",) if entry.outcome is Outcome.INCONCLUSIVE else ()
        return ("SET", key, body, "PX", lives_ms, *condition)

    def _checked(self, number: str, replies: Sequence[Reply]) -> dict[Facet, CacheEntry]:
        """The bodies that are what they should be; the others are to go."""
        hits = {}
        for facet, body in zip(FACETS, replies, strict=True):
            try:
                if body != b"":
                    hits[facet] = _entry(number, facet, body)
            except BadEntry:
                self._count("valkey_bad_entry")
                self._erase_unless_newer(number, facet)
        return hits

    def _erase_unless_newer(self, number: str, facet: Facet) -> None:
        if facet not in self._queue.of(number) and len(self._queue) < self._limits.queue:
            self._queue.erase(number, facet)
            self._behind.nudge()

    def _tell(self, detail: str) -> None:
        """Alarm the operator, but not for every try."""
        now = asyncio.get_running_loop().time()
        if now >= self._tell_again_at:
            self._tell_again_at = now + ALARM_EVERY_S
            self._on_alarm("valkey_failing", detail)


def _check(number: str) -> None:
    """Raises `BadEntry` for what is no E.164 number."""
    if not is_e164(number):
        raise BadEntry("not an E.164 number")


def _entry(number: str, facet: Facet, body: Reply) -> CacheEntry:
    """Raises `BadEntry`."""
    if not isinstance(body, bytes):
        raise BadEntry("not a body")
    return unpack(number, facet, body)
