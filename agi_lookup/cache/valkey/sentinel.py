"""A connection to the primary that sentinels name: asked anew for each connection, so that a fail-over is followed by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from agi_lookup.cache.valkey.link import Command, Connection, Reply
from agi_lookup.domain.errors import CacheError

ONE_S: Final = 0.3
"""For one sentinel: with a second to connect, the third is still asked."""

Connect = Callable[[str, int], Connection]


class SentinelConnection:
    """See `link.Connection`. A sentinel that answered is asked first the next time."""

    def __init__(self, sentinels: Sequence[Connection], service: str, primary: Connect) -> None:
        self._sentinels = list(sentinels)
        self._service = service
        self._connect_to = primary
        self._primary: Connection | None = None

    @property
    def _writer(self) -> asyncio.StreamWriter | None:
        return self._primary._writer if self._primary is not None else None

    @property
    def is_connected(self) -> bool:
        return self._primary is not None and self._primary.is_connected

    async def connect(self) -> None:
        for sentinel in tuple(self._sentinels):
            with suppress(Exception):  # whatever is wrong with it, another one may know; when none does, that is told
                host, port = await asyncio.wait_for(self._ask(sentinel), ONE_S)
                self._primary = self._connect_to(host, port)
                await self._primary.connect()
                if await self._is_primary(self._primary):
                    self._sentinels.remove(sentinel)
                    self._sentinels.insert(0, sentinel)
                    return
            await self.disconnect(nowait=True)
        raise CacheError("no sentinel leads to a primary")

    async def disconnect(self, nowait: bool = False) -> None:
        primary, self._primary = self._primary, None
        if primary is not None:
            await primary.disconnect(nowait=nowait)

    def pack_commands(self, commands: Sequence[Command]) -> list[bytes]:
        return self._open.pack_commands(commands)

    async def read_response(self, *, disconnect_on_error: bool = True) -> Reply:
        return await self._open.read_response(disconnect_on_error=disconnect_on_error)

    @property
    def _open(self) -> Connection:
        if self._primary is None:
            raise CacheError("not connected")
        return self._primary

    async def _ask(self, sentinel: Connection) -> tuple[str, int]:
        try:
            await sentinel.connect()
            host, port = await _exchange(sentinel, ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service))
            return host.decode(), int(port)
        finally:
            await sentinel.disconnect(nowait=True)

    async def _is_primary(self, connection: Connection) -> bool:
        """Sentinels may be late to know that it is one no more."""
        role = await _exchange(connection, ("ROLE",))
        return bool(role[0] == b"master")


async def _exchange(connection: Connection, command: Command) -> Reply:
    """Raises whatever comes in between."""
    writer = connection._writer
    if writer is None:
        raise CacheError("not connected")
    writer.writelines(connection.pack_commands([command]))
    await writer.drain()
    return await connection.read_response(disconnect_on_error=False)
