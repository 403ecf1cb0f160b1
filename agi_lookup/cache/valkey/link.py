"""One connection, and the rule that keeps its answers apart: whatever breaks an exchange off, a cancellation too, drops it.

Replies carry no name; they are matched by their order. A reply that nobody read is taken for the answer to the next question
(redis/redis-py#2665), and so one caller gets what was meant for another.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol, TypeVar, cast

from redis.asyncio import connection as redis_connection
from redis.exceptions import ResponseError

from agi_lookup.cache.valkey.options import SharedOptions
from agi_lookup.domain.errors import CacheError

T = TypeVar("T")

Command = tuple[str | bytes | int, ...]
Reply = Any
"""Bytes, a number, None, or the `ResponseError` that refuses a command."""

ROUNDS: Final = 3
"""Of the event loop: to read what has come, to make sense of it, and to hand it over."""

_AT_ONCE: Final = struct.pack("ii", 1, 0)

_WORDS: Final = {
    "AuthenticationError": "user or password refused",
    "BusyLoadingError": "it loads its data",
    "InvalidResponse": "it does not speak the protocol",
    "MasterDownError": "a replica without its primary",
    "AskError": "its slots move",
    "ClusterDownError": "a cluster that is down",
    "MovedError": "a cluster: its slots have moved, or its url should begin with redis+cluster",
    "NoPermissionError": "the user may not do this (ACL)",
    "OutOfMemoryError": "out of memory",
    "ReadOnlyError": "a read-only replica",
}


class Connection(Protocol):
    """What is used of redis-py's."""

    @property
    def _writer(self) -> asyncio.StreamWriter | None: ...
    @property
    def is_connected(self) -> bool: ...
    async def connect(self) -> None: ...
    async def disconnect(self, nowait: bool = False) -> None: ...
    def pack_commands(self, commands: Sequence[Command]) -> list[bytes]: ...
    async def read_response(self, *, disconnect_on_error: bool = True) -> Reply: ...


class Exchange(Protocol):
    """A `Link`, or several that look like one."""

    @property
    def is_open(self) -> bool: ...
    async def open(self, deadline: float) -> None: ...
    async def ask(self, commands: Sequence[Command], deadline: float) -> list[Reply]: ...
    async def drop(self) -> None: ...


class Link:
    """Exchanges one batch at a time. Raises `CacheError` and nothing else; after that it has to be opened again."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def is_open(self) -> bool:
        return self._connection.is_connected

    async def open(self, deadline: float) -> None:
        """Connect, log in and choose the database. `deadline` is loop seconds."""
        await self._or_drop(self._connection.connect(), deadline)

    async def ask(self, commands: Sequence[Command], deadline: float) -> list[Reply]:
        """One reply a command, in their order; a refusal is a reply."""
        return await self._or_drop(self._exchange(commands), deadline)

    async def drop(self) -> None:
        """At once, with what is not sent yet: it may not arrive after what a later connection says."""
        writer = self._connection._writer
        if writer is not None and not writer.is_closing():  # of a closed one, the descriptor may be another's by now
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            writer.transport.abort()
        await self._connection.disconnect(nowait=True)

    async def _exchange(self, commands: Sequence[Command]) -> list[Reply]:
        """Writes past redis-py's own `send_packed_command`, which would close in its own way, sending the rest."""
        writer = self._connection._writer
        if writer is None:
            raise CacheError("not connected")
        writer.writelines(self._connection.pack_commands(commands))
        await writer.drain()
        return [await self._reply() for _ in commands]

    async def _reply(self) -> Reply:
        try:
            return await self._connection.read_response(disconnect_on_error=False)
        except ResponseError as refusal:
            return refusal

    async def _or_drop(self, exchange: Coroutine[Any, Any, T], deadline: float) -> T:
        try:
            async with _by(deadline):
                return await exchange
        except Exception as error:  # noqa: BLE001 - a library reads what a stranger sent: whatever it raises, calls go on
            await self.drop()
            raise CacheError(reason(error)) from None  # what was refused may hold a number
        except BaseException:
            await self.drop()
            raise


@asynccontextmanager
async def _by(deadline: float) -> AsyncIterator[None]:
    """`asyncio.timeout_at`, but what has come by then is read first: else a pause of our own loop would be the server's fault."""
    loop = asyncio.get_running_loop()
    over = False

    def expire(rounds: int) -> None:
        if rounds and not over:
            loop.call_soon(expire, rounds - 1)
        elif not over:
            limit.reschedule(loop.time())

    async with asyncio.timeout(None) as limit:
        timer = loop.call_at(deadline, expire, ROUNDS)
        try:
            yield
        finally:
            over = True
            timer.cancel()


def to_server(url: str, options: SharedOptions) -> Connection:
    """To one server, not connected yet. Loads certificates when it connects first, and keeps them."""
    made: dict[str, Any] = {
        **redis_connection.parse_url(url),
        "protocol": 2,  # RESP3 brings pushes that nobody asked for
        "driver_info": None,  # no CLIENT SETINFO, which an ACL may forbid
        "socket_timeout": None,  # deadlines are ours
        "socket_connect_timeout": None,
    }
    kind = made.pop("connection_class", redis_connection.Connection)
    if issubclass(kind, redis_connection.SSLConnection):
        files = {"ssl_ca_certs": options.ca_file, "ssl_certfile": options.cert_file, "ssl_keyfile": options.key_file}
        made |= {name: str(path) for name, path in files.items() if path is not None}
    return cast("Connection", kind(**made))


def reason(error: BaseException) -> str:
    """In words of ours: a server's own may repeat the command, and with it a number or the password."""
    wrapped: BaseException | None = error
    while wrapped is not None:
        if word := _word(wrapped):
            return word
        wrapped = wrapped.__cause__ or wrapped.__context__
    return type(error).__name__


def _word(error: BaseException) -> str:
    if isinstance(error, CacheError):
        return str(error)
    if isinstance(error, OSError):
        return _of_the_system(error)
    if type(error) is ResponseError:
        code = re.match(r"[A-Z]{3,16}\b", str(error))
        return f"it refuses ({code[0]})" if code else "it refuses"
    return _WORDS.get(type(error).__name__, "")


def _of_the_system(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason}"
    if isinstance(error, socket.gaierror):
        return "its name is not found"
    return os.strerror(error.errno) if error.errno else ""
