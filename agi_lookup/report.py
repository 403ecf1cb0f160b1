"""What a person or a script is shown of a lookup: one JSON shape for the command line and the HTTP API, and the explain steps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from agi_lookup.call import CallKit, CallRequest, Note, Resolver, decide
from agi_lookup.domain.model import (
    CacheState,
    Decision,
    Facet,
    Identity,
    Liveness,
    LookupOutcome,
    LookupQuery,
    Number,
    Tri,
    Verdict,
)
from agi_lookup.lookup.compose import total, totals
from agi_lookup.policy.facts import Facts
from agi_lookup.policy.rules import Rule, explain
from agi_lookup.routing.ranking import NO_ROUTES, Ranking
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
    ranking: Ranking = NO_ROUTES
    rules: tuple[tuple[Rule, Tri], ...] = ()  # each, and whether it matches


Look = Callable[[LookupQuery, float, Note], Awaitable[None]]
"""Has a look at what is so just before a lookup, by a deadline in loop seconds, and notes it."""


@dataclass(frozen=True, slots=True)
class _LookedInto:
    """A resolver with a look before each lookup: calls have the bare one."""

    resolver: Resolver
    look: Look
    note: Note

    async def resolve(self, query: LookupQuery, *, deadline: float) -> LookupOutcome:
        await self.look(query, deadline, self.note)
        return await self.resolver.resolve(query, deadline=deadline)


async def look_up(request: CallRequest, kit: CallKit, look: Look | None = None) -> Report:
    """`call.decide` with its steps noted, by the profile's deadline or the request's own."""
    timeout_s = request.timeout_s or kit.profiles[request.profile].timeout_s
    loop = asyncio.get_running_loop()
    started, last = loop.time(), time.perf_counter()
    steps: list[Step] = []
    ranking = NO_ROUTES
    matches: tuple[tuple[Rule, Tri], ...] = ()

    def note(name: str, result: object) -> None:
        nonlocal last, ranking, matches
        now = time.perf_counter()  # the loop's clock counts milliseconds
        if isinstance(result, Facts):
            matches = tuple(explain(kit.rules, result))
            return
        if isinstance(result, Ranking):
            ranking = result
        steps.append(Step(name, _in_words(result), (now - last) * 1000))
        last = now

    if look is not None:
        profile = kit.profiles[request.profile]
        profile = replace(profile, resolver=_LookedInto(profile.resolver, look, note))
        kit = replace(kit, profiles={**kit.profiles, request.profile: profile})
    decision = await decide(request, kit, deadline=started + timeout_s, note=note)
    return Report(
        request.dialled, decision, tuple(steps), time.time(), (loop.time() - started) * 1000, ranking, matches
    )


async def look_up_patiently(request: CallRequest, kit: CallKit) -> Report:
    """As `look_up`, but calls go first, and a stale identity is no answer: its refresh is waited for, and paid for once."""
    request = replace(request, patient=True)
    first = await look_up(request, kit)
    wanted = request.facets or kit.profiles[request.profile].facets
    if request.fresh or Facet.IDENTITY not in wanted or first.decision.outcome.cache is not CacheState.STALE:
        return first
    refreshed = await look_up(replace(request, facets=frozenset({Facet.IDENTITY}), fresh=True), kit)  # joins it
    last = await look_up(request, kit)
    return replace(last, decision=_both(refreshed.decision, last.decision), ms=first.ms + refreshed.ms + last.ms)


def _both(earlier: Decision, later: Decision) -> Decision:
    """The later one, with what both asked and paid for."""
    before, after = earlier.outcome, later.outcome
    attempts = before.attempts + after.attempts
    cost, currency = total(attempts)
    outcome = replace(after, attempts=attempts, cost=cost, currency=currency, error=after.error or before.error)
    return replace(later, outcome=outcome)


def _in_words(result: object) -> str:
    match result:
        case Number():
            return f"{result.e164 or result.kind} {result.country or ''} {result.type}, valid: {result.valid}"
        case LookupOutcome():
            return f"{result.status}, cache: {result.cache}"
        case Ranking():
            return f"{len(result.routes)} of {len(result.candidates)} candidates"
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
        "routes": [
            {
                "trunk": route.trunk,
                "dial": route.dial,
                "rate": str(route.rate),
                "currency": route.currency,
                "why": route.why,
            }
            for route in decision.routes
        ],
        "source": shown["SOURCE"] or None,
        "cache": outcome.cache.value,
        "age_s": outcome.identity.age_s(report.now) if outcome.identity else None,
        "cost": str(outcome.cost) if outcome.cost is not None else None,
        "currency": outcome.currency,
        "costs": {currency: str(cost) for currency, cost in totals(outcome.attempts).items()},
        "error": shown["ERROR"] or None,
        "ms": round(report.ms, 2),
    }


def attempts_json(report: Report) -> list[dict[str, Any]]:
    """The sources asked, in order."""
    return [
        {
            "provider": a.provider,
            "result": a.result,
            "ms": round(a.ms, 2),
            "cost": str(a.cost) if a.cost is not None else None,
            "currency": a.currency,
        }
        for a in report.decision.outcome.attempts
    ]


def explain_json(report: Report) -> dict[str, Any]:
    """The lookup with every step that led to it, every source asked, each rule, and what became of every candidate route."""
    return {
        **lookup_json(report),
        "steps": [{"step": s.name, "result": s.result, "ms": round(s.ms, 3)} for s in report.steps],
        "attempts": attempts_json(report),
        "rules": [{"rule": rule.name, "action": rule.action.value, "matches": it.value} for rule, it in report.rules],
        "candidates": [
            {**one._asdict(), "cost": str(one.cost) if one.cost is not None else None}
            for one in report.ranking.candidates
        ],
    }
