"""A number that the disk surely does not hold costs no read; one that it may hold is never missed."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.cache.sqlite import Limits, SqliteTier
from agi_lookup.cache.sqlite.seen import Seen
from agi_lookup.domain.errors import CacheError
from tests.cache.conftest import Heard, OpenTier, until
from tests.cache.entries import NUMBER, identity, liveness

NEVER_SEEN = "+447400999999"
numbers = st.integers(min_value=10**6, max_value=10**15 - 1)


@given(st.sets(numbers, max_size=200), st.sets(numbers, max_size=200))
def test_what_was_added_is_never_denied(first: set[int], then: set[int]) -> None:
    seen = Seen(100)
    seen.add(first)
    seen.knows_all()
    seen.add(then)

    assert all(map(seen.may_hold, first | then))


def test_few_that_were_not_added_are_taken_to_be_there() -> None:
    chance = random.Random(1)
    known = {440_000_000_000 + n for n in range(20_000)}  # neighbours, as those of a range are
    seen = Seen(20_000)
    seen.add(known)
    seen.knows_all()
    others = [chance.randrange(10**7, 10**15) for _ in range(20_000)] + [441_000_000_000 + n for n in range(20_000)]

    assert sum(map(seen.may_hold, others)) < 0.02 * len(others)


def test_however_many_the_disk_may_hold_it_stays_small() -> None:
    tracemalloc.start()
    seen = Seen(10**9)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    seen.add([447400123456])
    seen.knows_all()

    assert most <= 65 * 2**20
    assert seen.may_hold(447400123456)
    assert not seen.may_hold(447400123457)


def test_until_all_is_known_and_once_in_doubt_anything_may_be_there() -> None:
    seen = Seen(100)
    assert seen.may_hold(1)
    seen.knows_all()
    assert not seen.may_hold(1)
    seen.doubt()
    seen.knows_all()
    assert seen.may_hold(1)


async def learned(tier: SqliteTier) -> None:
    await until(lambda: not tier.may_hold(NEVER_SEEN))


async def test_what_is_surely_not_there_is_not_read_and_what_an_earlier_server_wrote_is(open_tier: OpenTier) -> None:
    first = await open_tier()
    first.put([identity(), liveness()])
    await first.close()
    tier = await open_tier()
    await learned(tier)
    assert len(await tier.get(NUMBER)) == 2
    await tier.close()

    hung = await open_tier(limits=Limits(read_timeout_s=0.0))
    await learned(hung)
    assert dict(await hung.get(NEVER_SEEN)) == {}
    with pytest.raises(CacheError):
        await hung.get(NUMBER)


async def test_what_is_put_while_the_file_is_learned_is_not_lost(open_tier: OpenTier) -> None:
    tier = await open_tier()
    tier.put([identity()])
    await tier.flush()
    await learned(tier)

    assert len(await tier.get(NUMBER)) == 1


async def test_after_the_file_was_replaced_every_number_is_read(open_tier: OpenTier, path: Path, heard: Heard) -> None:
    """C10: what is put before the new file is there must not be taken for never seen."""
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    tier = await open_tier()
    tier.put([identity()])
    await until(lambda: heard.codes == ["sqlite_corrupt"])
    await tier.flush()
    await asyncio.sleep(0.3)  # learning takes milliseconds

    assert tier.may_hold(NEVER_SEEN)
    assert len(await tier.get(NUMBER)) == 1


async def test_while_another_process_writes_every_number_is_read(open_tier: OpenTier) -> None:
    """C12: one that it writes later must not be taken for never seen, and be paid for again."""
    owner = await open_tier()
    owner.put([identity()])
    await owner.flush()
    beside = await open_tier()
    await asyncio.sleep(0.3)  # learning takes milliseconds
    owner.put([identity(NEVER_SEEN)])
    await owner.flush()

    assert len(await beside.get(NEVER_SEEN)) == 1
