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

from agi_lookup.cache.base import Hits
from agi_lookup.domain.errors import Overloaded
from agi_lookup.domain.model import (
    CacheState,
    Facet,
    LookupAnswer,
    LookupOutcome,
    LookupQuery,
    Number,
    NumberClass,
    NumberType,
    Status,
    Tri,
)
from agi_lookup.lookup.budget import Payer
from agi_lookup.lookup.chain import NOTHING, Chain, ChainResult, Wish, common
from agi_lookup.lookup.compose import finished, from_hits, merge, sourced
from agi_lookup.lookup.freshness import state
from agi_lookup.lookup.keep import Keeper
from agi_lookup.lookup.singleflight import SingleFlight, Until

FLIGHT_S: Final = 30.0
"""How long a flight is given to land when the process stops or its connections retire: some sources' time-outs in a row."""
REFRESH_PAUSE_S: Final = 300.0
"""How long a number is not refreshed again, whatever its last refresh brought."""
IDENTITY: Final = frozenset({Facet.IDENTITY})
BEHIND: Final = "behind"
"""Beside a number, the key of the flight that no call waits for."""
FREE: Final = ""
"""Beside a number, the key of the flight to free sources: who pays for the number must not take it for all that can be known."""
BELIEVED_S: Final = 6 * 3600.0
"""A network that was told so lately is not doubted for a carrier's word."""
REFRESH_WAIT_S: Final = 1.0
"""How long a refresh, which no call waits for, may wait for a free connection."""


class Cache(Protocol):
    """Never raises: a broken tier is a miss."""

    def peek(self, number: str) -> Hits: ...
    def may_tell(self, number: str) -> bool: ...
    async def get(self, number: str, facets: frozenset[Facet]) -> Hits: ...


class Metrics(Protocol):
    def bug(self, where: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Paying:
    """What a source may be paid for; what costs nothing may always be asked. Emergency numbers never come this far."""

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
        return _can_be(number) and number.type in self.types and (self.invalid or number.valid is not Tri.NO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """`call.Resolver` over a cache, a chain and the numbering plan; `clock` is Unix seconds."""

    cache: Cache
    chain: Chain
    free: Chain  # of the sources that cost nothing, for numbers that are not paid for
    flights: SingleFlight[ChainResult]
    plan: Callable[[Number, float], LookupAnswer]
    keeper: Keeper
    paying: Paying
    metrics: Metrics
    clock: Callable[[], float]
    refreshed: MutableMapping[str, bool]  # numbers refreshed lately: forgets them after a pause
    overloaded: Callable[[], bool]  # is there no time for anything but what memory knows?
    hear: Callable[[LookupAnswer, str | None], None] = lambda _answer, _country: None  # told of each new answer

    async def resolve(self, query: LookupQuery, *, deadline: float) -> LookupOutcome:
        """See `call.Resolver`."""
        number = query.number
        in_call, at_all = self.chain_for(number).offers(number)
        wanted = common(query.facets, at_all)
        if not wanted or not _can_be(number):
            return self._finished(query, LookupOutcome())
        now = self.clock()
        hits = self.cache.peek(number.e164)
        if not _answered(wanted, hits, now):
            if self.overloaded():
                return self._finished(query, replace(from_hits(hits, now), error="overload"), Status.DEGRADED)
            if self.cache.may_tell(number.e164):
                hits = await self._read(number.e164, wanted, deadline)
                now = self.clock()
        if not query.fresh and _answered(wanted, hits, now):
            self._refresh(query, _stale(hits, now), in_call, hits)
            return self._finished(query, from_hits(hits, now))
        wanted, held = _missing(query, wanted, hits, now)
        if query.provider is None:
            self._refresh(query, wanted - in_call, NOTHING, hits)
            wanted = common(wanted, in_call)
        if not wanted:
            return self._finished(query, held)
        status = None
        try:
            result = await self._board(query, wanted, hits, deadline)
            if rest := wanted - result.asked:  # the flight that was under way was after less
                result = result.then(await self._board(query, rest, hits, deadline))
            outcome = merge(held, result)
        except TimeoutError:
            outcome, status = replace(held, error="timeout"), Status.TIMEOUT
        except Overloaded:
            outcome, status = replace(held, error="overload"), Status.DEGRADED
        return self._finished(query, outcome, status)

    def chain_for(self, number: Number) -> Chain:
        """All sources, or the free ones where the number is not paid for."""
        return self.chain if self.paying.allows(number) else self.free

    def wanted(self, query: LookupQuery) -> frozenset[Facet]:
        """For people: the facets that `resolve` looks for; none of what cannot be anybody's, or no source tells of."""
        _, at_all = self.chain_for(query.number).offers(query.number)
        return common(query.facets, at_all) if _can_be(query.number) else frozenset()

    def recheck(self, number: Number, profile: str) -> bool:
        """Have its network looked up again behind calls, because a carrier's word speaks against what we believe.

        False when we have asked lately: many carriers say "no such number" of what they have no route to.
        """
        hits = self.cache.peek(number.e164)
        believed = hits.get(Facet.IDENTITY)
        if believed is None or self.clock() - believed.observed_at < BELIEVED_S or not self.paying.allows(number):
            return False
        in_call, _ = self.chain.offers(number)
        self._refresh(LookupQuery(number, IDENTITY, profile=profile), IDENTITY, in_call, hits)
        return True

    def _board(
        self, query: LookupQuery, wanted: frozenset[Facet], hits: Hits, deadline: float
    ) -> asyncio.Future[ChainResult]:
        """Share the number's flight, or start one."""
        return self.flights.join(self._key(query), partial(self._fly, query, wanted, hits, False), deadline=deadline)

    async def _read(self, number: str, wanted: frozenset[Facet], deadline: float) -> Hits:
        """What all tiers know of a number, by the deadline."""
        try:
            async with asyncio.timeout_at(deadline):
                return await self.cache.get(number, wanted)
        except TimeoutError:
            return self.cache.peek(number)

    def _refresh(self, query: LookupQuery, facets: frozenset[Facet], in_call: frozenset[Facet], hits: Hits) -> None:
        """Once, then not for a pause: a refresh that brought nothing new is not bought again by every call.

        By the sources that calls wait for, in the flight that a call would share; what only others tell, in a flight of its own.
        """
        number = query.number.e164
        for part, behind in ((facets & in_call, False), (facets - in_call, True)):
            if part and _mark(number, behind) not in self.refreshed:
                start = partial(self._fly, query, part, hits, behind)
                key = (number, BEHIND) if behind else self._key(query)
                deadline = asyncio.get_running_loop().time() + REFRESH_WAIT_S
                self.refreshed[_mark(number, behind)] = self.flights.launch(key, start, deadline=deadline)

    async def _fly(
        self, query: LookupQuery, wanted: frozenset[Facet], hits: Hits, behind: bool, until: Until
    ) -> ChainResult:
        """Ask the chain and keep what it says, whoever still waits.

        What is asked is waited for; but nothing more is asked once the last call that wanted it has gone on.
        """
        try:
            payer = Payer(query.profile, query.caller, query.patient)
            result = await self.chain_for(query.number).ask(
                Wish(query.number, wanted, until, payer, query.provider, behind)
            )
            for answer in result.answers:
                self.hear(answer, query.number.country)
            if any(answer.identity for answer in result.answers):  # stale at once, where its source says so
                self.refreshed[_mark(query.number.e164, behind)] = True
            return result.with_answers(self.keeper.keep(result.answers, hits))
        except Exception:
            self.metrics.bug("flight")
            raise

    def _key(self, query: LookupQuery) -> tuple[str, str | None]:
        """One flight a number, whatever is wanted: a source states all that it knows for one price."""
        return query.number.e164, query.provider or (None if self.paying.allows(query.number) else FREE)

    def _finished(self, query: LookupQuery, outcome: LookupOutcome, status: Status | None = None) -> LookupOutcome:
        return finished(self._or_plan(query.number, outcome), query.facets, status)

    def _or_plan(self, number: Number, outcome: LookupOutcome) -> LookupOutcome:
        """The numbering plan's identity, where no source stated one."""
        if not number.e164 or (outcome.identity and not outcome.identity.value.empty):
            return outcome
        answer = self.plan(number, self.clock())
        if answer.identity is None:
            return outcome
        return replace(outcome, identity=replace(sourced(answer, answer.identity), cache=outcome.cache))


def _can_be(number: Number) -> bool:
    """Can it be anybody's at all? Else nobody is asked."""
    return number.kind is NumberClass.E164 and bool(number.e164) and number.possible


def marks(number: str) -> tuple[str, str]:
    """All that `refreshed` may hold of an E.164 number."""
    return _mark(number, behind=False), _mark(number, behind=True)


def _mark(number: str, behind: bool) -> str:
    """What is kept in `refreshed`. What was bought for a call puts off no refresh by sources that no call waits for."""
    return f"{number} {BEHIND}" if behind else number


def _stale(hits: Hits, now: float) -> frozenset[Facet]:
    return frozenset(facet for facet, entry in hits.items() if state(entry, now) is CacheState.STALE)


def _missing(
    query: LookupQuery, wanted: frozenset[Facet], hits: Hits, now: float
) -> tuple[frozenset[Facet], LookupOutcome]:
    """What has to be asked for, and what may be said without it."""
    held = from_hits(hits, now)
    if query.fresh:
        return wanted, replace(held, liveness=None)
    if not hits:
        return wanted, held
    return frozenset(f for f in wanted if f not in hits or state(hits[f], now) is not CacheState.FRESH), held


def _answered(wanted: frozenset[Facet], hits: Hits, now: float) -> bool:
    """Is every wanted facet in the cache, fresh or able to stand in?"""
    return all(facet in hits and state(hits[facet], now) is not CacheState.MISS for facet in wanted)
