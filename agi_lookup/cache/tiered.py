"""Memory over disk over what instances share, as one cache that never fails: a broken tier is a miss and a count.

Local first: a disk answers in a tenth of a millisecond and is there when the network is not. The shared tier is asked only for
what is not known or not fresh here, and what it knows better is kept here, too: it was paid for, and the server may be gone next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agi_lookup.cache.base import CacheEntry, CacheTier, Count, Hits, Standing, Stats
from agi_lookup.cache.codec import BadEntry, pack
from agi_lookup.cache.memory import MemoryTier
from agi_lookup.domain.errors import CacheError
from agi_lookup.domain.model import Facet


@dataclass(frozen=True, slots=True)
class Shared:
    """A tier that other instances write to as well, so that it may know better. `clock` is Unix seconds."""

    tier: CacheTier
    supersedes: Callable[[CacheEntry, CacheEntry | None, float], bool]  # see `lookup.freshness`
    clock: Callable[[], float]

    def has_news(self, held: Hits, facets: frozenset[Facet]) -> bool:
        """May it know better than `held`?"""
        now = self.clock()
        return any(facet not in held or held[facet].fresh_until <= now for facet in facets)

    def news(self, found: Hits, held: Hits) -> dict[Facet, CacheEntry]:
        """What it knows better: observed later, and not less than what may still stand in."""
        now = self.clock()
        return {
            facet: entry
            for facet, entry in found.items()
            if facet not in held
            or (entry.observed_at > held[facet].observed_at and self.supersedes(entry, held[facet], now))
        }


class TieredCache:
    """What memory holds is never older than what the disk holds, because every entry is put into both."""

    def __init__(
        self, memory: MemoryTier, disk: CacheTier | None, *, count: Count, shared: Shared | None = None
    ) -> None:
        self._memory = memory
        self._disk = disk
        self._shared = shared
        self._slow = [tier for tier in (disk, shared.tier if shared else None) if tier is not None]
        self._count = count
        self.reads: Counter[tuple[str, str]] = Counter()  # of the slow tiers, by name and result: hit, miss, failed
        self._forgotten = 0  # how often a number was forgotten: a read from before may not bring it back

    def peek(self, number: str) -> Hits:
        """What memory holds: about 2 µs."""
        return self._memory.peek(number)

    def may_tell(self, number: str) -> bool:
        """Beside what memory holds. False: no tier knows more, and there is no need to wait for one."""
        return self._shared is not None or (self._disk is not None and self._disk.may_hold(number))

    async def get(self, number: str, facets: frozenset[Facet]) -> Hits:
        """All that is known of a number. Never raises. The disk is asked only for facets that memory does not hold."""
        held = self._memory.peek(number)
        if self._disk is not None and not facets <= held.keys():
            held = await self._from_disk(self._disk, number)
        if self._shared is not None and self._shared.has_news(held, facets):
            held = await self._from_others(self._shared, number, held)
        return held

    def put(self, entries: Sequence[CacheEntry]) -> None:
        """In memory at once, elsewhere soon. Never raises; refuses what no source may have said, such as a huge body."""
        kept = [entry for entry in entries if self._fit(entry)]
        for tier in (self._memory, *self._slow):
            tier.put(kept)

    async def forget(self, number: str) -> int:
        """Erase a number here and in the shared tier; returns how many entries it had.

        Other instances hold on to theirs, in memory and on disk, until they end or are told as well.
        Raises `CacheError` while a tier still has to erase it.
        """
        self._forgotten += 1
        gone = await self._memory.forget(number)
        trouble: CacheError | None = None
        for tier in self._slow:
            try:
                gone = max(gone, await tier.forget(number))
            except CacheError as error:
                trouble = error
        if trouble is not None:
            raise trouble
        return gone

    async def flush(self) -> None:
        """Write now what waits for the disk; a server does so itself. Raises `CacheError`, and it waits on."""
        if self._disk is not None:
            await self._disk.flush()

    def expire(self, now: float) -> int:
        """Shed a slice of what is past use from memory (a disk does so itself). To be called every second or so."""
        return self._memory.expire(now)

    def shed(self, numbers: int) -> int:
        """Let go of so many numbers in memory; a disk knows them still. Returns how many went."""
        return self._memory.shed(numbers)

    async def stats(self) -> Mapping[str, Stats]:
        """By tier. A tier that cannot say has a `state` that tells why."""
        return {tier.name: await self._stats_of(tier) for tier in (self._memory, *self._slow)}

    def standing(self) -> dict[str, Standing]:
        """By tier, without a wait."""
        return {tier.name: tier.standing() for tier in (self._memory, *self._slow)}

    async def close(self) -> None:
        """Write what waits, for a bounded time, and let go of the tiers."""
        for tier in (*self._slow, self._memory):
            await tier.close()

    async def _from_disk(self, disk: CacheTier, number: str) -> Hits:
        """What memory and disk know; in memory afterwards."""
        forgotten = self._forgotten
        try:
            found = await disk.get(number)
        except CacheError:
            self.reads[disk.name, "failed"] += 1
            self._count("cache_disk_miss")
            return self._memory.peek(number)
        self.reads[disk.name, "hit" if found else "miss"] += 1
        held = self._memory.peek(number)  # may have come meanwhile, and is newer
        if not found:
            return held
        if forgotten == self._forgotten:
            self._memory.put([entry for facet, entry in found.items() if facet not in held])
        return {**found, **held}

    async def _from_others(self, shared: Shared, number: str, held: Hits) -> Hits:
        """What we know, and what other instances know better; here afterwards."""
        forgotten = self._forgotten
        try:
            found = await shared.tier.get(number)
        except CacheError:
            self.reads[shared.tier.name, "failed"] += 1
            self._count("cache_shared_miss")
            found = {}
        else:
            self.reads[shared.tier.name, "hit" if found else "miss"] += 1
        held = {**held, **self._memory.peek(number)}  # may have come meanwhile
        news = shared.news(found, held)
        if forgotten == self._forgotten:
            self._memory.put(list(news.values()))
            if self._disk is not None:
                self._disk.put(list(news.values()))
        return {**held, **news}

    def _fit(self, entry: CacheEntry) -> bool:
        try:
            pack(entry)
        except BadEntry:
            self._count("cache_refused")
            return False
        return True

    async def _stats_of(self, tier: CacheTier) -> Stats:
        try:
            return await tier.stats()
        except CacheError as error:
            self._count("cache_stats_failed")
            return {"state": str(error)}
