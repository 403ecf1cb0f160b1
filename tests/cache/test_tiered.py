"""Memory over disk as one cache: fast where it can be, never failing, and equal to a plain dict."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_lookup.cache.base import CacheEntry, Hits, Standing, Stats
from agi_lookup.cache.memory import MemoryTier
from agi_lookup.cache.sqlite import Mode, SqliteTier
from agi_lookup.cache.tiered import TieredCache
from agi_lookup.domain.errors import CacheError
from agi_lookup.domain.model import Facet
from tests.cache.conftest import PATIENT, Heard, OpenTier
from tests.cache.entries import BOTH, NOW, NUMBER, identity, liveness
from tests.fakes import KNOWN

IDENTITY = frozenset({Facet.IDENTITY})


class FakeDisk:
    """A tier that holds what the test says. With `gate`, each read waits for it; with `broken`, everything fails."""

    name = "disk"

    def __init__(self, *entries: CacheEntry) -> None:
        self.entries = {(entry.number, entry.facet): entry for entry in entries}
        self.reads = 0
        self.broken = False
        self.gate: asyncio.Event | None = None

    def may_hold(self, number: str) -> bool:
        return True

    async def get(self, number: str) -> Hits:
        self._check()
        self.reads += 1
        hits = {facet: entry for (n, facet), entry in self.entries.items() if n == number}
        if self.gate is not None:
            await self.gate.wait()
        return hits

    def put(self, entries: Sequence[CacheEntry]) -> None:
        self.entries |= {(entry.number, entry.facet): entry for entry in entries}

    async def forget(self, number: str) -> int:
        self._check()
        gone = [key for key in self.entries if key[0] == number]
        for key in gone:
            del self.entries[key]
        return len(gone)

    async def flush(self) -> None:
        self._check()

    async def stats(self) -> Stats:
        self._check()
        return {"rows": len(self.entries)}

    def standing(self) -> Standing:
        return Standing("ok", 0, None)

    async def close(self) -> None: ...

    def _check(self) -> None:
        if self.broken:
            raise CacheError("out of order")


def tiered(heard: Heard, disk: FakeDisk | None, memory: MemoryTier | None = None) -> TieredCache:
    return TieredCache(memory or MemoryTier(100), disk, count=heard.count)


async def test_what_memory_holds_is_not_asked_of_the_disk(heard: Heard) -> None:
    disk = FakeDisk()
    cache = tiered(heard, disk)
    cache.put([identity(), liveness()])

    assert len(await cache.get(NUMBER, BOTH)) == 2
    assert disk.reads == 0


async def test_what_came_from_disk_is_in_memory_afterwards(heard: Heard) -> None:
    disk = FakeDisk(identity(), liveness())
    cache = tiered(heard, disk)
    assert dict(cache.peek(NUMBER)) == {}

    assert len(await cache.get(NUMBER, IDENTITY)) == 2

    assert len(cache.peek(NUMBER)) == 2
    await cache.get(NUMBER, BOTH)
    assert disk.reads == 1


async def test_only_a_missing_facet_sends_to_the_disk(heard: Heard) -> None:
    disk = FakeDisk(liveness())
    memory = MemoryTier(100)
    memory.put([identity()])
    cache = tiered(heard, disk, memory)

    assert list(await cache.get(NUMBER, IDENTITY)) == [Facet.IDENTITY]
    assert disk.reads == 0
    assert (await cache.get(NUMBER, BOTH)).keys() == BOTH
    assert disk.reads == 1


async def test_a_broken_disk_is_a_miss_and_counted(heard: Heard) -> None:
    disk = FakeDisk(identity())
    disk.broken = True
    cache = tiered(heard, disk)
    cache.put([liveness()])

    assert list(await cache.get(NUMBER, BOTH)) == [Facet.LIVENESS]
    assert heard.counts["cache_disk_miss"] == 1
    assert (await cache.stats())["disk"] == {"state": "out of order"}


async def test_without_a_disk_memory_is_the_cache(heard: Heard) -> None:
    cache = tiered(heard, None)
    cache.put([identity()])

    assert len(await cache.get(NUMBER, BOTH)) == 1
    assert await cache.forget(NUMBER) == 1
    assert (await cache.stats()).keys() == {"memory"}
    await cache.close()


async def test_an_answer_that_comes_while_the_disk_is_read_is_not_overwritten(heard: Heard) -> None:
    disk = FakeDisk(identity())
    disk.gate = asyncio.Event()
    cache = tiered(heard, disk)
    reading = asyncio.create_task(cache.get(NUMBER, BOTH))
    await asyncio.sleep(0)
    newer = identity(observed_at=NOW + 5)
    cache.put([newer])
    disk.gate.set()

    assert (await reading)[Facet.IDENTITY] == newer
    assert cache.peek(NUMBER)[Facet.IDENTITY] == newer


async def test_a_number_forgotten_while_the_disk_is_read_does_not_come_back(heard: Heard) -> None:
    disk = FakeDisk(identity())
    disk.gate = asyncio.Event()
    cache = tiered(heard, disk)
    reading = asyncio.create_task(cache.get(NUMBER, BOTH))
    await asyncio.sleep(0)
    assert await cache.forget(NUMBER) == 1
    disk.gate.set()
    await reading

    assert dict(cache.peek(NUMBER)) == {}
    assert dict(await cache.get(NUMBER, BOTH)) == {}


async def test_forget_on_a_broken_disk_erases_memory_and_says_that_the_rest_waits(heard: Heard) -> None:
    disk = FakeDisk()
    cache = tiered(heard, disk)
    cache.put([identity()])
    disk.broken = True

    with pytest.raises(CacheError):
        await cache.forget(NUMBER)

    assert dict(cache.peek(NUMBER)) == {}


async def test_what_no_source_may_say_is_kept_nowhere(heard: Heard) -> None:
    """C15: a carrier name of 10 MB, a number that is none, a time that is none."""
    disk = FakeDisk()
    cache = tiered(heard, disk)

    cache.put([identity(body=replace(KNOWN, carrier="x" * 10_000_000))])
    cache.put([identity("+44\n"), identity(observed_at=float("nan")), liveness()])

    assert heard.counts["cache_refused"] == 3
    assert list(cache.peek(NUMBER)) == [Facet.LIVENESS]
    assert list(disk.entries) == [(NUMBER, Facet.LIVENESS)]


async def test_expire_sheds_memory_and_leaves_the_disk(heard: Heard) -> None:
    disk = FakeDisk()
    cache = tiered(heard, disk)
    cache.put([liveness()])

    assert cache.expire(NOW + 3600) + cache.expire(NOW + 3600) == 1
    assert dict(cache.peek(NUMBER)) == {}
    assert len(disk.entries) == 1


async def test_a_restart_forgets_nothing(open_tier: OpenTier, heard: Heard) -> None:
    before = TieredCache(MemoryTier(10), await open_tier(), count=heard.count)
    before.put([identity(), liveness()])
    await before.close()

    after = TieredCache(MemoryTier(10), await open_tier(), count=heard.count)

    assert dict(await after.get(NUMBER, BOTH)) == {Facet.IDENTITY: identity(), Facet.LIVENESS: liveness()}


NUMBERS = [f"+4474000000{i:02d}" for i in range(6)]
PUT = st.tuples(st.just("put"), st.sampled_from(NUMBERS), st.sampled_from(Facet), st.integers(0, 9))
OTHER = st.tuples(
    st.sampled_from(["get", "get", "forget", "flush", "restart"]),
    st.sampled_from(NUMBERS),
    st.none(),
    st.none(),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PUT | OTHER, max_size=40))
async def test_memory_and_disk_together_are_a_dict(steps: list[tuple[str, str, Facet | None, int | None]]) -> None:
    """A memory of two numbers over a disk: whatever is put, forgotten, evicted and read back, a get says what a dict would."""
    with tempfile.TemporaryDirectory() as folder:
        heard, model = Heard(), dict[tuple[str, Facet], CacheEntry]()

        async def opened() -> tuple[TieredCache, SqliteTier]:
            disk = await SqliteTier.open(
                Path(folder) / "cache.sqlite",
                mode=Mode.SERVER,
                clock=lambda: NOW,
                on_alarm=heard.alarm,
                count=heard.count,
                limits=PATIENT,
            )
            return TieredCache(MemoryTier(2), disk, count=heard.count), disk

        cache, disk = await opened()
        try:
            for step, number, facet, salt in steps:
                if step == "put" and salt is not None:
                    make = identity if facet is Facet.IDENTITY else liveness
                    entry = make(number, observed_at=NOW + salt)
                    cache.put([entry])
                    model[number, entry.facet] = entry
                elif step == "forget":
                    known = [key for key in model if key[0] == number]
                    assert await cache.forget(number) == len(known)
                    for key in known:
                        del model[key]
                elif step == "flush":
                    await disk.flush()
                elif step == "restart":
                    await cache.close()
                    cache, disk = await opened()
                assert dict(await cache.get(number, BOTH)) == {f: e for (n, f), e in model.items() if n == number}
        finally:
            await cache.close()
    assert not heard.alarms
