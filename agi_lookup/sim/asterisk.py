"""A fake Asterisk, quirks included: to try a FastAGI server without an Asterisk, and to test ours. `play` is one call."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from typing import Final, cast

from agi_lookup.sim.asterisk_args import StackSmashed
from agi_lookup.sim.asterisk_wire import Call, Channel, CommandBuffer, environment

CONNECT_S: Final = 2.0
"""res_agi.c MAX_AGI_CONNECT."""
GIVE_UP_S: Final = 60.0
"""Asterisk waits for ever; whoever plays it here wants an end."""
SETTLE_S: Final = 0.001
"""A reply waits so long, so that a command sent too early is seen to be early."""


class Split(enum.Enum):
    """How the environment reaches the server."""

    WHOLE = "whole"
    LINES = "lines"  # as Asterisk does
    BYTES = "bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How this Asterisk behaves. `hangup_after_s` counts from the start of the connection, and never cuts the environment."""

    split: Split = Split.LINES
    hangup_after_s: float | None = None
    agisighup: bool = True  # a hang-up, and the end, are told by a HANGUP line
    agiexitonhangup: bool = False  # a hang-up ends the connection at once
    connect_s: float = CONNECT_S
    give_up_s: float = GIVE_UP_S


@dataclass(frozen=True, slots=True)
class Played:
    """What became of one AGI(): `agistatus` as the dialplan sees it, `ms` from connecting to the last command read."""

    variables: dict[str, str]
    commands: tuple[str, ...]
    early_bytes: int
    ms: float
    agistatus: str


async def play(call: Call, host: str, port: int, behaviour: Behaviour | None = None) -> Played:
    """Play one call against a FastAGI server.

    Raises `OSError` when it cannot be reached, `TimeoutError` when it never ends, `StackSmashed` when Asterisk would have died.
    """
    behaviour = behaviour or Behaviour()
    loop = asyncio.get_running_loop()
    session = _Session(behaviour)
    started = loop.time()
    async with asyncio.timeout(behaviour.connect_s):
        await loop.create_connection(lambda: session, host, port)
    try:
        async with asyncio.timeout(behaviour.give_up_s):
            await session.send_environment(_pieces(environment(call), behaviour.split))
            if behaviour.hangup_after_s is not None:
                session.hang_up_at(started + behaviour.hangup_after_s)
            await session.ended
    finally:
        session.close()
    return session.played(started)


class _Session(asyncio.Protocol):
    """The socket's end of `play`."""

    _transport: asyncio.Transport

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._loop = asyncio.get_running_loop()
        self._channel = Channel()
        self._buffer = CommandBuffer()
        self._commands: list[str] = []
        self._last_command_at: float | None = None
        self._agistatus = "SUCCESS"
        self._poll: asyncio.TimerHandle | None = None
        self._hangup: asyncio.TimerHandle | None = None
        self._environment_sent = self._eof = False
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    async def send_environment(self, pieces: list[bytes]) -> None:
        *first, last = pieces
        for piece in first:
            self._write(piece)
            await asyncio.sleep(0)  # uvloop sends what one round of the loop wrote as one segment
        self._buffer.nothing_more_is_due()
        self._write(last)
        self._environment_sent = True
        self._poll_soon()

    def hang_up_at(self, when: float) -> None:
        self._hangup = self._loop.call_at(when, self._hang_up)

    def _hang_up(self) -> None:
        self._channel.dead = True
        self._agistatus = "HANGUP"
        self._tell_hangup()
        if self._behaviour.agiexitonhangup:
            self._end()

    def data_received(self, data: bytes) -> None:
        self._buffer.receive(data)
        self._poll_soon()

    def eof_received(self) -> bool:
        self._eof = True
        self._poll_soon()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._eof = True
        self._poll_soon()

    def _poll_soon(self) -> None:
        if self._environment_sent and self._poll is None and not self.ended.done():
            self._poll = self._loop.call_later(SETTLE_S, self._poll_once)

    def _poll_once(self) -> None:
        """One command for one arrival of bytes; at the end of them all, whatever is left."""
        self._poll = None
        line = self._buffer.next_line(eof=self._eof)
        if line is not None:
            self._on_line(line.decode("utf-8", "surrogateescape"))
            if self._eof:
                self._poll_soon()
        elif self._eof:
            self._tell_hangup()
            self._end()

    def _on_line(self, line: str) -> None:
        if line[:7].lower() == "failure":
            self._agistatus = "FAILURE"
            self._end()
            return
        self._buffer.nothing_more_is_due()
        self._last_command_at = self._loop.time()
        self._commands.append(line)
        try:
            replies = self._channel.execute(line)
        except StackSmashed as crash:
            self.ended.set_exception(crash)
            return
        for reply in replies:
            self._write(reply)

    def _tell_hangup(self) -> None:
        if self._behaviour.agisighup:
            self._write(b"HANGUP\n")

    def _write(self, data: bytes) -> None:
        """Asterisk, too, goes on when the server has gone."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def close(self) -> None:
        for timer in (self._poll, self._hangup):
            if timer is not None:
                timer.cancel()
        self._transport.close()

    def played(self, started: float) -> Played:
        ended = self._loop.time() if self._last_command_at is None else self._last_command_at
        ms = (ended - started) * 1000
        return Played(self._channel.variables, tuple(self._commands), self._buffer.early_bytes, ms, self._agistatus)


def _pieces(lines: list[bytes], split: Split) -> list[bytes]:
    match split:
        case Split.WHOLE:
            return [b"".join(lines)]
        case Split.LINES:
            return lines
        case Split.BYTES:
            return [bytes([byte]) for byte in b"".join(lines)]
