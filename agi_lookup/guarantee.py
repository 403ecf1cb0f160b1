"""The answer guarantee, in one place: whatever breaks below, the call gets a decision that allows it, before its deadline."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any, Final, Protocol, cast

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


class Guard:
    """Ends what does not end by itself. One sweep for all calls, because a timer for each would be a dear part of waiting."""

    def __init__(self) -> None:
        self._due: dict[asyncio.Task[Any], float] = {}
        self._first_due = math.inf  # or earlier: whose it was may have been released

    def sweep(self, now: float) -> None:
        """Cancel what is overdue; to be called every so often (loop seconds). Mostly nothing is, and nobody is looked at."""
        if now < self._first_due:
            return
        for task in [task for task, due in self._due.items() if due <= now]:
            del self._due[task]
            task.cancel()
        self._first_due = min(self._due.values(), default=math.inf)

    def watch(self, task: asyncio.Task[Any], due: float) -> None:
        self._due[task] = due
        self._first_due = min(self._first_due, due)

    def release(self, task: asyncio.Task[Any]) -> bool:
        """No longer watched; False when it was cancelled for being overdue."""
        return self._due.pop(task, None) is not None


async def guaranteed(
    request: CallRequest, kit: CallKit, started: float, guard: Guard, metrics: Metrics
) -> Decision | None:
    """A decision, or None when it is too late for any. `started` is in loop seconds. Raises nothing (but `CancelledError`).

    Late facts are never committed as OK: they may belong to a call that has gone on without them.
    """
    deadline = started + (request.timeout_s or kit.profiles[request.profile].timeout_s)
    if asyncio.get_running_loop().time() - deadline > GIVE_UP_S:
        return None
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    guard.watch(task, deadline + GUARD_S)
    try:
        decision = await decide(request, kit, deadline=deadline)
    except asyncio.CancelledError:
        if guard.release(task) or task.uncancel():
            raise  # the caller has gone
        decision = Decision(Status.TIMEOUT, error="timeout")
    except Exception:
        metrics.bug("call")
        log.exception("a bug; the call goes on without a lookup")
        decision = Decision(Status.DEGRADED, error="internal")
    finally:
        guard.release(task)
    late_s = asyncio.get_running_loop().time() - deadline
    if late_s > GIVE_UP_S:
        return None
    if late_s > GUARD_S and decision.status in (Status.OK, Status.PARTIAL):
        return replace(decision, status=Status.TIMEOUT, verdict=ALLOW, error="late")
    return decision
