"""Who has time lets calls go first: a file of numbers beside a running server, and what it costs the calls, which is nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agi_lookup.domain.errors import ProviderRateLimited
from agi_lookup.domain.model import LookupAnswer
from agi_lookup.lookup.budget import Payer
from agi_lookup.lookup.gates import Gates
from tests.lookup.vendor import Vendor, World, after, number
from tests.lookup.virtual_time import run as in_virtual_time

FILE, CALL = 10_000, 0
"""Where the numbers of each begin."""


class Beside:
    """A server's link, a file that wants ever more of it, and calls."""

    def __init__(self, took_s: float = 1.0, **gates: Any) -> None:
        self.world = World(after(took_s), max_batch=10, **{"room_for_calls": True, **gates})
        self._next = FILE

    @property
    def vendor(self) -> Vendor:
        return self.world.vendor

    def read(self, count: int) -> list[asyncio.Task[LookupAnswer]]:
        """So many numbers of the file are asked for now, and have a minute."""
        self._next += count
        until = asyncio.get_running_loop().time() + 60.0
        payer = Payer("default", patient=True)
        asked = (number(index) for index in range(self._next - count, self._next))
        return [asyncio.ensure_future(self.world.link.ask(one, 0.0, lambda: until, payer)) for one in asked]

    async def took_s(self, index: int, within_s: float = 1.2) -> float:
        """How long a call takes."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self.world.ask(CALL + index, within_s)
        return loop.time() - began

    def of_the_file(self) -> list[list[bool]]:
        """By request and number."""
        return [[int(one[-5:]) >= FILE for one in request] for request in self.vendor.requests]


def test_a_call_finds_a_connection_free_however_much_is_read() -> None:
    async def main() -> None:
        beside = Beside(max_concurrency=4)
        reading = beside.read(200)
        await asyncio.sleep(0.5)
        assert beside.vendor.under_way == 3
        assert await beside.took_s(1) == 1.0
        await asyncio.gather(*reading)

    in_virtual_time(main())


def test_calls_go_before_those_who_came_earlier_and_have_time() -> None:
    async def main() -> None:
        beside = Beside(max_concurrency=4)
        reading = beside.read(200)
        await asyncio.sleep(0.5)
        calls = [asyncio.create_task(beside.took_s(index, 5.0)) for index in range(30)]
        await asyncio.gather(*calls)
        assert not all(task.done() for task in reading)
        assert max(call.result() for call in calls) == 1.5, "all of them went with the first connection that came free"
        await asyncio.gather(*reading)

    in_virtual_time(main())


def test_a_call_never_shares_a_request_with_who_has_time() -> None:
    """A batch lasts as long as its slowest number."""

    async def main() -> None:
        beside = Beside(max_concurrency=1)
        reading = beside.read(25)
        calls = [asyncio.create_task(beside.took_s(index, 9.0)) for index in range(5)]
        await asyncio.gather(*reading, *calls)
        assert all(len(set(request)) == 1 for request in beside.of_the_file())
        assert [request[0] for request in beside.of_the_file()] == [True, False, True, True, True]

    in_virtual_time(main())


@pytest.mark.parametrize(("at_once", "for_the_file"), [(1, 1), (2, 1), (4, 3), (8, 6), (200, 150)])
def test_a_file_gets_most_of_the_connections_and_never_none(at_once: int, for_the_file: int) -> None:
    gates = Gates(max_concurrency=at_once, room_for_calls=True)
    while gates.delay_s(0.0, patient=True) == 0:
        gates.enter(0.0)
    assert gates.under_way == for_the_file


def test_in_a_process_without_calls_all_of_the_limit_is_used() -> None:
    gates = Gates(max_concurrency=4, max_per_minute=60)
    while gates.delay_s(0.0, patient=True) == 0:
        gates.enter(0.0)
    assert gates.under_way == 3, "the rate's own burst"
    assert gates.delay_s(2.0, patient=True) == 0


@pytest.mark.parametrize("per_minute", [30, 60, 360])
def test_a_call_finds_a_request_of_the_rate_left(per_minute: int) -> None:
    async def main() -> None:
        beside = Beside(took_s=0.1, max_concurrency=100, max_per_minute=per_minute)
        reading = beside.read(500)
        for index in range(3):
            await asyncio.sleep(7.0)
            assert await beside.took_s(index, 0.5) == pytest.approx(0.1)
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)

    in_virtual_time(main())


@pytest.mark.parametrize("per_minute", [1, 20, 29])
def test_where_the_rate_leaves_nothing_over_a_file_goes_on_all_the_same(per_minute: int) -> None:
    gates = Gates(max_concurrency=4, max_per_minute=per_minute, room_for_calls=True)
    assert gates.delay_s(0.0, patient=True) == 0


def test_calls_that_their_network_holds_back_hold_nobody_else_up() -> None:
    async def main() -> None:
        beside = Beside(max_concurrency=4)
        held_back = number(1, prefix="+3361234")
        beside.world.gates.limited(ProviderRateLimited(retry_after_s=3.0, scope="network"), 1000.0, [held_back])
        call = beside.world.start(held_back, 5.0)
        await asyncio.sleep(0)
        await asyncio.gather(*beside.read(10))
        assert not call.done()
        assert isinstance(await call, LookupAnswer)

    in_virtual_time(main())
