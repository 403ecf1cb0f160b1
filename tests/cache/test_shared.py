"""Two instances, each with memory and a disk of its own, on one server: what one learns the other knows, and no more than that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from msgspec import structs

from agi_lookup.cache.base import CacheEntry, Hits, Outcome, Standing, Stats
from agi_lookup.cache.memory import MemoryTier
from agi_lookup.cache.sqlite import SqliteTier
from agi_lookup.cache.tiered import Shared, TieredCache
from agi_lookup.domain.errors import CacheError
from agi_lookup.domain.model import Facet
from agi_lookup.lookup.freshness import supersedes
from tests.cache.conftest import Heard, OpenShared, OpenTier
from tests.cache.entries import BOTH, NOW, NUMBER, identity, liveness
from tests.cache.servers import Server
from tests.fakes import ABSENT, Clock

LIVENESS = frozenset({Facet.LIVENESS})


class Instance:
    """As `wiring` builds it."""

    def __init__(self, disk: SqliteTier, shared: Shared, heard: Heard) -> None:
        self.disk = disk
        self.shared = shared
        self.memory = MemoryTier(100)
        self.cache = TieredCache(self.memory, disk, count=heard.count, shared=shared)

    async def learn(self, *entries: CacheEntry) -> None:
        """And let the others know."""
        self.cache.put(entries)
        await self.shared.tier.flush()

    async def known(self) -> dict[Facet, CacheEntry]:
        return dict(await self.cache.get(NUMBER, BOTH))


Start = Callable[[str], Awaitable[Instance]]


@pytest.fixture
def start(open_tier: OpenTier, open_shared: OpenShared, tmp_path: Path, clock: Clock, heard: Heard) -> Start:
    async def start_(name: str) -> Instance:
        return Instance(
            await open_tier(tmp_path / name / "cache.sqlite"), Shared(await open_shared(), supersedes, clock), heard
        )

    return start_


async def test_what_one_learns_the_other_knows(start: Start) -> None:
    one, other = await start("one"), await start("other")
    await one.learn(identity(), liveness())

    assert await other.known() == {Facet.IDENTITY: identity(), Facet.LIVENESS: liveness()}


async def test_what_others_knew_is_kept_here_too(start: Start, valkey: Server) -> None:
    """C13: it was paid for, and the server may be gone next."""
    one, other = await start("one"), await start("other")
    await one.learn(identity(), liveness())
    await other.known()
    valkey.kill()

    assert len(other.cache.peek(NUMBER)) == 2
    assert len(await other.disk.get(NUMBER)) == 2


async def test_what_is_fresh_here_is_not_asked_of_others(start: Start, valkey: Server, heard: Heard) -> None:
    one = await start("one")
    await one.learn(identity(), liveness())
    await one.disk.flush()
    one.memory._records.clear()
    valkey.kill()

    assert len(await one.known()) == 2, "from disk"
    assert heard.counts["cache_shared_miss"] == 0


async def test_what_has_ended_here_is_asked_of_others(start: Start, clock: Clock) -> None:
    """Memory still holds it; another instance may have asked since."""
    one, other = await start("one"), await start("other")
    await one.learn(identity(), liveness())
    await other.known()
    clock.now = NOW + 1_000
    newer = liveness(observed_at=clock.now, body=ABSENT)
    await one.learn(newer)

    assert await other.known() == {Facet.IDENTITY: identity(), Facet.LIVENESS: newer}
    assert other.cache.peek(NUMBER)[Facet.LIVENESS] == newer


async def test_the_later_observation_counts_whoever_made_it(start: Start, clock: Clock) -> None:
    one, other = await start("one"), await start("other")
    await one.learn(identity(observed_at=NOW - 100_000))
    late = identity(observed_at=NOW - 90_000)
    other.memory.put([late])

    assert (await other.known())[Facet.IDENTITY] == late, "both are stale"


async def test_what_another_was_not_told_stands_in_for_nothing(start: Start, clock: Clock) -> None:
    """C5: a stale answer here is better than a newer "unknown" from elsewhere."""
    one, other = await start("one"), await start("other")
    clock.now = NOW + 90_000
    unknown = structs.replace(
        identity(observed_at=clock.now),
        outcome=Outcome.INCONCLUSIVE,
        fresh_until=clock.now + 60,
        stale_until=clock.now + 60,
    )
    await one.learn(unknown)
    other.memory.put([identity()])

    assert await other.known() == {Facet.IDENTITY: identity()}
    assert await one.known() == {Facet.IDENTITY: unknown}


async def test_an_entry_ends_for_all_at_its_time(start: Start, clock: Clock) -> None:
    one, other = await start("one"), await start("other")
    await one.learn(liveness())
    await other.known()
    clock.now = NOW + 1_000

    assert all(entry.stale_until < clock.now for entry in (await other.known()).values())


async def test_forgetting_reaches_memory_disk_and_the_server(start: Start, valkey: Server) -> None:
    """S16."""
    one, other = await start("one"), await start("other")
    await one.learn(identity(), liveness())

    assert await one.cache.forget(NUMBER) == 2

    assert valkey.keys() == []
    assert await one.known() == {}
    assert await other.known() == {}


async def test_another_instance_that_had_read_it_has_to_be_told_to_forget(start: Start) -> None:
    """S16: the bound that the documents state."""
    one, other = await start("one"), await start("other")
    await one.learn(identity())
    await other.known()
    await one.cache.forget(NUMBER)

    assert len(await other.known()) == 1
    assert await one.known() == {}, "it does not come back from there"
    assert await other.cache.forget(NUMBER) == 1
    assert await other.known() == {}


async def test_forgetting_what_waits_to_be_written(start: Start, valkey: Server) -> None:
    one = await start("one")
    one.cache.put([identity(), liveness()])
    await one.cache.forget(NUMBER)

    assert valkey.keys() == []


async def test_forgetting_without_the_server_erases_the_rest_and_says_that_it_waits(
    start: Start, valkey: Server
) -> None:
    """C13. It is made good when the server is back."""
    one = await start("one")
    await one.learn(identity(), liveness())
    valkey.admin("CONFIG", "SET", "save", "3600 1")
    valkey.admin("SAVE")
    valkey.kill()

    with pytest.raises(CacheError):
        await one.cache.forget(NUMBER)
    assert dict(one.cache.peek(NUMBER)) == {}
    assert dict(await one.disk.get(NUMBER)) == {}

    valkey.start()
    assert len(valkey.keys()) == 2
    await one.shared.tier.flush()
    assert valkey.keys() == []


async def test_a_disk_that_fails_does_not_keep_the_server_from_forgetting(
    start: Start, valkey: Server, heard: Heard, clock: Clock
) -> None:
    one = await start("one")
    await one.learn(identity())
    broken = TieredCache(MemoryTier(10), Broken(), count=heard.count, shared=one.shared)

    with pytest.raises(CacheError):
        await broken.forget(NUMBER)

    assert valkey.keys() == []


async def test_a_number_forgotten_while_others_are_asked_does_not_come_back(
    start: Start, heard: Heard, clock: Clock
) -> None:
    one = await start("one")
    slow = Slow(identity())
    cache = TieredCache(one.memory, one.disk, count=heard.count, shared=Shared(slow, supersedes, clock))
    reading = asyncio.create_task(cache.get(NUMBER, BOTH))
    await slow.asked.wait()
    await cache.forget(NUMBER)
    slow.gate.set()
    await reading

    assert dict(cache.peek(NUMBER)) == {}
    assert dict(await one.disk.get(NUMBER)) == {}


async def test_what_comes_while_others_are_asked_is_kept_when_it_is_newer(
    start: Start, heard: Heard, clock: Clock
) -> None:
    one = await start("one")
    slow = Slow(identity())
    cache = TieredCache(one.memory, one.disk, count=heard.count, shared=Shared(slow, supersedes, clock))
    reading = asyncio.create_task(cache.get(NUMBER, BOTH))
    await slow.asked.wait()
    newer = identity(observed_at=NOW + 5)
    cache.put([newer])
    slow.gate.set()

    assert dict(await reading) == {Facet.IDENTITY: newer}
    assert dict(cache.peek(NUMBER)) == {Facet.IDENTITY: newer}


async def test_stats_name_every_tier_and_closing_closes_all(start: Start) -> None:
    one = await start("one")
    assert (await one.cache.stats()).keys() == {"memory", "sqlite", "valkey"}
    assert (await one.cache.stats())["valkey"] == {"state": "ok", "waiting": 0}

    await one.cache.close()

    with pytest.raises(CacheError):
        await one.shared.tier.get(NUMBER)


class Slow:
    """A shared tier that answers what it holds when the gate opens."""

    name = "slow"

    def __init__(self, entry: CacheEntry) -> None:
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self._entry = entry

    def may_hold(self, number: str) -> bool:
        return True

    async def get(self, number: str) -> Hits:
        self.asked.set()
        await self.gate.wait()
        return {self._entry.facet: self._entry}

    def put(self, entries: Sequence[CacheEntry]) -> None: ...

    async def forget(self, number: str) -> int:
        return 1

    async def flush(self) -> None: ...

    async def stats(self) -> Stats:
        return {}

    def standing(self) -> Standing:
        return Standing("ok", 0, None)

    async def close(self) -> None: ...


class Broken(Slow):
    """A disk that forgets nothing."""

    def __init__(self) -> None:
        super().__init__(identity())

    async def forget(self, number: str) -> int:
        raise CacheError("out of order")
