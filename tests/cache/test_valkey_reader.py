"""Reads of the shared tier that wait together go together, for a bounded time, and only a server that had its time has failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from redis.exceptions import ReadOnlyError

from agi_lookup.cache.valkey.health import LAST_PAUSE_S, Health
from agi_lookup.cache.valkey.link import Command, Reply
from agi_lookup.cache.valkey.reader import BATCH, MAX_WAITING, NOBODY, Reader
from agi_lookup.domain.errors import CacheError
from tests.cache.conftest import Heard, until
from tests.cache.entries import numbers


class FakeLink:
    """Answers each command with its own words, when the gate is open. `fail` is raised instead, `refusal` is a reply instead."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.batches: list[list[str]] = []
        self.fail: CacheError | None = None
        self.refusal: Exception | None = None
        self.is_open = False
        self.opened = 0

    async def open(self, deadline: float) -> None:
        self.opened += 1
        if self.fail:
            raise self.fail
        self.is_open = True

    async def ask(self, commands: Sequence[Command], deadline: float) -> list[Reply]:
        asked = list(dict.fromkeys(str(number) for number, _ in commands))
        if asked != [NOBODY]:
            self.batches.append(asked)
        try:
            async with asyncio.timeout_at(deadline):
                await self.gate.wait()
        except TimeoutError:
            self.is_open = False
            raise CacheError("no answer in time") from None
        if self.fail:
            self.is_open = False
            raise self.fail
        return [self.refusal or command for command in commands]

    async def drop(self) -> None:
        self.is_open = False


Start = Callable[[float], Awaitable[Reader[str]]]


@pytest.fixture
def link() -> FakeLink:
    return FakeLink()


@pytest.fixture
async def start(link: FakeLink, heard: Heard) -> AsyncIterator[Start]:
    readers: list[Reader[str]] = []

    async def start_(timeout_s: float) -> Reader[str]:
        health = Health("read", tell=lambda what: heard.alarm("told", what), count=heard.count)
        reader = Reader(link, lambda number: [(number, "a"), (number, "b")], NOBODY, timeout_s=timeout_s, health=health)
        readers.append(reader)
        await reader.start()
        return reader

    yield start_
    for reader in readers:
        await reader.close()


async def test_those_who_come_during_a_read_share_the_next_one(start: Start, link: FakeLink) -> None:
    reader = await start(60.0)
    link.gate.clear()
    first = asyncio.create_task(reader.replies("1"))
    await until(lambda: link.batches == [["1"]])
    others = [asyncio.create_task(reader.replies(number)) for number in ("2", "3", "3", "4")]
    await asyncio.sleep(0)
    link.gate.set()

    assert await first == [("1", "a"), ("1", "b")]
    assert [await other for other in others] == [[(n, "a"), (n, "b")] for n in ("2", "3", "3", "4")]
    assert link.batches == [["1"], ["2", "3", "4"]]


async def test_a_batch_is_bounded_because_its_replies_keep_the_loop(start: Start, link: FakeLink) -> None:
    reader, many = await start(60.0), numbers(3 * BATCH)

    await asyncio.gather(*map(reader.replies, many))

    assert [len(batch) for batch in link.batches] == [BATCH, BATCH, BATCH]


async def test_no_more_than_so_many_wait(start: Start, link: FakeLink) -> None:
    reader, many = await start(60.0), numbers(MAX_WAITING + BATCH + 1)
    link.gate.clear()
    waiting = [asyncio.create_task(reader.replies(many[0]))]
    await until(lambda: len(link.batches) == 1)
    waiting += [asyncio.create_task(reader.replies(number)) for number in many[1 : MAX_WAITING + 1]]
    await asyncio.sleep(0)

    with pytest.raises(CacheError, match="too many reads wait"):
        await reader.replies(many[-1])

    link.gate.set()
    assert len(await asyncio.gather(*waiting)) == MAX_WAITING + 1


async def test_all_who_wait_go_on_when_a_read_fails(start: Start, link: FakeLink, heard: Heard) -> None:
    """C13."""
    reader = await start(60.0)
    link.gate.clear()
    reads = [asyncio.create_task(reader.replies("1"))]
    await until(lambda: link.batches == [["1"]])
    reads += [asyncio.create_task(reader.replies(number)) for number in numbers(100)]
    await asyncio.sleep(0)
    link.fail = CacheError("broken")
    link.gate.set()

    for result in await asyncio.gather(*reads, return_exceptions=True):
        assert isinstance(result, CacheError)
    assert link.batches == [["1"]], "the rest is not tried"


async def test_calls_never_connect_and_one_try_at_a_time_does(
    start: Start, link: FakeLink, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C13: half open."""
    monkeypatch.setattr("agi_lookup.cache.valkey.health.FIRST_PAUSE_S", 2.0)
    link.fail = CacheError("refused")
    reader = await start(60.0)
    await until(lambda: link.opened == 2)
    for result in await asyncio.gather(*map(reader.replies, numbers(500)), return_exceptions=True):
        assert str(result) == "not asked for a while: refused"
    assert link.opened == 2
    assert link.batches == []

    link.fail = None
    await until(lambda: link.is_open)
    assert await reader.replies("1") == [("1", "a"), ("1", "b")]
    assert link.opened == 3
    assert heard.alarms == [("told", "reads fail: refused")]


async def test_a_connection_that_answers_the_try_too_late_is_not_used(start: Start, link: FakeLink) -> None:
    link.gate.clear()
    reader = await start(0.01)

    with pytest.raises(CacheError, match="no answer in time"):
        await reader.replies("1")
    assert link.batches == []


async def test_waiting_in_our_own_queue_is_no_failure_of_the_server(start: Start, link: FakeLink, heard: Heard) -> None:
    """Those who have less than half of their time left go on without; the connection stays."""
    reader = await start(60.0)
    link.gate.clear()
    first = asyncio.create_task(reader.replies("1"))
    second = asyncio.create_task(reader.replies("2"))
    await until(lambda: link.batches == [["1", "2"]])
    third = asyncio.create_task(reader.replies("3"))
    await asyncio.sleep(0)
    reader._asked["3"].deadline -= 40.0
    link.gate.set()

    assert await first != await second
    with pytest.raises(CacheError, match="too many reads wait"):
        await third
    assert not heard.counts
    assert link.opened == 1


async def test_a_refusal_fails_the_read_and_closes_the_connection(start: Start, link: FakeLink, heard: Heard) -> None:
    reader = await start(60.0)
    link.refusal = ReadOnlyError("+447400123456")

    with pytest.raises(CacheError, match="a read-only replica"):
        await reader.replies("1")
    await until(lambda: bool(heard.alarms))
    assert not link.is_open


async def test_who_waits_when_it_closes_goes_on(start: Start, link: FakeLink) -> None:
    reader = await start(60.0)
    link.gate.clear()
    reads = [asyncio.create_task(reader.replies("1"))]
    await until(lambda: link.batches == [["1"]])
    reads.append(asyncio.create_task(reader.replies("2")))
    await asyncio.sleep(0)

    await reader.close()

    for result in await asyncio.gather(*reads, return_exceptions=True):
        assert isinstance(result, CacheError)


def test_pauses_grow_to_a_bound_and_end_with_the_trouble(heard: Heard) -> None:
    health = Health("read", tell=lambda what: heard.alarm("told", what), count=heard.count)
    pauses = []
    for _ in range(2_000):
        health.failed("refused")
        pauses.append(health.pause_s)

    assert pauses[0] == 0.0, "once is a hiccup"
    assert pauses[1:5] == [0.25, 0.5, 1.0, 2.0]
    assert max(pauses) == LAST_PAUSE_S
    assert heard.counts["valkey_read_failed"] == 2_000
    health.worked()
    assert (health.pause_s, health.state, health.failing) == (0.0, "ok", False)
