"""Reads that wait together are read together, and nobody gets another's rows."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agi_lookup.cache.sqlite import Limits
from agi_lookup.cache.sqlite.together import SharedReads
from agi_lookup.domain.errors import CacheError

PATIENCE_S = 5.0
"""No test depends on how busy the machine is."""


class FakeReader:
    """Answers each number with a row of its own, one read at a time, after the gate opens."""

    def __init__(self, failure: CacheError | None = None) -> None:
        self.gate = asyncio.Event()
        self.reads: list[list[int]] = []
        self._failure = failure

    async def rows(self, _sql: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        numbers = json.loads(parameters[0])
        self.reads.append(numbers)
        await self.gate.wait()
        if self._failure is not None:
            raise self._failure
        return [(number, 0, f"of {number}") for number in numbers]


async def test_those_who_come_during_a_read_share_the_next_one() -> None:
    reader = FakeReader()
    reads = SharedReads(reader, PATIENCE_S)  # type: ignore[arg-type]
    first = asyncio.create_task(reads.of(1))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(reads.of(number)) for number in (2, 3, 3, 4)]
    await asyncio.sleep(0.01)
    reader.gate.set()

    assert await first == [(1, 0, "of 1")]
    assert [await other for other in others] == [[(n, 0, f"of {n}")] for n in (2, 3, 3, 4)]
    assert reader.reads == [[1], [2, 3, 4]]


async def test_a_caller_who_leaves_takes_nobody_along() -> None:
    reader = FakeReader()
    reads = SharedReads(reader, PATIENCE_S)  # type: ignore[arg-type]
    first, second = asyncio.create_task(reads.of(1)), asyncio.create_task(reads.of(1))
    await asyncio.sleep(0.01)
    first.cancel()
    reader.gate.set()

    assert await second == [(1, 0, "of 1")]


async def test_a_failure_reaches_all_who_waited_and_none_who_come_later() -> None:
    reader = FakeReader(CacheError("disk"))
    reads = SharedReads(reader, PATIENCE_S)  # type: ignore[arg-type]
    reader.gate.set()
    for result in await asyncio.gather(reads.of(1), reads.of(2), return_exceptions=True):
        assert isinstance(result, CacheError)
    with pytest.raises(CacheError):
        await reads.of(3)
    await reads.close()


class SlowDisk(FakeReader):
    """Takes 4 ms a row, and gives up at the time-out."""

    async def rows(self, sql: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        rows = await super().rows(sql, parameters)
        if 0.004 * len(rows) > Limits().read_timeout_s:
            raise CacheError("timeout")
        return rows


async def test_many_who_ask_at_once_are_read_in_parts_that_a_slow_disk_can_read() -> None:
    reader = SlowDisk()
    reader.gate.set()
    reads = SharedReads(reader, PATIENCE_S)  # type: ignore[arg-type]

    found = await asyncio.gather(*(reads.of(number) for number in range(60)))

    assert found == [[(number, 0, f"of {number}")] for number in range(60)]
    assert [number for read in reader.reads for number in read] == list(range(60)), "who comes first is read first"


async def test_nobody_waits_long_for_a_place() -> None:
    reader = FakeReader()
    reads = SharedReads(reader, 0.2)  # type: ignore[arg-type]
    first = asyncio.create_task(reads.of(1))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(reads.of(2))
    await asyncio.sleep(0.3)
    reader.gate.set()

    assert await first == [(1, 0, "of 1")]
    with pytest.raises(CacheError, match="too slow"):
        await second
    await reads.close()
    assert reader.reads == [[1]]


async def test_who_left_is_not_read() -> None:
    reader = FakeReader()
    reads = SharedReads(reader, PATIENCE_S)  # type: ignore[arg-type]
    callers = []
    for number in (1, 2):
        callers.append(asyncio.create_task(reads.of(number)))
        await asyncio.sleep(0.01)
    callers[1].cancel()
    reader.gate.set()
    await callers[0]
    await reads.close()

    assert reader.reads == [[1]]
