"""From a question to an outcome, by the deadline: cache, then one flight through the chain, then the numbering plan.

Fresh facets answer from memory or disk. A stale identity answers at once and is refreshed behind. What is missing is asked for in a
flight that callers share and may leave; what it brings is kept even when nobody waits any more. The numbering plan is the floor: it
answers when nobody else does, and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol

from agi_lookup.cache.base import CacheEntry, Hits, Outcome
from agi_lookup.domain.errors import Overloaded
from agi_lookup.domain.model import (
    CacheState,
    Facet,
    Identity,
    LookupAnswer,
    LookupOutcome,
    LookupQuery,
    Number,
    NumberClass,
    NumberType,
    Status,
    Tri,
)
from agi_lookup.lookup.chain import Chain, ChainResult
from agi_lookup.lookup.compose import finished, from_hits, merge, settled, sourced
from agi_lookup.lookup.freshness import Lifetimes, current, entries, state, supersedes
from agi_lookup.lookup.singleflight import SingleFlight, Until

FLIGHT_S: Final = 30.0
"""How long a flight is given to land when the process stops or its connections retire: some sources' time-outs in a row."""
REFRESH_PAUSE_S: Final = 300.0
"""How long a number is not refreshed again, whatever its last refresh brought."""
REFRESH_WAIT_S: Final = 1.0
"""How long a refresh, which no call waits for, may wait for a free connection."""


class Cache(Protocol):
    """Never raises: a broken tier is a miss."""

    def peek(self, number: str) -> Hits: ...
    async def get(self, number: str, facets: frozenset[Facet]) -> Hits: ...
    def put(self, entries: list[CacheEntry]) -> None: ...


class Metrics(Protocol):
    def bug(self, where: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Paying:
    """What a source may be paid for. Emergency numbers never come this far."""

    types: frozenset[NumberType] = frozenset(
        {
            NumberType.MOBILE,
            NumberType.LANDLINE,
            NumberType.MOBILE_OR_LANDLINE,
            NumberType.VOIP,
            NumberType.PERSONAL,
            NumberType.UNKNOWN,
        }
    )
    invalid: bool = False  # numbers that the numbering plan calls invalid (random dialling; new ranges too)

    def allows(self, number: Number) -> bool:
        return (
            number.kind is NumberClass.E164
            and bool(number.e164)
            and number.possible
            and number.type in self.types
            and (self.invalid or number.valid is not Tri.NO)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """`call.Resolver` over a cache, a chain and the numbering plan; `clock` is Unix seconds."""

    cache: Cache
    chain: Chain
    flights: SingleFlight[ChainResult]
    plan: Callable[[Number, float], LookupAnswer]
    complete: Callable[[Identity], Identity]  # fills what the MCC/MNC table knows and the source left out
    lifetimes: Lifetimes
    paying: Paying
    metrics: Metrics
    clock: Callable[[], float]
    spread: Callable[[], float]  # -1..1: where in its jitter a lifetime ends
    refreshed: MutableMapping[str, bool]  # numbers refreshed lately: forgets them after a pause
    overloaded: Callable[[], bool]  # is there no time for anything but what memory knows?

    async def resolve(self, query: LookupQuery, *, deadline: float) -> LookupOutcome:
        """See `call.Resolver`."""
        wanted = query.facets & self.chain.provides
        if not wanted or not self.paying.allows(query.number):
            return finished(self._or_plan(query.number, LookupOutcome()), query.facets)
        now = self.clock()
        hits = self.cache.peek(query.number.e164)
        if not _answered(wanted, hits, now):
            if self.overloaded():
                held = replace(from_hits(hits, now), error="overload")
                return finished(self._or_plan(query.number, held), query.facets, Status.DEGRADED)
            hits = await self._read(query.number.e164, wanted, deadline)
            now = self.clock()
        if not query.fresh and _answered(wanted, hits, now):
            self._refresh_behind(query, hits, now)
            return finished(self._or_plan(query.number, from_hits(hits, now)), query.facets)
        return await self._ask(query, wanted, hits, deadline)

    async def _read(self, number: str, wanted: frozenset[Facet], deadline: float) -> Hits:
        """What all tiers know of a number, by the deadline."""
        try:
            async with asyncio.timeout_at(deadline):
                return await self.cache.get(number, wanted)
        except TimeoutError:
            return self.cache.peek(number)

    def _refresh_behind(self, query: LookupQuery, hits: Hits, now: float) -> None:
        """Once, then not for a pause: a refresh that brought nothing new is not bought again by every call."""
        stale = frozenset(facet for facet, entry in hits.items() if state(entry, now) is CacheState.STALE)
        if stale and query.number.e164 not in self.refreshed:
            deadline = asyncio.get_running_loop().time() + REFRESH_WAIT_S
            start = partial(self._fly, query, stale, hits)
            self.refreshed[query.number.e164] = self.flights.launch(_key(query), start, deadline=deadline)

    async def _ask(self, query: LookupQuery, wanted: frozenset[Facet], hits: Hits, deadline: float) -> LookupOutcome:
        """Fly for what the cache cannot answer; whatever happens, the outcome says all that is known."""
        now = self.clock()
        held = from_hits(hits, now)
        if query.fresh:
            held = replace(held, liveness=None)
        else:
            wanted = frozenset(f for f in wanted if f not in hits or state(hits[f], now) is not CacheState.FRESH)
        status = None
        try:
            outcome = merge(held, await self._fly_together(query, wanted, hits, deadline))
        except TimeoutError:
            outcome, status = replace(held, error="timeout"), Status.TIMEOUT
        except Overloaded:
            outcome, status = replace(held, error="overload"), Status.DEGRADED
        return finished(self._or_plan(query.number, outcome), query.facets, status)

    async def _fly_together(
        self, query: LookupQuery, wanted: frozenset[Facet], hits: Hits, deadline: float
    ) -> ChainResult:
        """Share the number's flight; where it was after less than we want, fly once more for the rest."""
        result = await self.flights.run(_key(query), partial(self._fly, query, wanted, hits), deadline=deadline)
        rest = wanted - result.asked
        if not rest:
            return result
        more = await self.flights.run(_key(query), partial(self._fly, query, rest, hits), deadline=deadline)
        return ChainResult(
            more.asked | result.asked,
            more.answers + result.answers,
            more.error or result.error,
            result.attempts + more.attempts,
        )

    async def _fly(self, query: LookupQuery, wanted: frozenset[Facet], hits: Hits, until: Until) -> ChainResult:
        """Ask the chain and keep what it says, whoever still waits.

        What is asked is waited for; but nothing more is asked once the last call that wanted it has gone on.
        """
        try:
            result = await self.chain.ask(query.number, wanted, until=until, only=query.provider)
            now = self.clock()
            told = tuple(current(self._completed(answer), self.lifetimes, now) for answer in result.answers)
            answers = settled(told)
            result = replace(result, answers=answers)
            self._keep(answers, hits)
        except Exception:
            self.metrics.bug("flight")
            raise
        return result

    def _completed(self, answer: LookupAnswer) -> LookupAnswer:
        completed = self.complete(answer.identity) if answer.identity else None
        return answer if completed is answer.identity else replace(answer, identity=completed)

    def _keep(self, answers: tuple[LookupAnswer, ...], hits: Hits) -> None:
        """Store what was said: of each facet the first that knows, else the first that did not; as `compose.merge` chooses."""
        now = self.clock()
        chosen: dict[Facet, CacheEntry] = {}
        for answer in answers:
            for entry in entries(answer, self.lifetimes, now, self.spread()):
                said = chosen.get(entry.facet)
                if said is None or (said.outcome is Outcome.INCONCLUSIVE and entry.outcome is not Outcome.INCONCLUSIVE):
                    chosen[entry.facet] = entry
        self.cache.put([entry for facet, entry in chosen.items() if supersedes(entry, hits.get(facet), now)])

    def _or_plan(self, number: Number, outcome: LookupOutcome) -> LookupOutcome:
        """The numbering plan's identity, where no source stated one."""
        if not number.e164 or (outcome.identity and not outcome.identity.value.empty):
            return outcome
        answer = self.plan(number, self.clock())
        if answer.identity is None:
            return outcome
        return replace(outcome, identity=replace(sourced(answer, answer.identity), cache=outcome.cache))


def _key(query: LookupQuery) -> tuple[str, str | None]:
    """One flight a number, whatever is wanted: a source states all that it knows for one price."""
    return query.number.e164, query.provider


def _answered(wanted: frozenset[Facet], hits: Hits, now: float) -> bool:
    """Is every wanted facet in the cache, fresh or able to stand in?"""
    return all(facet in hits and state(hits[facet], now) is not CacheState.MISS for facet in wanted)
