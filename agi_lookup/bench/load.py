"""Many calls at once, each as Asterisk makes it: a new connection, the environment in some 25 small writes, one command at a time.

Written on bare sockets and epoll, because the loops of asyncio and uvloop join small writes into one, which Asterisk does not, and
because a light generator leaves the machine to the server under test. One thread; `run` returns when the calls are over.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

REPLY: Final = b"200 result=1\n"
IDLE_S: Final = 0.05
"""The longest sleep, so that ticks and the end are not overslept."""
TICK_S: Final = 0.1

Check = Callable[[Sequence[bytes]], bool]
"""Are these the right commands, newlines included?"""


@dataclass(frozen=True, slots=True)
class Planned:
    """One call to make: what Asterisk writes, one item a write, and what must be answered."""

    environment: Sequence[bytes]
    is_right: Check


@dataclass(frozen=True, slots=True)
class Closed:
    """So many calls at any time: a new one starts when one ends. Measures the most that a server can do."""

    concurrency: int


@dataclass(frozen=True, slots=True)
class Open:
    """So many new calls a second, whatever becomes of the others. Latencies count from when a call was due."""

    calls_per_s: float


@dataclass(slots=True)
class Load:
    """What became of the calls. Latencies, in seconds, are those of the right ones, from the start to the server's close."""

    started: int = 0
    right: int = 0
    wrong: int = 0
    failed: int = 0  # refused, reset, or not over when we stopped waiting
    commands: int = 0
    early_bytes: int = 0
    seconds: float = 0.0  # until the last call ended
    busy: float = 0.0  # the share of the time that we ourselves were at work; near 1 we are the limit
    most_waiting: int = 0
    late_s: float = 0.0  # the most that we were late to start a call
    latencies_s: list[float] = field(default_factory=list)

    @property
    def calls_per_s(self) -> float:
        return self.right / self.seconds if self.seconds else 0.0

    def percentile_ms(self, percent: float) -> float:
        """Nearest rank; 0 when there is none."""
        ranked = sorted(self.latencies_s)
        return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))] * 1000 if ranked else 0.0


class _Session:
    __slots__ = ("call", "connection", "due", "half", "lines", "sent")

    def __init__(self, call: Planned, connection: socket.socket, due: float) -> None:
        self.call = call
        self.connection = connection
        self.due = due
        self.sent = False
        self.half = b""
        self.lines: list[bytes] = []


def run(
    calls: Iterator[Planned],
    port: int,
    pace: Closed | Open,
    duration_s: float,
    *,
    patience_s: float = 10.0,
    on_tick: Callable[[int], None] = lambda _waiting: None,
) -> Load:
    """Make calls to 127.0.0.1 for `duration_s` or until there are no more, then wait up to `patience_s` for the last of them.

    `on_tick(waiting)` is called every `TICK_S` or so.
    """
    generator = _Generator(calls, port, on_tick)
    try:
        generator.run(pace, duration_s, patience_s)
    finally:
        generator.close()
    return generator.load


class _Generator:
    def __init__(self, calls: Iterator[Planned], port: int, on_tick: Callable[[int], None]) -> None:
        self.load = Load()
        self._calls = calls
        self._address = ("127.0.0.1", port)
        self._on_tick = on_tick
        self._epoll = select.epoll()
        self._sessions: dict[int, _Session] = {}

    def close(self) -> None:
        for session in self._sessions.values():
            session.connection.close()
        self._epoll.close()

    def run(self, pace: Closed | Open, duration_s: float, patience_s: float) -> None:
        begun = now = time.perf_counter()
        worked = time.process_time()
        self._next_due, next_tick = begun, begun
        self._end = begun + duration_s
        while now < self._end or (self._sessions and now < self._end + patience_s):
            wait_s = IDLE_S
            if now < self._end:
                wait_s = self._start_what_is_due(pace, now)
            if now >= next_tick:
                self._on_tick(len(self._sessions))
                next_tick = now + TICK_S
            select.select((self._epoll,), (), (), wait_s)  # epoll itself sleeps whole milliseconds only
            for descriptor, _ in self._epoll.poll(0):
                self._on_ready(self._sessions[descriptor])
            now = time.perf_counter()
        self.load.seconds = now - begun
        self.load.busy = (time.process_time() - worked) / self.load.seconds
        self.load.failed += len(self._sessions)

    def _start_what_is_due(self, pace: Closed | Open, now: float) -> float:
        """Returns how long to wait for the next one, at the most."""
        if isinstance(pace, Closed):
            while len(self._sessions) < pace.concurrency and self._start(now):
                pass
            wait_s = IDLE_S
        else:
            while self._next_due <= now and self._start(self._next_due):
                self._next_due += 1 / pace.calls_per_s
            wait_s = min(IDLE_S, max(0.0, self._next_due - now))
        self.load.most_waiting = max(self.load.most_waiting, len(self._sessions))
        return wait_s

    def _start(self, due: float) -> bool:
        """False when there are no more calls to make."""
        call = next(self._calls, None)
        if call is None:
            self._end = due
            return False
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        connection.connect_ex(self._address)
        self.load.started += 1
        self.load.late_s = max(self.load.late_s, time.perf_counter() - due)
        descriptor = connection.fileno()
        self._sessions[descriptor] = _Session(call, connection, due)
        self._epoll.register(descriptor, select.EPOLLOUT)
        return True

    def _on_ready(self, session: _Session) -> None:
        try:
            if session.sent:
                self._read(session)
            else:
                self._send_environment(session)
        except OSError:
            self.load.failed += 1
            self._finish(session)

    def _send_environment(self, session: _Session) -> None:
        for line in session.call.environment:
            session.connection.send(line)
        session.sent = True
        self._epoll.modify(session.connection.fileno(), select.EPOLLIN)

    def _read(self, session: _Session) -> None:
        received = session.connection.recv(65536)
        if not received:
            self._judge(session)
            return
        line, newline, beyond = (session.half + received).partition(b"\n")
        if not newline:
            session.half = line
            return
        session.half = beyond
        session.lines.append(line + newline)
        self.load.commands += 1
        self.load.early_bytes += len(beyond) + self._sent_meanwhile(session)
        session.connection.send(REPLY)

    def _sent_meanwhile(self, session: _Session) -> int:
        """Nothing may come before our reply."""
        try:
            return len(session.connection.recv(65536))
        except BlockingIOError:
            return 0

    def _judge(self, session: _Session) -> None:
        if session.call.is_right(session.lines):
            self.load.right += 1
            self.load.latencies_s.append(time.perf_counter() - session.due)
        else:
            self.load.wrong += 1
        self._finish(session)

    def _finish(self, session: _Session) -> None:
        descriptor = session.connection.fileno()
        del self._sessions[descriptor]
        self._epoll.unregister(descriptor)  # a process that was forked just now may hold it open for a moment
        session.connection.close()
