"""FastAGI servers that misbehave on purpose: a test gives the behaviour, the peer records what Asterisk sent."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, TypeAlias


@dataclass
class Session:
    """One AGI session as the server sees it. `environment` is raw, up to and with its blank line."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    environment: bytes = b""

    @property
    def lines(self) -> list[str]:
        return self.environment.decode(errors="replace").split("\n")[:-2]

    @property
    def arguments(self) -> list[str]:
        return [line.partition(": ")[2] for line in self.lines if line.startswith("agi_arg_")]

    def value(self, key: str) -> str:
        [value] = [line.partition(": ")[2] for line in self.lines if line.startswith(f"{key}: ")]
        return value

    async def command(self, line: str) -> str:
        """Send a command, wait for one line of reply."""
        self.send(f"{line}\n".encode())
        return await self.line()

    async def line(self) -> str:
        """The next line; empty at the end."""
        return (await self.reader.readline()).decode().rstrip("\n")

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def reset(self) -> None:
        """Close with RST, as the kernel does for a process that dies with unread bytes."""
        connection: socket.socket = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Behaviour: TypeAlias = Callable[[Session], Awaitable[None]]
"""Runs after the environment was read; the connection is closed when it returns."""


@dataclass
class Peer:
    """A running peer: its URL for the dialplan and the sessions that it had."""

    url: str
    sessions: list[Session] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)


@asynccontextmanager
async def peer(behave: Behaviour, *, reads: bool = True) -> AsyncIterator[Peer]:
    """Serve `behave` on a free port; what it raised (failed assertions, say) is raised at the end."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(reader, writer)
        running.sessions.append(session)
        try:
            if reads:
                session.environment = await reader.readuntil(b"\n\n")
            await behave(session)
        except Exception as error:
            running.errors.append(error)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=BACKLOG)
    running = Peer(f"agi://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield running
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if running.errors:
        raise running.errors[0]


BACKLOG: Final = 1024
"""A busy machine lets connections of many calls wait; of one that finds no place Asterisk takes two seconds to tell."""

SILENCE_S: Final = 60
"""Longer than any call of the tests."""


async def silence(session: Session) -> None:
    """Connected, and never a word."""
    await asyncio.sleep(SILENCE_S)


def sets(*pairs: tuple[str, str]) -> str:
    """The one command of a whole answer."""
    names, values = zip(*pairs, strict=True)
    return f'SET VARIABLE ARRAY({",".join(names)}) "{",".join(values)}"'


def answers(*pairs: tuple[str, str]) -> Behaviour:
    """A well-behaved server: one command, its reply awaited, closed."""

    async def behave(session: Session) -> None:
        assert await session.command(sets(*pairs)) == "200 result=1"

    return behave


@contextmanager
def listener(backlog: int, *, full: bool) -> Iterator[str]:
    """A socket that listens and never accepts, as of a stopped process; `full` leaves no room in its queue either."""
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as server:
        waiting = []
        if full:
            # Linux queues one more than asked; the connects beyond stay half open.
            for _ in range(backlog + 4):
                client = socket.socket()
                client.setblocking(False)
                client.connect_ex(server.getsockname())
                waiting.append(client)
        yield f"agi://127.0.0.1:{server.getsockname()[1]}"
        for client in waiting:
            client.close()


def closed_port() -> str:
    """The URL of a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"agi://127.0.0.1:{server.getsockname()[1]}"
