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
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final, Protocol

import structlog

from agi_lookup.agi.request import parse_request
from agi_lookup.agi.result import Counted, Report, Results, ResultStatus, parse_result, record
from agi_lookup.agi.session import AgiSession, Expected
from agi_lookup.agi.versions import SERVED, is_too_old
from agi_lookup.agi.wire import Environment, encode_set
from agi_lookup.call import CallKit, CallRequest
from agi_lookup.domain.errors import OutsideError
from agi_lookup.domain.model import Decision, mask
from agi_lookup.guarantee import Guard, guaranteed
from agi_lookup.lag import LagMeter
from agi_lookup.listening import Listening
from agi_lookup.variables import render, rule_word

MAX_CHANNEL_CHARS: Final = 256
"""Of a channel's id in the log. Asterisk's own have 149 at most (channel.h AST_MAX_UNIQUEID)."""
SWEEP_S: Final = 0.05
"""How often overdue peers and answers are looked for."""
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
        return is_within(peer, self.networks)


@lru_cache(maxsize=1024)
def is_within(peer: str, networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> bool:
    """Is the address `peer` in one of `networks`? An IPv4 address mapped into IPv6 is what it stands for.

    A few peers make all the connections, hence the cache.
    """
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in networks)


class Server:
    """Accepts FastAGI connections until `stop`.

    `kit`, `access` and `results` may be replaced at any time: running calls keep theirs.
    """

    def __init__(
        self,
        kit: CallKit,
        access: Access,
        limits: Limits,
        metrics: Metrics,
        lag: LagMeter,
        results: Results | None = None,
        note: Callable[[CallRequest, Decision, float], None] = lambda _request, _decision, _seconds: None,
        number_id: Callable[[str], str] = lambda _number: "",
    ) -> None:
        """`number_id` stands for a number in the log: see `keyed.NumberIds`."""
        self.kit = kit
        self.access = access
        self.results = results or Counted()
        self._note = note  # of what a call was told, and after how many seconds
        self._number_id = number_id
        self._limits = limits
        self._owed: dict[Expected, dict[AgiSession, float]] = {"environment": {}, "reply": {}}
        self._guard = Guard()
        self._sweeper: asyncio.TimerHandle | None = None
        self._max_connections = min(limits.max_connections, file_limit() - RESERVED_FILES)
        if self._max_connections < 1:
            raise OutsideError(f"the file limit is {file_limit()}; more than {RESERVED_FILES} are needed (ulimit -n)")
        self._metrics = metrics
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger().bind()  # once: the proxy binds anew each time
        self._lag = lag
        self._sessions: set[AgiSession] = set()
        self._by_source: Counter[str] = Counter()
        self._listening = Listening(lambda: AgiSession(self), self._deaf)
        self._taken = 0  # connections
        self._quiet_until: dict[str, float] = {}
        self._empty: asyncio.Future[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port (chosen by the kernel for 0). Raises `OSError`."""
        listening = await self._listening.start(host, port)
        self._sweep(asyncio.get_running_loop())
        return listening

    @property
    def sessions(self) -> int:
        return len(self._sessions)

    @property
    def max_sessions(self) -> int:
        return self._max_connections

    async def stop(self, drain_s: float) -> int:
        """Stop listening, let calls finish, end the rest; returns how many were ended."""
        self._listening.stop()
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
        try:
            self._end_overdue(loop.time())
        finally:
            self._sweeper = loop.call_later(SWEEP_S, self._sweep, loop)

    def _end_overdue(self, now: float) -> None:
        for what, owed in self._owed.items():
            while owed:  # in order of time, since all have the same length
                session, due = next(iter(owed.items()))
                if due > now:
                    break
                del owed[session]
                self.refused(f"{what}_timeout")
                session.abort()
        self._guard.sweep(now)
        self._listening.look_after(self._taken, now)

    def _deaf(self) -> None:
        self._metrics.bug("listener")
        self._log.error("no call was taken while some waited; listening anew")

    # What a session asks of its host (`agi.session.Host`)

    def admit(self, session: AgiSession, peer: str) -> str:
        """Before a byte is read: the access list, then the caps, which lie below the file limit."""
        self._taken += 1
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

    def started(self, connection: asyncio.BaseTransport) -> float:
        return self._lag.accepted_at(connection)

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

    def bug(self, where: str) -> None:
        self._metrics.bug(where)
        self._log.exception("a bug in a session; the call goes on")

    def answer(self, session: AgiSession, environment: Environment, started: float) -> Coroutine[Any, Any, None]:
        kit, access = self.kit, self.access
        if is_too_old(version := environment.values["agi_version"]):
            self._warn_of(version)
        if environment.script == "result":
            report = parse_result(environment, token=access.token, profiles=kit.profiles)
            return self._thank(session, self._take(report, kit), access)
        request = parse_request(environment, token=access.token, profiles=kit.profiles)
        return self._answer(session, request, kit, access, started)

    def _warn_of(self, version: str) -> None:
        """It is answered all the same. Once an hour."""
        now = time.monotonic()
        if now >= self._quiet_until.get("version", 0.0):
            self._quiet_until["version"] = now + 3600.0
            self._log.warning("asterisk too old", version=version[:32], oldest=SERVED[0])

    async def _answer(
        self, session: AgiSession, request: CallRequest, kit: CallKit, access: Access, started: float
    ) -> None:
        """The answer first; who else wants to know of it comes after."""
        lines: list[bytes] = []
        seconds = 0.0
        try:
            decision = await guaranteed(request, kit, started, self._guard, self._metrics)
            if decision is None:
                self.refused("too_late")
            else:
                seconds = asyncio.get_running_loop().time() - started
                lines = encode_set(render(decision, prefix=access.prefix, now=time.time(), ms=int(seconds * 1000)))
        except Exception:  # noqa: BLE001
            # counted and logged: a session that is told nothing would hold its call
            self._metrics.bug("answer")
            self._log.exception("a bug while answering; the call goes on")
            decision = None
        session.say(lines, partial(self._accepted, decision) if decision is not None and decision.routes else None)
        if decision is not None:
            self._answered(request, decision, seconds)

    def _answered(self, request: CallRequest, decision: Decision, seconds: float) -> None:
        try:
            self._metrics.call(decision, seconds)
            self._log.info("call", **call_line(request, decision, seconds, self._number_id))
            self._note(request, decision, seconds)
        except Exception:  # noqa: BLE001 - counted and logged: the call has its answer
            self._metrics.bug("answered")
            self._log.exception("a bug after answering; the call goes on")

    def _accepted(self, decision: Decision) -> None:
        """The dialplan has its routes: from now on they count as taken. Told late or not at all, they never do."""
        try:
            decision.accepted(time.time())
        except Exception:  # noqa: BLE001 - counted and logged: the call itself has all it needs
            self._metrics.bug("accepted")
            self._log.exception("a bug after answering; the call goes on")

    def _take(self, report: Report, kit: CallKit) -> ResultStatus:
        """At once: Asterisk may be gone before any work of ours begins, and what it said is said."""
        try:
            return record(report, kit.profiles[report.profile].dial_plan, self.results)
        except Exception:  # noqa: BLE001
            # what a result is good for must not hold a call
            self._metrics.bug("result")
            self._log.exception("a bug while taking a result; the call goes on")
            return ResultStatus.DEGRADED

    async def _thank(self, session: AgiSession, status: ResultStatus, access: Access) -> None:
        session.say(encode_set([(f"{access.prefix}RESULT_STATUS", status.value)]))


def call_line(
    request: CallRequest, decision: Decision, seconds: float, number_id: Callable[[str], str]
) -> dict[str, Any]:
    """One call's log line: what was decided and why, with the number masked, and an id that joins the lines of one number."""
    outcome = decision.outcome
    return {
        "channel": request.channel[:MAX_CHANNEL_CHARS],
        "profile": request.profile,
        "number": mask(decision.number.e164) if decision.number else "",
        "number_id": number_id(decision.number.e164) if decision.number else "",
        "status": decision.status.value,
        "action": decision.verdict.action.value,
        "rule": rule_word(decision.verdict),
        "routes": len(decision.routes),
        "trunk": decision.routes[0].trunk if decision.routes else "",
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
