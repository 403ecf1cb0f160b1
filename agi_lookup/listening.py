"""The listening sockets, and somebody who takes what arrives there, for as long as they are wanted.

A listener of uvloop that runs out of memory while it takes a connection is dead, and nothing says so: callers are let into the
backlog and wait there for ever. The kernel knows how many wait. Where some do and nobody is taken, new listeners are made on the
same socket, which is kept open beside theirs, so that those in the backlog are served too.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from typing import Final

BACKLOG: Final = 4096
"""A burst of calls waits here, not in SYN retries; the kernel cuts it to net.core.somaxconn."""
DEAF_S: Final = 0.5
"""So long nobody is taken while some wait: a loop that is late takes one a round at least."""
TCP_INFO: Final = getattr(socket, "TCP_INFO", None)
IN_BACKLOG: Final = struct.Struct("=24xI")
"""linux/tcp.h `tcp_info.tcpi_unacked`: of a listening socket, the connections that wait to be taken."""


class Listening:
    """`on_deaf` is called when nobody was taken and new listeners are made. To be stopped."""

    def __init__(self, make: Callable[[], asyncio.Protocol], on_deaf: Callable[[], None]) -> None:
        self._make = make
        self._on_deaf = on_deaf
        self._sockets: list[socket.socket] = []
        self._listeners: list[asyncio.Server] = []
        self._taken = 0  # when it was last looked at
        self._deaf_since: float | None = None
        self._reviving: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Returns the port (chosen by the kernel for 0). Raises `OSError`."""
        first = await asyncio.get_running_loop().create_server(self._make, host, port, backlog=BACKLOG)
        self._listeners = [first]
        self._sockets = [socket.socket(fileno=os.dup(listening.fileno())) for listening in first.sockets]
        chosen: int = self._sockets[0].getsockname()[1]
        return chosen

    def look_after(self, taken: int, now: float) -> None:
        """To be called every so often, with how many connections were taken so far; `now` is loop seconds."""
        if taken != self._taken or not self.waiting():
            self._taken, self._deaf_since = taken, None
        elif self._deaf_since is None:
            self._deaf_since = now
        elif now - self._deaf_since >= DEAF_S and (self._reviving is None or self._reviving.done()):
            self._deaf_since = now
            self._on_deaf()
            self._reviving = asyncio.get_running_loop().create_task(self._revive())

    def waiting(self) -> int:
        """Connections in the backlog; 0 where the system does not tell."""
        if TCP_INFO is None:
            return 0
        try:
            said = [s.getsockopt(socket.IPPROTO_TCP, TCP_INFO, IN_BACKLOG.size) for s in self._sockets]
            return sum(IN_BACKLOG.unpack(one)[0] for one in said)
        except (OSError, struct.error):
            return 0

    def stop(self) -> None:
        """Take nobody more."""
        if self._reviving is not None:
            self._reviving.cancel()
        for listener in self._listeners:
            listener.close()
        for kept in self._sockets:
            kept.close()
        self._sockets = []

    async def _revive(self) -> None:
        dead, self._listeners = self._listeners, []
        for listener in dead:
            listener.close()
        loop = asyncio.get_running_loop()
        for kept in self._sockets:
            self._listeners.append(await loop.create_server(self._make, sock=kept.dup(), backlog=BACKLOG))
