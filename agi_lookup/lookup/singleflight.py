"""One lookup at a time for one key, however many callers want it.

A caller waits on a flight that it does not own: it may leave (deadline, hang-up) and the flight goes on, because it may already be
paid for. Each waiter has a future of its own; sharing one through `asyncio.shield` leaks waiters and loses exceptions
(python/cpython#86802).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from agi_lookup.domain.errors import Overloaded

T = TypeVar("T")


class _Flight(Generic[T]):
    __slots__ = ("deadline", "task", "waiters")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline  # until when somebody waits, loop seconds
        self.task: asyncio.Task[T] | None = None
        self.waiters: list[asyncio.Future[T]] = []

    def until(self) -> float:
        return self.deadline


Until: TypeAlias = Callable[[], float]
"""Until when somebody waits for a flight (loop seconds); grows when more callers join."""


class SingleFlight(Generic[T]):
    """Flights by key, at most `limit` in the air. Thousands of calls may wait: a waiter is no more than a future and a timer."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._flights: dict[Hashable, _Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def run(self, key: Hashable, start: Callable[[Until], Coroutine[Any, Any, T]], *, deadline: float) -> T:
        """The result of the key's flight, started by `start` when there is none.

        Raises `TimeoutError` at `deadline` (loop seconds; the flight goes on), `Overloaded` when no more may start, or what the
        flight raised.
        """
        loop = asyncio.get_running_loop()
        flight = self._flights.get(key) or self._launch(key, start, deadline)
        flight.deadline = max(flight.deadline, deadline)
        waiter: asyncio.Future[T] = loop.create_future()
        flight.waiters.append(waiter)
        timer = loop.call_at(deadline, _too_late, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()
            if flight.waiters:  # not landed yet: we leave before it
                flight.waiters.remove(waiter)

    def launch(self, key: Hashable, start: Callable[[Until], Coroutine[Any, Any, T]], *, deadline: float) -> bool:
        """Start a flight that nobody waits for; False when one is under way or no more may start."""
        if key in self._flights or len(self._flights) >= self._limit:
            return False
        self._launch(key, start, deadline)
        return True

    def _launch(self, key: Hashable, start: Callable[[Until], Coroutine[Any, Any, T]], deadline: float) -> _Flight[T]:
        if len(self._flights) >= self._limit:
            raise Overloaded("too many lookups under way")
        flight: _Flight[T] = _Flight(deadline)
        self._flights[key] = flight
        flight.task = asyncio.get_running_loop().create_task(start(flight.until))
        flight.task.add_done_callback(partial(self._land, key, flight))
        return flight

    def _land(self, key: Hashable, flight: _Flight[T], task: asyncio.Future[T]) -> None:
        del self._flights[key]
        waiting = [waiter for waiter in flight.waiters if not waiter.done()]
        flight.waiters = []
        if task.cancelled():
            for waiter in waiting:
                waiter.set_exception(Overloaded("the lookup was stopped"))
        elif (error := task.exception()) is not None:
            for waiter in waiting:
                waiter.set_exception(error)
        else:
            for waiter in waiting:
                waiter.set_result(task.result())

    async def drain(self, timeout_s: float) -> int:
        """Wait for flights to land, stop the rest; returns how many were stopped."""
        tasks = [f.task for f in self._flights.values() if f.task]
        if not tasks:
            return 0
        _, pending = await asyncio.wait(tasks, timeout=timeout_s)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return len(pending)


def _too_late(waiter: asyncio.Future[T]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
