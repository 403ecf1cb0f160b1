"""One FastAGI conversation: an environment in, one command out (rarely more), its reply in, close.

It owns the socket and the wire, and nothing else: what to answer comes from `Host.answer`, which always answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final, Literal, Protocol, TypeAlias, cast

from agi_lookup.agi.request import AgiRefused
from agi_lookup.agi.wire import FAILURE, AgiParser, AgiProtocolError, Environment, Hangup, Reply

_NO_CONTEXT: Final = Context()
"""Of all calls: a copy for each, and a name, would be 0.2 KiB of what a waiting call costs."""

_NO_LINES: Final[list[bytes]] = []

Expected: TypeAlias = Literal["environment", "reply"]


class Host(Protocol):
    """The server, as a session sees it."""

    def admit(self, session: AgiSession, peer: str) -> str:
        """Empty, or the stable word why this connection is not served."""

    def started(self, connection: asyncio.BaseTransport) -> float:
        """When the connection that is being accepted was made, as near as can be told (loop seconds)."""

    def answer(self, session: AgiSession, environment: Environment, started: float) -> Coroutine[Any, Any, None]:
        """Raises `AgiRefused` at once, or gives the work that ends in `session.say`, whatever breaks.

        The environment is not held while the work waits: it is the bulk of a waiting call's memory.
        """

    def expect(self, session: AgiSession, what: Expected) -> None:
        """The peer now owes us this; when it is overdue the host aborts the session."""

    def met(self, session: AgiSession) -> None:
        """The peer owes us nothing for now."""

    def refused(self, why: str) -> None: ...
    def bug(self, where: str) -> None:
        """While the exception is being handled."""

    def left(self, session: AgiSession) -> None: ...


class AgiSession(asyncio.Protocol):
    """Always ends: by its own close, by the peer, or by the host when the peer is overdue."""

    __slots__ = ("_accepted", "_host", "_lines", "_parser", "_started", "_task", "_transport", "peer")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._parser: AgiParser | None = None
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._lines = _NO_LINES
        self._accepted: Callable[[], None] | None = None
        self._started = 0.0
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peername = transport.get_extra_info("peername")
        self.peer = peername[0] if peername else ""
        if why := self._host.admit(self, self.peer):
            self._refuse(why)
            return
        self._parser = AgiParser()
        self._started = self._host.started(transport)
        self._host.expect(self, "environment")

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            return
        try:
            self._parser.receive_data(data)
            while self._parser is not None and (event := self._parser.next_event()) is not None:
                self._on_event(event)
        except (AgiProtocolError, AgiRefused) as error:
            self._refuse(error.code)
        except Exception:  # noqa: BLE001 - counted and logged by the host: a session that is told nothing would hold its call
            self._host.bug("session")
            self._fail()

    def _on_event(self, event: Environment | Reply | Hangup) -> None:
        match event:
            case Environment():
                self._host.met(self)
                answering = self._host.answer(self, event, self._started)
                loop = asyncio.get_running_loop()
                self._task = loop.create_task(answering, name="call", context=_NO_CONTEXT)
            case Reply():
                self._next_line()
            case Hangup():
                self._end()

    def say(self, lines: list[bytes], accepted: Callable[[], None] | None = None) -> None:
        """The answer. No lines: the time for one is over. `accepted` is called when Asterisk has taken all of it."""
        self._lines = lines
        self._accepted = accepted
        self._task = None
        if self._lines:
            self._next_line()
        elif self._parser is not None:
            self._fail()

    def _next_line(self) -> None:
        """One command in flight, ever: the next one goes when the last one is answered."""
        if self._parser is None or self._transport is None:
            return
        if not self._lines:
            accepted = self._accepted
            self._end()
            if accepted is not None:
                accepted()
            return
        self._host.expect(self, "reply")
        self._parser.command_sent()
        self._transport.write(self._lines.pop(0))

    def _refuse(self, why: str) -> None:
        self._host.refused(why)
        self._fail()

    def _fail(self) -> None:
        """Let the dialplan go on, with AGISTATUS=FAILURE and nothing committed."""
        if self._transport is not None:
            self._transport.write(FAILURE)
        self._end()

    def _end(self) -> None:
        self._parser = None
        if self._task is not None:
            self._task.cancel()
        if self._transport is not None:
            self._transport.close()

    def eof_received(self) -> bool:
        self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end()
        self._host.left(self)

    def abort(self) -> asyncio.Task[None] | None:
        """End at once, throwing away what the peer did not read. Gives the work that is being cancelled, if there was any."""
        task = self._task
        self._end()
        if self._transport is not None:
            self._transport.abort()
        return task
