"""One flight a key; waiters come and go."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar
from weakref import WeakSet

import pytest

from agi_lookup.domain.errors import Overloaded
from agi_lookup.lookup.singleflight import FEW, SingleFlight, Until
from tests.lookup import virtual_time

T = TypeVar("T")


async def run(
    flights: SingleFlight[T], key: object, start: Callable[[Until], Coroutine[Any, Any, T]], *, deadline: float
) -> T:
    return await flights.join(key, start, deadline=deadline)


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
    waiters = [asyncio.create_task(run(flights, "key", start, deadline=soon())) for _ in range(50)]
    await asyncio.sleep(0)
    gate.set()

    assert await asyncio.gather(*waiters) == ["answer"] * 50
    assert (starts, len(flights)) == (1, 0)


async def test_what_has_landed_is_forgotten_long_before_its_deadline() -> None:
    """C17: a file of numbers has an hour for each, and is answered in milliseconds."""

    class Answer:
        pass

    async def start(_until: Until) -> Answer:
        return Answer()

    flights: SingleFlight[Answer] = SingleFlight(10)
    held = WeakSet[Callable[..., Any]]()
    for key in range(5000):
        landing = partial(start)
        held.add(landing)
        await flights.join((key, landing), landing, deadline=soon(3600.0))
    del landing
    gc.collect()

    assert len(held) <= 2 * FEW


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
        *(run(flights, "key", start, deadline=soon()) for _ in range(20)), return_exceptions=True
    )

    assert all(isinstance(r, RuntimeError) for r in results)
    assert starts == 1
    assert await run(flights, "key", start, deadline=soon()) == "answer"


async def test_a_stopped_flight_releases_its_waiters() -> None:
    """C2."""

    async def start(_until: Until) -> str:
        await asyncio.sleep(60)
        return "never"

    flights: SingleFlight[str] = SingleFlight(10)
    waiter = asyncio.create_task(run(flights, "key", start, deadline=soon()))
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
    first = asyncio.create_task(run(flights, "a", start, deadline=soon()))
    await asyncio.sleep(0)

    with pytest.raises(Overloaded):
        await run(flights, "b", start, deadline=soon())
    assert flights.launch("b", start, deadline=soon()) is False
    second = asyncio.create_task(run(flights, "a", start, deadline=soon()))
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
            result = await run(flights, chance.randrange(5), start, deadline=soon(chance.random() * 0.006))
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


async def test_each_waiter_leaves_at_its_own_deadline() -> None:
    """Whoever joins, and in whichever order."""
    gate = asyncio.Event()

    async def start(_until: Until) -> str:
        await gate.wait()
        return "answer"

    flights: SingleFlight[str] = SingleFlight(1)
    now = soon(0.0)
    waiters = {
        after_s: flights.join("key", start, deadline=now + after_s) for after_s in (0.02, 60.0, 0.01, 30.0, 0.03)
    }
    await asyncio.wait([waiters[0.03]])

    assert [waiters[after_s].done() for after_s in (0.01, 0.02, 0.03, 30.0, 60.0)] == [True, True, True, False, False]
    assert all(isinstance(waiters[after_s].exception(), TimeoutError) for after_s in (0.01, 0.02, 0.03))
    gate.set()
    assert await waiters[30.0] == await waiters[60.0] == "answer"


class Compared(float):
    """A deadline that counts how often it is looked at."""

    times = 0

    def __lt__(self, other: float) -> bool:
        Compared.times += 1
        return float(self) < float(other)

    def __le__(self, other: float) -> bool:
        Compared.times += 1
        return float(self) <= float(other)

    def __gt__(self, other: float) -> bool:
        Compared.times += 1
        return float(self) > float(other)

    def __ge__(self, other: float) -> bool:
        Compared.times += 1
        return float(self) >= float(other)


def test_who_leaves_is_found_without_a_look_at_all_who_wait() -> None:
    """C2: thousands of calls to one number, each with a deadline of its own."""
    many = 1000
    order = list(range(many))
    random.Random(7).shuffle(order)

    async def wait() -> list[Any]:
        flights: SingleFlight[str] = SingleFlight(1)
        now = soon(0.0)
        waiters = [flights.join("key", forever, deadline=Compared(now + 1 + place / 1000)) for place in order]
        left = await asyncio.gather(*waiters, return_exceptions=True)
        await flights.drain(0.0)
        return left

    async def forever(_until: Until) -> str:
        await asyncio.sleep(3600.0)
        return "never"

    Compared.times = 0
    left = virtual_time.run(wait())

    assert all(isinstance(one, TimeoutError) for one in left)
    assert Compared.times < 100 * many, "logarithms, and no more"


def test_a_flight_has_as_long_as_the_last_who_still_waits() -> None:
    untils: list[Until] = []

    async def start(until: Until) -> str:
        untils.append(until)
        await asyncio.sleep(20.0)
        return "answer"

    async def wait() -> list[float]:
        flights: SingleFlight[str] = SingleFlight(1)
        now = soon(0.0)
        first, second, hangs_up = (flights.join("key", start, deadline=now + after_s) for after_s in (1.0, 2.0, 10.0))
        await asyncio.sleep(0)
        (until,) = untils
        seen = [until() - now]
        hangs_up.cancel()
        for waiter in (first, second):
            await asyncio.wait([waiter])
            seen.append(until() - now)
        await flights.drain(60.0)
        return seen

    assert virtual_time.run(wait()) == [10.0, 2.0, -float("inf")]
