"""The answer guarantee, in one place: whatever breaks below, the call gets a decision that allows it, before its deadline."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final, Protocol

import structlog

from agi_lookup.call import CallKit, CallRequest, decide
from agi_lookup.domain.model import ALLOW, Decision, Status

GUARD_S: Final = 0.05
"""How long after the deadline `decide` may still hand over what it knows, before it is given up."""
GIVE_UP_S: Final = 0.4
"""How long after the deadline any answer makes sense: the shipped dialplan's watchdog fires 0.5 s after the default deadline."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Metrics(Protocol):
    def bug(self, where: str) -> None: ...


async def guaranteed(request: CallRequest, kit: CallKit, started: float, metrics: Metrics) -> Decision | None:
    """A decision, or None when it is too late for any. `started` is in loop seconds. Raises nothing (but `CancelledError`).

    Late facts are never committed as OK: they may belong to a call that has gone on without them.
    """
    loop = asyncio.get_running_loop()
    deadline = started + (request.timeout_s or kit.profiles[request.profile].timeout_s)
    try:
        async with asyncio.timeout_at(deadline + GUARD_S):
            decision = await decide(request, kit, deadline=deadline)
    except TimeoutError:
        decision = Decision(Status.TIMEOUT, error="timeout")
    except Exception:
        metrics.bug("call")
        log.exception("a bug; the call goes on without a lookup")
        decision = Decision(Status.DEGRADED, error="internal")
    late_s = loop.time() - deadline
    if late_s > GIVE_UP_S:
        return None
    if late_s > GUARD_S and decision.status in (Status.OK, Status.PARTIAL):
        return replace(decision, status=Status.TIMEOUT, verdict=ALLOW, error="late")
    return decision
