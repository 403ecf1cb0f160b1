"""How late the event loop runs, and so: since when a connection that is being accepted may have waited."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final

TICK_S: Final = 0.05
SLACK_S: Final = 0.02
"""A tick this late, or a connection that waited so long, is ordinary scheduling and not a blocked loop."""
ASK_EVERY_S: Final = 0.01
"""Connections wait in order: what one waited, those behind it did too. To ask for each would cost a tenth of a call."""
TCP_INFO: Final = getattr(socket, "TCP_INFO", None)
SINCE_RECEIVED: Final = struct.Struct("=52xI")
"""linux/tcp.h `tcp_info.tcpi_last_data_recv`: milliseconds since the connection was made, or since data came."""


class LagMeter:
    """Ticks while it is started. `on_tick(lag_s)` is called at every tick (metrics, the service watchdog)."""

    def __init__(self, on_tick: Callable[[float], None] = lambda _lag_s: None) -> None:
        self.now_s = 0.0  # by how much the last tick was late
        self.backlog_s = 0.0  # how long connections wait to be accepted
        self._ask_at = 0.0
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

    def accepted_at(self, connection: asyncio.BaseTransport) -> float:
        """Loop seconds from which to count a new connection's deadline: so its answer may come early, but never late.

        libuv accepts one connection in a round of the loop: when there is more to do than time, they wait in the backlog and no
        tick is late. The kernel knows how long. Where it does not tell, a connection that is accepted after the loop was blocked
        may have waited since the tick that was missed, and is taken to have.
        """
        now = asyncio.get_running_loop().time()
        if now >= self._ask_at:
            self._ask_at = now + ASK_EVERY_S
            self.backlog_s = _waited_s(connection)
        since = now - self.backlog_s
        if self._blocked_since is not None:
            return min(since, self._blocked_since)
        overdue = self._handle is not None and now > self._due + SLACK_S
        return min(since, self._due) if overdue else since

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + TICK_S
        self._handle = loop.call_at(self._due, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self.now_s = now - self._due
        if now > self._ask_at + TICK_S:
            self.backlog_s = 0.0  # nobody came
        if self.now_s > SLACK_S:
            self._blocked_since = self._due
            # libuv runs timers, then what is ready, then sockets: this round's accepts come after the first call_soon.
            loop.call_soon(loop.call_soon, self._unblock)
        self._schedule(loop)
        self._on_tick(self.now_s)

    def _unblock(self) -> None:
        self._blocked_since = None


def _waited_s(connection: asyncio.BaseTransport) -> float:
    """How long a connection that is being accepted has waited for it: since its peer, who says all at once, fell silent."""
    peer = connection.get_extra_info("socket")
    if peer is None or TCP_INFO is None:
        return 0.0
    try:
        (silent_ms,) = SINCE_RECEIVED.unpack(peer.getsockopt(socket.IPPROTO_TCP, TCP_INFO, SINCE_RECEIVED.size))
    except (OSError, struct.error):  # another kernel's
        return 0.0
    silent_s: float = silent_ms / 1000
    return silent_s if silent_s > SLACK_S else 0.0
