"""One lookup at a time for one key, however many callers want it.

A caller waits on a flight that it does not own: it may leave (deadline, hang-up) and the flight goes on, because it may already be
paid for. Each waiter has a future of its own; sharing one through `asyncio.shield` leaks waiters and loses exceptions
(python/cpython#86802). All waiters share one timer: in uvloop a timer is the dearest part of waiting (0.5 KiB).
"""

from __future__ import annotations

import asyncio
import itertools
import math
from bisect import bisect_right, insort
from collections.abc import Callable, Coroutine, Hashable
from contextvars import Context
from heapq import heapify, heappop, heappush
from operator import itemgetter
from typing import Any, Final, Generic, TypeAlias, TypeVar

from agi_lookup.domain.errors import Overloaded

T = TypeVar("T")

_NO_CONTEXT: Final = Context()
"""Of all flights: a copy for each, and a name, would be 0.25 KiB of what a waiting call costs."""

FEW: Final = 1024
"""Deadlines of flights that have landed, which are not worth a search."""

Until: TypeAlias = Callable[[], float]
"""Until when somebody waits for a flight (loop seconds); grows when more callers join, shrinks when they leave."""

_BY_DEADLINE: Final = itemgetter(0)


class _Flight(Generic[T]):
    """Waiters come and go; `deadline` is the last one's, in loop seconds. `alone_until` is the one for nobody."""

    __slots__ = ("_alone_until", "_deadlines", "_flights", "_key", "_waiters", "deadline", "landed", "task")

    def __init__(
        self, key: Hashable, flights: dict[Hashable, _Flight[T]], deadlines: _Deadlines, alone_until: float
    ) -> None:
        self.deadline = self._alone_until = alone_until
        self.landed = False
        self._key = key
        self._flights = flights
        self._deadlines = deadlines
        self._waiters: list[tuple[float, asyncio.Future[T]]] = []  # by deadline, which is mostly the order of coming

    def start(self, start: Callable[[Until], Coroutine[Any, Any, T]], loop: asyncio.AbstractEventLoop) -> None:
        self.task = loop.create_task(start(self), name="flight", context=_NO_CONTEXT)
        self.task.add_done_callback(self._land, context=_NO_CONTEXT)

    def __call__(self) -> float:
        """`Until`, without a bound method of its own."""
        return self.deadline

    @property
    def waiters(self) -> int:
        return len(self._waiters)

    def join(self, deadline: float, loop: asyncio.AbstractEventLoop) -> asyncio.Future[T]:
        waiter: asyncio.Future[T] = loop.create_future()
        insort(self._waiters, (deadline, waiter), key=_BY_DEADLINE)
        self.deadline = max(self.deadline, deadline)
        self._deadlines.add(deadline, self, loop)
        return waiter

    def let_go(self, now: float) -> None:
        """Those whose time is over go on without an answer. Looks at no others, as thousands may wait for one number."""
        waiters = self._waiters
        over = bisect_right(waiters, now, key=_BY_DEADLINE)
        for _, waiter in waiters[:over]:
            if not waiter.done():
                _fail(waiter, TimeoutError())
        del waiters[:over]
        while waiters and waiters[-1][1].done():  # hung up
            waiters.pop()
        self.deadline = max(self._alone_until, waiters[-1][0]) if waiters else self._alone_until

    def _land(self, task: asyncio.Future[T]) -> None:
        del self._flights[self._key], self.task  # the deadlines may still hold us, and need not hold the result
        waiters, self._waiters, self.landed = self._waiters, [], True
        error = Overloaded("the lookup was stopped") if task.cancelled() else task.exception()
        for _, waiter in waiters:
            if waiter.done():
                continue
            if error is not None:
                _fail(waiter, error)
            else:
                waiter.set_result(task.result())


class _Deadlines:
    """When which flight has to let somebody go, the soonest first. Of those that have landed, it forgets most."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, _Flight[Any]]] = []
        self._many = FEW
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = math.inf

    def add(self, deadline: float, flight: _Flight[Any], loop: asyncio.AbstractEventLoop) -> None:
        if len(self._due) >= self._many:
            self._due = [due for due in self._due if not due[2].landed]
            heapify(self._due)
            self._many = 2 * len(self._due) + FEW
        heappush(self._due, (deadline, next(self._order), flight))
        if deadline < self._wakes_at:
            self._wake_at(deadline, loop)

    def _wake_at(self, when: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = when
        self._timer = loop.call_at(when, self._wake, loop)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        now = max(loop.time(), self._wakes_at)  # a timer may come a little early
        self._timer, self._wakes_at = None, math.inf
        while self._due and (self._due[0][0] <= now or self._due[0][2].landed):
            flight = heappop(self._due)[2]
            if not flight.landed:
                flight.let_go(now)
        if self._due:
            self._wake_at(self._due[0][0], loop)


class SingleFlight(Generic[T]):
    """Flights by key, at most `limit` in the air. Thousands of calls may wait: a waiter is no more than a future."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._flights: dict[Hashable, _Flight[T]] = {}
        self._deadlines = _Deadlines()
        self._adopted: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._flights)

    @property
    def limit(self) -> int:
        return self._limit

    def waiters(self) -> int:
        """How many callers wait. Looks at every flight."""
        return sum(flight.waiters for flight in self._flights.values())

    def join(
        self, key: Hashable, start: Callable[[Until], Coroutine[Any, Any, T]], *, deadline: float
    ) -> asyncio.Future[T]:
        """The result of the key's flight, started by `start` when there is none; to be awaited once, or cancelled.

        The future raises `TimeoutError` at `deadline` (loop seconds; the flight goes on) or what the flight raised. `join` itself
        raises `Overloaded` when no more may start.
        """
        loop = asyncio.get_running_loop()
        flight = self._flights.get(key)
        if flight is None:
            if len(self._flights) >= self._limit:
                raise Overloaded("too many lookups under way")
            flight = self._launch(key, start, -math.inf, loop)
        return flight.join(deadline, loop)

    def launch(self, key: Hashable, start: Callable[[Until], Coroutine[Any, Any, T]], *, deadline: float) -> bool:
        """Start a flight that nobody waits for; False when one is under way or no more may start."""
        if key in self._flights or len(self._flights) >= self._limit:
            return False
        self._launch(key, start, deadline, asyncio.get_running_loop())
        return True

    def _launch(
        self,
        key: Hashable,
        start: Callable[[Until], Coroutine[Any, Any, T]],
        alone_until: float,
        loop: asyncio.AbstractEventLoop,
    ) -> _Flight[T]:
        flight: _Flight[T] = _Flight(key, self._flights, self._deadlines, alone_until)
        self._flights[key] = flight
        flight.start(start, loop)
        return flight

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Own a task beside the flights: what it waits for is paid for, though nobody may wait for it."""
        self._adopted.add(task)
        task.add_done_callback(self._adopted.discard)

    async def landed(self, timeout_s: float) -> set[asyncio.Task[Any]]:
        """Wait for those that are in the air now; returns the ones that still are."""
        tasks = [*(flight.task for flight in self._flights.values()), *self._adopted]
        return (await asyncio.wait(tasks, timeout=timeout_s))[1] if tasks else set()

    async def drain(self, timeout_s: float) -> int:
        """Wait for flights to land, stop the rest; returns how many were stopped."""
        pending = await self.landed(timeout_s)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return len(pending)


def _fail(waiter: asyncio.Future[T], error: BaseException) -> None:
    waiter.set_exception(error)
    waiter.exception()  # seen: a waiter that hangs up in this very moment will not ask, and asyncio would complain
