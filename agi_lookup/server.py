"""The FastAGI server: who is let in, what is sent back, the drain.

A connection that cannot be served is told `FAILURE` at once, never left hanging: Asterisk itself would wait for ever (res_agi.c has
no read time-out on FastAGI).
"""

from __future__ import annotations

import asyncio
import ipaddress
import resource
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from agi_lookup.agi.request import parse_request
from agi_lookup.agi.session import AgiSession, Expected
from agi_lookup.agi.wire import Environment, encode_set
from agi_lookup.call import CallKit, CallRequest
from agi_lookup.domain.errors import OutsideError
from agi_lookup.domain.model import Decision, mask
from agi_lookup.guarantee import guaranteed
from agi_lookup.lag import LagMeter
from agi_lookup.variables import render

BACKLOG: Final = 4096
"""A burst of calls waits here, not in SYN retries; the kernel cuts it to net.core.somaxconn."""
SWEEP_S: Final = 0.1
"""How often overdue peers are looked for."""
RESERVED_FILES: Final = 128
"""Descriptors for everything but FastAGI connections: listeners, SQLite, vendors, logs."""


class Metrics(Protocol):
    def call(self, decision: Decision, seconds: float) -> None: ...
    def refused(self, why: str) -> None: ...
    def bug(self, where: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    max_connections: int
    max_connections_per_source: int
    environment_timeout_s: float
    reply_timeout_s: float


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask, and how the answer is named. Replaced whole on reload."""

    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    token: str
    prefix: str

    def allows(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self.networks)


class Server:
    """Accepts FastAGI connections until `stop`. `kit` and `access` may be replaced at any time: running calls keep theirs."""

    def __init__(self, kit: CallKit, access: Access, limits: Limits, metrics: Metrics, lag: LagMeter) -> None:
        self.kit = kit
        self.access = access
        self._limits = limits
        self._owed: dict[Expected, dict[AgiSession, float]] = {"environment": {}, "reply": {}}
        self._sweeper: asyncio.TimerHandle | None = None
        self._max_connections = min(limits.max_connections, file_limit() - RESERVED_FILES)
        if self._max_connections < 1:
            raise OutsideError(f"the file limit is {file_limit()}; more than {RESERVED_FILES} are needed (ulimit -n)")
        self._metrics = metrics
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger().bind()  # once: the proxy binds anew each time
        self._lag = lag
        self._sessions: set[AgiSession] = set()
        self._by_source: Counter[str] = Counter()
        self._listener: asyncio.Server | None = None
        self._quiet_until: dict[str, float] = {}
        self._empty: asyncio.Future[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port (chosen by the kernel for 0). Raises `OSError`."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: AgiSession(self), host, port, backlog=BACKLOG)
        self._sweep(loop)
        listening: int = self._listener.sockets[0].getsockname()[1]
        return listening

    @property
    def sessions(self) -> int:
        return len(self._sessions)

    async def stop(self, drain_s: float) -> int:
        """Stop listening, let calls finish, end the rest; returns how many were ended."""
        if self._listener is not None:
            self._listener.close()
        loop = asyncio.get_running_loop()
        if self._sessions:
            self._empty = loop.create_future()
            await asyncio.wait([self._empty], timeout=drain_s)
        left = len(self._sessions)
        tasks = [task for session in tuple(self._sessions) if (task := session.abort())]
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._sweeper is not None:
            self._sweeper.cancel()
        return left

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Abort the sessions whose peers are overdue. One timer for all: an own one would be the dearest part of a session."""
        now = loop.time()
        for what, owed in self._owed.items():
            while owed:  # in order of time, since all have the same length
                session, due = next(iter(owed.items()))
                if due > now:
                    break
                del owed[session]
                self.refused(f"{what}_timeout")
                session.abort()
        self._sweeper = loop.call_later(SWEEP_S, self._sweep, loop)

    # What a session asks of its host (`agi.session.Host`)

    def admit(self, session: AgiSession, peer: str) -> str:
        """Before a byte is read: the access list, then the caps, which lie below the file limit."""
        self._sessions.add(session)
        self._by_source[peer] += 1
        if not self.access.allows(peer):
            return "not_in_acl"
        if len(self._sessions) > self._max_connections:
            return "too_many_connections"
        if self._by_source[peer] > self._limits.max_connections_per_source:
            return "too_many_from_source"
        return ""

    def left(self, session: AgiSession) -> None:
        self.met(session)
        self._sessions.discard(session)
        self._by_source[session.peer] -= 1
        if not self._by_source[session.peer]:
            del self._by_source[session.peer]
        if self._empty is not None and not self._sessions and not self._empty.done():
            self._empty.set_result(None)

    def started(self) -> float:
        return self._lag.accepted_at()

    def expect(self, session: AgiSession, what: Expected) -> None:
        limits = self._limits
        length_s = limits.environment_timeout_s if what == "environment" else limits.reply_timeout_s
        self._owed[what].pop(session, None)
        self._owed[what][session] = asyncio.get_running_loop().time() + length_s

    def met(self, session: AgiSession) -> None:
        for owed in self._owed.values():
            owed.pop(session, None)

    def refused(self, why: str) -> None:
        """Counted always, logged once a minute for each reason: a port scan is quiet."""
        self._metrics.refused(why)
        now = time.monotonic()
        if now >= self._quiet_until.get(why, 0.0):
            self._quiet_until[why] = now + 60.0
            self._log.warning("session refused", why=why)

    def answer(self, environment: Environment, started: float) -> Coroutine[Any, Any, list[bytes]]:
        kit, access = self.kit, self.access
        request = parse_request(environment, token=access.token, profiles=kit.profiles)
        return self._answer(request, kit, access, started)

    async def _answer(self, request: CallRequest, kit: CallKit, access: Access, started: float) -> list[bytes]:
        try:
            return await self._rendered(request, kit, access, started)
        except Exception:  # noqa: BLE001
            # counted and logged: a session that is told nothing would hold its call
            self._metrics.bug("answer")
            self._log.exception("a bug while answering; the call goes on")
            return []

    async def _rendered(self, request: CallRequest, kit: CallKit, access: Access, started: float) -> list[bytes]:
        decision = await guaranteed(request, kit, started, self._metrics)
        if decision is None:
            self.refused("too_late")
            return []
        seconds = asyncio.get_running_loop().time() - started
        self._metrics.call(decision, seconds)
        self._log.info("call", **call_line(request, decision, seconds))
        return encode_set(render(decision, prefix=access.prefix, now=time.time(), ms=int(seconds * 1000)))


def call_line(request: CallRequest, decision: Decision, seconds: float) -> dict[str, Any]:
    """One call's log line: what was decided and why, with the number masked."""
    outcome = decision.outcome
    return {
        "channel": request.channel,
        "profile": request.profile,
        "number": mask(decision.number.e164) if decision.number else "",
        "status": decision.status.value,
        "action": decision.verdict.action.value,
        "rule": decision.verdict.rule,
        "source": outcome.identity.provider if outcome.identity else "",
        "cache": outcome.cache.value,
        "error": decision.error or outcome.error,
        "ms": round(seconds * 1000, 1),
    }


def file_limit() -> int:
    """The file limit, raised as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1_048_576
