"""What a person or a script is shown of a lookup: one JSON shape for the command line and the HTTP API, and the explain steps."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from agi_lookup.call import CallKit, CallRequest, decide
from agi_lookup.domain.model import Decision, Identity, Liveness, LookupOutcome, Number, Verdict
from agi_lookup.variables import render


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a decision and how long it took."""

    name: str
    result: str
    ms: float


@dataclass(frozen=True, slots=True)
class Report:
    """One decision with its steps; `ms` and `now` are when it was made (Unix seconds)."""

    dialled: str
    decision: Decision
    steps: tuple[Step, ...]
    now: float
    ms: float


async def look_up(request: CallRequest, kit: CallKit) -> Report:
    """`call.decide` with its steps noted, by the profile's deadline or the request's own."""
    timeout_s = request.timeout_s or kit.profiles[request.profile].timeout_s
    loop = asyncio.get_running_loop()
    started = last = loop.time()
    steps: list[Step] = []

    def note(name: str, result: object) -> None:
        nonlocal last
        now = loop.time()
        steps.append(Step(name, _in_words(result), (now - last) * 1000))
        last = now

    decision = await decide(request, kit, deadline=started + timeout_s, note=note)
    return Report(request.dialled, decision, tuple(steps), time.time(), (loop.time() - started) * 1000)


def _in_words(result: object) -> str:
    match result:
        case Number():
            return f"{result.e164 or result.kind} {result.country or ''} {result.type}, valid: {result.valid}"
        case LookupOutcome():
            return f"{result.status}, cache: {result.cache}"
        case Verdict():
            return f"{result.action} {result.rule}{' (shadow)' if result.shadow else ''}".strip()
        case _:
            return str(result)


def lookup_json(report: Report) -> dict[str, Any]:
    """The fixed shape of `agi-lookup lookup --json`; unknown texts are null, unknown states the word `unknown`."""
    decision = report.decision
    outcome = decision.outcome
    identity = outcome.identity.value if outcome.identity else Identity()
    liveness = outcome.liveness.value if outcome.liveness else Liveness()
    shown = dict(render(decision, prefix="", now=report.now, ms=int(report.ms)))
    return {
        "number": shown["NUMBER"] or None,
        "status": decision.status.value,
        "country": shown["COUNTRY"] or None,
        "type": shown["TYPE"],
        "valid": shown["VALID"],
        "identity": {
            "carrier": identity.carrier,
            "mcc": identity.mcc,
            "mnc": identity.mnc,
            "mccmnc": shown["MCCMNC"] or None,
            "orig_carrier": identity.orig_carrier,
            "orig_mccmnc": shown["ORIG_MCCMNC"] or None,
            "ported": identity.ported.value,
            "lrn": identity.lrn,
            "ocn": identity.ocn,
        },
        "liveness": {
            "reachable": liveness.reachable.value,
            "reason": liveness.reason.value,
            "roaming": liveness.roaming.value,
        },
        "action": decision.verdict.action.value,
        "rule": shown["RULE"] or None,
        "source": shown["SOURCE"] or None,
        "cache": outcome.cache.value,
        "age_s": outcome.identity.age_s(report.now) if outcome.identity else None,
        "cost": str(outcome.cost) if outcome.cost is not None else None,
        "currency": outcome.currency,
        "error": shown["ERROR"] or None,
        "ms": round(report.ms, 2),
    }


def explain_json(report: Report) -> dict[str, Any]:
    """The lookup with every step that led to it, and every source that was asked."""
    return {
        **lookup_json(report),
        "steps": [{"step": s.name, "result": s.result, "ms": round(s.ms, 3)} for s in report.steps],
        "attempts": [
            {
                "provider": a.provider,
                "result": a.result,
                "ms": round(a.ms, 2),
                "cost": str(a.cost) if a.cost is not None else None,
                "currency": a.currency,
            }
            for a in report.decision.outcome.attempts
        ],
    }
