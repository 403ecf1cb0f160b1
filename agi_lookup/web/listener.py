"""One HTTP application on one port, bounded in every way that aiohttp leaves open."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from aiohttp import web

MAX_CONNECTIONS: Final = 64
"""From this machine, and as many from all others: outside, nobody can keep the operator from looking."""
MAX_PER_SOURCE: Final = 16
"""From one other machine."""
IDLE_S: Final = 5.0
"""From the connection, or the last reply, to the end of the next request's headers."""
LINGER_S: Final = 0.25
"""How long the rest of a refused body is read, so that the refusal itself arrives."""


QUIET_S: Final = 60.0


class Metrics(Protocol):
    def event(self, word: str) -> None: ...


class _Door(asyncio.Protocol):
    """Hands a connection over to HTTP, or ends it: who it is from is known only once it is made."""

    def __init__(self, admit: Callable[[str], asyncio.Protocol | None]) -> None:
        self._admit = admit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        protocol = self._admit(_source(transport))
        if protocol is None:
            transport.close()
        else:
            transport.set_protocol(protocol)
            protocol.connection_made(transport)


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """One warning a minute: whoever sends what is no HTTP must not fill the disk."""

    _quiet_until = 0.0

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - its name in `logging`
        now = time.monotonic()
        if not super().isEnabledFor(level) or now < self._quiet_until:
            return False
        if level >= logging.WARNING:
            self._quiet_until = now + QUIET_S
        return True


class Listener:
    """A capped number of connections: idle ones must not take the descriptors that calls need."""

    def __init__(
        self,
        application: web.Application,
        metrics: Metrics,
        *,
        idle_s: float = IDLE_S,
        lets_in: Callable[[str], bool] = lambda _address: True,
    ) -> None:
        self._metrics = metrics
        self._lets_in = lets_in
        self._listener: asyncio.Server | None = None
        self._runner = web.AppRunner(
            application,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=1.0,
            keepalive_timeout=idle_s,
            lingering_time=LINGER_S,
            auto_decompress=False,
            logger=_Quiet(logging.getLogger("aiohttp.server")),
        )

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises `OSError`."""
        await self._runner.setup()
        self._listener = await asyncio.get_running_loop().create_server(lambda: _Door(self._admit), host, port)
        bound: int = self._listener.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()

    def _admit(self, source: str) -> asyncio.Protocol | None:
        server = self._runner.server
        if server is None or not (self._lets_in(source) and self._has_room(source, server)):
            self._metrics.event("http_refused")
            return None
        return server()

    def _has_room(self, source: str, server: web.Server) -> bool:
        """A few dozen are looked at; nothing is to be kept in step with them."""
        others = [_source(one.transport) for one in server.connections if one.transport is not None]
        if _is_here(source):
            return sum(map(_is_here, others)) < MAX_CONNECTIONS
        network = network_of(source)
        outside = [network_of(other) for other in others if not _is_here(other)]
        return len(outside) < MAX_CONNECTIONS and outside.count(network) < MAX_PER_SOURCE


def _source(transport: asyncio.BaseTransport) -> str:
    """The peer's address; empty when it has left already."""
    name = transport.get_extra_info("peername")
    return str(name[0]) if name else ""


def _is_here(source: str) -> bool:
    return source == "::1" or source.removeprefix("::ffff:").startswith("127.")


def network_of(source: str) -> str:
    """What one machine has: an IPv4 address, or 64 bits of IPv6."""
    if ":" not in source or source.startswith("::ffff:"):
        return source
    return str(ipaddress.IPv6Network((source.partition("%")[0], 64), strict=False))
