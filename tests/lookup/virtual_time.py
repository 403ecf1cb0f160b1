"""An event loop whose clock jumps to the next timer: seconds pass at once, and always in the same order."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Never waits: where it would sleep, its time moves on. Fails loudly when nothing can ever happen again."""

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())
        self._now = 1000.0
        self.made = 0  # tasks and futures
        selector = self._selector  # type: ignore[attr-defined]
        poll = selector.select

        def select(timeout: float | None = None) -> Any:
            if timeout is None:
                raise RuntimeError("everybody waits, and nothing is due")
            self._now += timeout
            return poll(0)

        selector.select = select

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        """A loop that was busy for so long."""
        self._now += seconds

    def timers(self) -> int:
        """Those that are still to come, and cancelled ones that were not cleared away."""
        return len(self._scheduled)  # type: ignore[attr-defined]

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """At once: no time passes in a thread."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def create_task(self, *args: Any, **options: Any) -> asyncio.Task[Any]:
        self.made += 1
        return super().create_task(*args, **options)

    def create_future(self) -> asyncio.Future[Any]:
        self.made += 1
        return super().create_future()


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
