"""What `explain` shows beside the decision: what the cache held, and what held each source back, before anybody was asked."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from agi_lookup.cache.base import CacheEntry
from agi_lookup.call import CallRequest, Note
from agi_lookup.domain.model import CacheState, Facet, LookupQuery
from agi_lookup.lookup.chain import Step
from agi_lookup.lookup.freshness import state
from agi_lookup.lookup.resolver import Resolver
from agi_lookup.report import explain_json, look_up
from agi_lookup.spend import cap_json
from agi_lookup.wiring import Core, Generation


async def explained(request: CallRequest, core: Core, generation: Generation) -> dict[str, Any]:
    """One decision and all that led to it. Looks up, and may pay, as a call would."""
    before = _Before(core, generation)
    report = await look_up(request, generation.kit, before.look)
    return {**explain_json(report), "cached": before.cached, "gates": before.gates}


@dataclass(slots=True)
class _Before:
    """How things are just before the lookup."""

    core: Core
    generation: Generation
    cached: list[dict[str, Any]] = field(default_factory=list)
    gates: list[dict[str, Any]] = field(default_factory=list)

    async def look(self, query: LookupQuery, deadline: float, note: Note) -> None:
        """See `report.Look`."""
        resolver = self.generation.resolvers[query.profile]
        unpaid = bool(query.facets) and not resolver.paying.allows(query.number)
        if not (wanted := resolver.wanted(query)):
            note("cache", "not read: nothing is looked for")
            note("gates", "not paid for, and no source is free" if unpaid else "none: nobody is asked")
            return
        overloaded = resolver.overloaded()
        await self._look_at_cache(query.number.e164, wanted, deadline, in_memory=overloaded)
        note("cache", ", ".join(f"{one['facet']} {one['state']}" for one in self.cached))
        self._look_at_gates(query, resolver)
        words = [_in_words(one) for one in self.gates] or ["none: the numbering plan alone"]
        if unpaid:
            words.insert(0, "not paid for: free sources only")
        if overloaded:
            words.insert(0, "overload: nobody is asked")
        note("gates", "; ".join(words))

    async def _look_at_cache(self, number: str, wanted: frozenset[Facet], deadline: float, *, in_memory: bool) -> None:
        cache = self.core.cache
        held = found = cache.peek(number)
        if not in_memory:
            with suppress(TimeoutError):  # then the lookup has no time left either
                async with asyncio.timeout_at(deadline):
                    found = await cache.get(number, wanted)
        now = time.time()
        self.cached = [_cached(facet, found.get(facet), now, in_memory=facet in held) for facet in sorted(wanted)]

    def _look_at_gates(self, query: LookupQuery, resolver: Resolver) -> None:
        chain = resolver.chain_for(query.number)
        configured = self.generation.links
        self.gates = [
            self._gate(step, query, chain.refused(step.link.name, query.number))
            for step in chain.sources(query.number, query.facets, query.provider)
            if step.link.name in configured
        ]

    def _gate(self, step: Step, query: LookupQuery, refused: str) -> dict[str, Any]:
        name = step.link.name
        health = step.link.health()
        payer = {("provider", name), ("profile", query.profile)}
        currency = self.generation.providers[name].currency
        return {
            "provider": name,
            "in_call": step.in_call,
            "state": health.state,
            "why": health.why,
            "for_s": round(health.for_s, 3) if isfinite(health.for_s) else None,
            "network_for_s": round(step.link.network_pause_s(query.number), 3),
            "next_in_s": round(health.next_in_s, 3),
            "in_use": health.under_way,
            "limit": health.max_concurrency,
            "waiting": health.waiting,
            "refused": refused or None,
            "caps": [
                cap_json(one)
                for one in self.core.purse.standing(time.time())
                if (one.scope, one.name) in payer and one.currency == currency
            ],
        }


def _cached(facet: Facet, entry: CacheEntry | None, now: float, *, in_memory: bool) -> dict[str, Any]:
    if entry is None:
        return {
            "facet": facet.value,
            "state": CacheState.MISS.value,
            "age_s": None,
            "provider": None,
            "outcome": None,
            "memory": False,
        }
    return {
        "facet": facet.value,
        "state": state(entry, now).value,
        "age_s": int(max(0.0, now - entry.observed_at)),
        "provider": entry.provider,
        "outcome": entry.outcome.value,
        "memory": in_memory,
    }


def _in_words(gate: dict[str, Any]) -> str:
    words = [f"{gate['provider']} {gate['state']}"]
    if gate["why"]:
        words.append(f"({gate['why']})")
    if gate["network_for_s"]:
        words.append("(its network is held back)")
    if gate["refused"]:
        words.append(f"(not for this number: {gate['refused']})")
    return " ".join(words)
