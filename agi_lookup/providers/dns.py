"""The driver of ENUM: one question, one datagram, unless the block's `retries` allow more. Each may be a dip that is billed.

Not c-ares (aiodns), which asks on its own: 250 ms after a fast server got slow it sends the question again; with several servers
it repeats some questions to the failed one to see whether it is back; it answers repeated questions from a cache, keeps the codes
and the records of errors to itself, and adds an OPT record that vendors refuse.

Each question has a socket of its own: a random port and a random id, and only the server's own datagrams come in.
"""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from agi_lookup.domain.errors import (
    ConfigError,
    ProviderError,
    ProviderOutcomeUnknown,
    ProviderProtocolError,
    ProviderTimeout,
    ProviderUnavailable,
)
from agi_lookup.providers.base import NumberResult
from agi_lookup.providers.dns_message import SERVFAIL, NaptrReply, decode_reply, encode_query
from agi_lookup.providers.enum_dns import EnumLookup, NaptrQuery
from agi_lookup.providers.enum_options import DNS_PORT, Options, address

MAX_DATAGRAM: Final = 65_535
MAX_STRAYS: Final = 32
RESOLV_CONF: Final = Path("/etc/resolv.conf")

Server = tuple[str, int]


class DnsDriver:
    """Asks the servers of one block: the first until it fails, then the next. Raises `ConfigError` when there are none."""

    def __init__(self, options: Options) -> None:
        self._servers: Sequence[Server] = [address(server) for server in options.servers] or system_servers()
        self._retries = options.retries
        self._first = 0

    async def run(self, lookup: EnumLookup, *, timeout_s: float) -> Mapping[str, NumberResult]:
        """All within `timeout_s`. Raises `ProviderError` only."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            query = next(lookup)
            while True:
                try:
                    reply = await self._ask(query, deadline)
                except ProviderError as error:
                    query = lookup.throw(error)
                else:
                    query = lookup.send(reply)
        except StopIteration as done:
            results: Mapping[str, NumberResult] = done.value
            return results
        finally:
            lookup.close()

    async def close(self) -> None:
        """Holds nothing between questions."""

    async def _ask(self, query: NaptrQuery, deadline: float) -> NaptrReply:
        """An answer, in no more questions than the block allows. Raises `ProviderError`."""
        left = 1 + self._retries
        while True:
            now = asyncio.get_running_loop().time()
            try:
                server, reply = await self._reach(query.name, now + (deadline - now) / left)
            except ProviderTimeout:
                if left == 1:
                    raise
            else:
                if reply.truncated and left == 1:
                    raise ProviderProtocolError(
                        "the answer is too long for a datagram; where questions are free, retries: 1 asks again over TCP"
                    )
                if reply.truncated:
                    return await _exchange_over_tcp(server, query.name, deadline)
                if reply.rcode != SERVFAIL or left == 1:
                    return reply
            left -= 1

    async def _reach(self, name: str, until: float) -> tuple[Server, NaptrReply]:
        """One question, and who answered. A server that is not there was not asked: then the next one is."""
        failure: ProviderError = ProviderUnavailable()
        for _ in self._servers:
            server = self._servers[self._first]
            try:
                reply = await _exchange(server, name, until)
            except ProviderTimeout:
                self._leave(server)
                raise
            except ProviderUnavailable as error:
                self._leave(server)
                failure = error
            else:
                if reply.rcode == SERVFAIL:
                    self._leave(server)
                return server, reply
        raise failure

    def _leave(self, server: Server) -> None:
        """The next questions begin with another one. Many may fail at once: only the first of them leads away."""
        if self._servers[self._first] == server:
            self._first = (self._first + 1) % len(self._servers)


async def _exchange(server: Server, name: str, until: float) -> NaptrReply:
    """One datagram and its answer. Raises `ProviderTimeout`, `ProviderProtocolError`, or `ProviderUnavailable`: nobody is there.

    A socket, not a datagram endpoint: uvloop leaks an endpoint whose making is cancelled, and hangs when it closes.
    """
    query = encode_query(name, secrets.randbits(16))
    failure: ProviderError = ProviderUnavailable("time was over before the question was sent")
    try:
        async with asyncio.timeout_at(until):
            await asyncio.sleep(0)  # time that is over is over before anything is sent
            with _connected(server) as connection:
                connection.send(query)
                failure = ProviderTimeout()
                return await _reply_to(query, connection)
    except TimeoutError:
        pass
    except OSError as error:
        failure = ProviderUnavailable(errno.errorcode.get(error.errno or 0, "no network"))
    raise failure


def _connected(server: Server) -> socket.socket:
    """Connected, so that only the server's datagrams come in, and that its absence is told (ICMP)."""
    connection = socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        connection.setblocking(False)
        connection.connect(server)
    except BaseException:
        connection.close()
        raise
    return connection


async def _reply_to(query: bytes, connection: socket.socket) -> NaptrReply:
    """What is no reply to it is passed by, as a forger's first guesses would be; not for ever, as reading may never wait then."""
    loop = asyncio.get_running_loop()
    for _ in range(MAX_STRAYS):
        reply = decode_reply(await loop.sock_recv(connection, MAX_DATAGRAM), query)
        if reply is not None:
            return reply
    raise ProviderProtocolError("a flood of datagrams that answer nothing")


async def _exchange_over_tcp(server: Server, name: str, until: float) -> NaptrReply:
    """RFC 7766. By now a question has been answered: whatever fails, something may have been billed."""
    query = encode_query(name, secrets.randbits(16))
    failure: ProviderError = ProviderTimeout()
    try:
        async with asyncio.timeout_at(until):
            reader, writer = await asyncio.open_connection(*server)
            try:
                writer.write(len(query).to_bytes(2) + query)
                length = int.from_bytes(await reader.readexactly(2))
                reply = decode_reply(await reader.readexactly(length), query)
            finally:
                writer.transport.abort()
        if reply is not None and not reply.truncated:
            return reply
        failure = ProviderProtocolError("no answer over TCP")
    except TimeoutError:
        pass
    except (OSError, EOFError) as error:
        failure = ProviderOutcomeUnknown(type(error).__name__)
    raise failure


def system_servers(resolv_conf: Path = RESOLV_CONF) -> list[Server]:
    """Those of resolv.conf(5). Raises `ConfigError`."""
    try:
        lines = resolv_conf.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [words[1] for line in lines if len(words := line.split()) > 1 and words[0] == "nameserver"]
    if not named:
        raise ConfigError(f"servers: none given, and {resolv_conf} names none")
    return [(server, DNS_PORT) for server in named]
