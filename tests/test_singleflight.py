"""One flight a key; waiters come and go."""

from __future__ import annotations

import asyncio
import random

import pytest

from agi_lookup.domain.errors import Overloaded
from agi_lookup.lookup.singleflight import SingleFlight, Until


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_all_waiters_get_the_one_result() -> None:
    starts = 0
    gate = asyncio.Event()

    async def start(_until: Until) -> str:
        nonlocal starts
        starts += 1
        await gate.wait()
        return "answer"

    flights: SingleFlight[str] = SingleFlight(10)
    waiters = [asyncio.create_task(flights.run("key", start, deadline=soon())) for _ in range(50)]
    await asyncio.sleep(0)
    gate.set()

    assert await asyncio.gather(*waiters) == ["answer"] * 50
    assert (starts, len(flights)) == (1, 0)


async def test_a_failure_reaches_every_waiter_and_the_next_caller_starts_anew() -> None:
    """C2: no herd, and no memory of the failure."""
    starts = 0

    async def start(_until: Until) -> str:
        nonlocal starts
        starts += 1
        await asyncio.sleep(0)
        if starts == 1:
            raise RuntimeError("bug")
        return "answer"

    flights: SingleFlight[str] = SingleFlight(10)
    results = await asyncio.gather(
        *(flights.run("key", start, deadline=soon()) for _ in range(20)), return_exceptions=True
    )

    assert all(isinstance(r, RuntimeError) for r in results)
    assert starts == 1
    assert await flights.run("key", start, deadline=soon()) == "answer"


async def test_a_stopped_flight_releases_its_waiters() -> None:
    """C2."""

    async def start(_until: Until) -> str:
        await asyncio.sleep(60)
        return "never"

    flights: SingleFlight[str] = SingleFlight(10)
    waiter = asyncio.create_task(flights.run("key", start, deadline=soon()))
    await asyncio.sleep(0)

    assert await flights.drain(0.01) == 1
    with pytest.raises(Overloaded):
        await waiter


async def test_a_full_sky_refuses_new_keys_and_still_takes_waiters() -> None:
    gate = asyncio.Event()

    async def start(_until: Until) -> str:
        await gate.wait()
        return "answer"

    flights: SingleFlight[str] = SingleFlight(1)
    first = asyncio.create_task(flights.run("a", start, deadline=soon()))
    await asyncio.sleep(0)

    with pytest.raises(Overloaded):
        await flights.run("b", start, deadline=soon())
    assert flights.launch("b", start, deadline=soon()) is False
    second = asyncio.create_task(flights.run("a", start, deadline=soon()))
    await asyncio.sleep(0)
    gate.set()
    assert [await first, await second] == ["answer", "answer"]


async def test_random_leavers_never_hurt_the_flight_or_the_others() -> None:
    """C2, F13: waiters that leave at any moment, by deadline or cancellation."""
    chance = random.Random(7)
    flown = 0

    async def start(_until: Until) -> int:
        nonlocal flown
        await asyncio.sleep(chance.random() * 0.004)
        flown += 1
        return flown

    async def caller(flights: SingleFlight[int]) -> str:
        try:
            result = await flights.run(chance.randrange(5), start, deadline=soon(chance.random() * 0.006))
        except TimeoutError:
            return "late"
        return "answered" if result else "wrong"

    flights: SingleFlight[int] = SingleFlight(10)
    callers = []
    for _ in range(2000):
        callers.append(asyncio.create_task(caller(flights)))
        if chance.random() < 0.3:
            chance.choice(callers).cancel()
        if chance.random() < 0.2:
            await asyncio.sleep(0)
    results = await asyncio.gather(*callers, return_exceptions=True)
    await flights.drain(1.0)

    assert set(map(str, results)) <= {"answered", "late", ""}, "CancelledError prints as nothing"
    assert "answered" in results
    assert len(flights) == 0
