"""How late the event loop runs, and so: since when a connection that is being accepted may have waited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

TICK_S: Final = 0.05
SLACK_S: Final = 0.02
"""A tick this late is ordinary scheduling, not a blocked loop."""


class LagMeter:
    """Ticks while it is started. `on_tick(lag_s)` is called at every tick (metrics, the service watchdog)."""

    def __init__(self, on_tick: Callable[[float], None] = lambda _lag_s: None) -> None:
        self.now_s = 0.0
        self._on_tick = on_tick
        self._due = 0.0
        self._blocked_since: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._schedule(asyncio.get_running_loop())

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def accepted_at(self) -> float:
        """Loop seconds from which to count a new connection's deadline.

        After the loop was blocked, a connection may have waited in the backlog since the tick that was missed. It is taken to have:
        so its answer may come early, but never late.
        """
        now = asyncio.get_running_loop().time()
        if self._blocked_since is not None:
            return self._blocked_since
        overdue = self._handle is not None and now > self._due + SLACK_S
        return self._due if overdue else now

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + TICK_S
        self._handle = loop.call_at(self._due, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now_s = loop.time() - self._due
        if self.now_s > SLACK_S:
            self._blocked_since = self._due
            # libuv runs timers, then what is ready, then sockets: this round's accepts come after the first call_soon.
            loop.call_soon(loop.call_soon, self._unblock)
        self._schedule(loop)
        self._on_tick(self.now_s)

    def _unblock(self) -> None:
        self._blocked_since = None
