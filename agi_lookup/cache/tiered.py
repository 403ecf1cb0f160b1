"""Memory over disk, as one cache that never fails: a broken tier is a miss and a count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agi_lookup.cache.base import CacheEntry, CacheTier, Count, Hits, Stats
from agi_lookup.cache.codec import BadEntry, pack
from agi_lookup.cache.memory import MemoryTier
from agi_lookup.domain.errors import CacheError
from agi_lookup.domain.model import Facet


class TieredCache:
    """What memory holds is never older than what the disk holds, because every entry is put into both."""

    def __init__(self, memory: MemoryTier, disk: CacheTier | None, *, count: Count) -> None:
        self._memory = memory
        self._disk = disk
        self._count = count
        self._forgotten = 0  # how often a number was forgotten: a read from before may not bring it back

    def peek(self, number: str) -> Hits:
        """What memory holds: about 2 µs."""
        return self._memory.peek(number)

    async def get(self, number: str, facets: frozenset[Facet]) -> Hits:
        """All that is known of a number; asks the disk only for facets that memory does not hold. Never raises."""
        held = self._memory.peek(number)
        if self._disk is None or facets <= held.keys():
            return held
        forgotten = self._forgotten
        try:
            found = await self._disk.get(number)
        except CacheError:
            self._count("cache_disk_miss")
            return self._memory.peek(number)
        held = self._memory.peek(number)  # may have come meanwhile, and is newer
        if forgotten == self._forgotten:
            self._memory.put([entry for facet, entry in found.items() if facet not in held])
        return {**found, **held}

    def put(self, entries: Sequence[CacheEntry]) -> None:
        """In memory at once, on disk soon. Never raises; refuses what no source may have said, such as a huge body."""
        kept = [entry for entry in entries if self._fit(entry)]
        self._memory.put(kept)
        if self._disk is not None:
            self._disk.put(kept)

    async def forget(self, number: str) -> int:
        """Erase a number everywhere; returns how many entries it had. Raises `CacheError` while the disk still has to."""
        self._forgotten += 1
        gone = await self._memory.forget(number)
        return gone if self._disk is None else max(gone, await self._disk.forget(number))

    def expire(self, now: float) -> int:
        """Shed a slice of what is past use from memory (a disk does so itself). To be called every second or so."""
        return self._memory.expire(now)

    async def stats(self) -> Mapping[str, Stats]:
        """By tier. A tier that cannot say has a `state` that tells why."""
        tiers: list[CacheTier] = [self._memory] if self._disk is None else [self._memory, self._disk]
        return {tier.name: await self._stats_of(tier) for tier in tiers}

    async def close(self) -> None:
        """Write what waits, for a bounded time, and let go of the tiers."""
        if self._disk is not None:
            await self._disk.close()
        await self._memory.close()

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
