"""How cache entries and answers become one outcome: pure. What is known wins over what is not; nothing stale poses as live."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Final, TypeVar

from agi_lookup.cache.base import CacheEntry, Hits
from agi_lookup.domain.model import (
    Attempt,
    CacheState,
    Facet,
    Identity,
    Liveness,
    LookupAnswer,
    LookupOutcome,
    Sourced,
    Status,
    Tri,
)
from agi_lookup.lookup.chain import ChainResult
from agi_lookup.lookup.freshness import revives, state

Fact = TypeVar("Fact", Identity, Liveness)

_NOTHING_KNOWN: Final = LookupOutcome()


def from_hits(hits: Hits, now: float) -> LookupOutcome:
    """What the cache may say: fresh facets, and a stale identity marked so. Stale liveness never stands in."""
    if not hits:
        return _NOTHING_KNOWN
    identity: Sourced[Identity] | None = None
    liveness: Sourced[Liveness] | None = None
    for entry in hits.values():
        how = state(entry, now)
        if how is CacheState.MISS:
            continue
        if isinstance(entry.body, Identity):
            identity = _cached(entry, entry.body, how)
        else:
            liveness = _cached(entry, entry.body, how)
    return LookupOutcome(identity=identity, liveness=liveness)


def _cached(entry: CacheEntry, body: Fact, how: CacheState) -> Sourced[Fact]:
    return Sourced(body, entry.provider, entry.method, entry.observed_at, how, stale=how is CacheState.STALE)


def sourced(answer: LookupAnswer, value: Fact) -> Sourced[Fact]:
    return Sourced(value, answer.provider, answer.method, answer.observed_at, CacheState.MISS)


def merge(held: LookupOutcome, result: ChainResult) -> LookupOutcome:
    """Fresh answers over what the cache held: the first that knows, else what was held, else the first that said anything."""
    identities = [sourced(a, a.identity) for a in result.answers if a.identity is not None]
    livenesses = [sourced(a, a.liveness) for a in result.answers if a.liveness is not None]
    lively = held.liveness
    if lively is not None and any(revives(said.value, lively.value) for said in livenesses):
        lively = None
    cost, currency = total(result.attempts)
    return LookupOutcome(
        identity=_best(identities, held.identity),
        liveness=_best(livenesses, lively),
        error=result.error.code if result.error else "",
        cost=cost,
        currency=currency,
        attempts=result.attempts,
    )


def settled(answers: tuple[LookupAnswer, ...], lives: bool = False) -> tuple[LookupAnswer, ...]:
    """Sources that contradict each other about liveness cancel out: on a disagreement nobody is blocked, now or from the cache.

    `lives`: yet another one said just before that there is such a subscriber (`vouched`).
    """
    said = [answer.liveness for answer in answers if answer.liveness is not None]
    valid = {s.valid for s in said} | ({Tri.YES} if lives else set())
    contradiction = {Tri.YES, Tri.NO} <= {s.reachable for s in said} or {Tri.YES, Tri.NO} <= valid
    if not contradiction:
        return answers
    return tuple(replace(answer, liveness=Liveness()) if answer.liveness else answer for answer in answers)


def vouched(held: CacheEntry | None, answers: Iterable[LookupAnswer], now: float) -> bool:
    """Does what is held still say that there is such a subscriber, by a source that these answers bring no later word of?"""
    if held is None or not isinstance(held.body, Liveness) or state(held, now) is not CacheState.FRESH:
        return False
    heard_again = any(a.provider == held.provider and a.liveness is not None and a.liveness.known for a in answers)
    return Tri.YES in (held.body.reachable, held.body.valid) and not heard_again


def _best(answers: list[Sourced[Fact]], held: Sourced[Fact] | None) -> Sourced[Fact] | None:
    for answer in answers:
        if answer.value.known:
            return answer
    return held or (answers[0] if answers else None)


def totals(attempts: Iterable[Attempt]) -> dict[str, Decimal]:
    """What the attempts cost, by currency: currencies are never added up."""
    sums: dict[str, Decimal] = {}
    for attempt in attempts:
        if attempt.cost is not None and attempt.currency:
            sums[attempt.currency] = sums.get(attempt.currency, Decimal(0)) + attempt.cost
    return sums


def total(attempts: Iterable[Attempt]) -> tuple[Decimal | None, str | None]:
    """What the attempts cost together; None for none, or for several currencies."""
    sums = totals(attempts)
    if len(sums) != 1:
        return None, None
    currency, cost = sums.popitem()
    return cost, currency


def finished(outcome: LookupOutcome, wanted: frozenset[Facet], status: Status | None = None) -> LookupOutcome:
    """The outcome with its status: the one given, else OK when every wanted facet is known."""
    status = status or (Status.OK if _complete(outcome, wanted) else Status.PARTIAL)
    return outcome if status is outcome.status else replace(outcome, status=status)


def _complete(outcome: LookupOutcome, wanted: frozenset[Facet]) -> bool:
    identity, liveness = outcome.identity, outcome.liveness
    if Facet.IDENTITY in wanted and (identity is None or not identity.value.known):
        return False
    return Facet.LIVENESS not in wanted or (liveness is not None and liveness.value.known)
