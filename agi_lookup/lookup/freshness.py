"""How long an answer lives, and what may be done with it: pure, the time is an argument (Unix seconds).

Three states of an entry: *fresh* answers; *stale* identity answers at once while it is refreshed behind, and stands in when
sources fail; stale liveness never answers. Nothing stale ever blocks a call (see `policy.rules`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field

from agi_lookup.cache.base import CacheEntry, Outcome
from agi_lookup.domain.model import CacheState, Facet, Identity, Liveness, LookupAnswer, Reason, Tri

CLOCK_SLACK_S = 60.0
"""An entry observed this far in the future means that the clock was set back: it is treated as stale, not as eternal."""


class Lifetime(BaseModel):
    """Seconds since the source observed it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fresh_s: float = Field(ge=0, le=400 * 86400, description="so long it answers")
    stale_s: float = Field(default=0, ge=0, le=400 * 86400, description="after that, may stand in this much longer")


class IdentityLifetimes(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    positive: Lifetime = Lifetime(fresh_s=86400, stale_s=7 * 86400)
    inconclusive: Lifetime = Lifetime(fresh_s=300)


class LivenessLifetimes(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    positive: Lifetime = Lifetime(fresh_s=900)
    negative: Lifetime = Lifetime(fresh_s=300)
    inconclusive: Lifetime = Lifetime(fresh_s=60)
    unknowable: Lifetime = Lifetime(
        fresh_s=86400
    )  # a landline, a country without HLR access: asking again tells no more


class Lifetimes(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    identity: IdentityLifetimes = IdentityLifetimes()
    liveness: LivenessLifetimes = LivenessLifetimes()
    jitter: float = Field(
        default=0.1, ge=0, le=0.5, description="lifetimes vary by this part, so that they do not end together"
    )


def outcome_of(body: Identity | Liveness) -> Outcome:
    if isinstance(body, Identity):
        return Outcome.POSITIVE if body.known else Outcome.INCONCLUSIVE
    match body.reachable:
        case Tri.YES:
            return Outcome.POSITIVE
        case Tri.NO:
            return Outcome.NEGATIVE
        case _:
            return Outcome.INCONCLUSIVE


def expiry(lifetimes: Lifetimes, facet: Facet, kind: str, observed_at: float, spread: float) -> tuple[float, float]:
    """(fresh_until, stale_until). `kind` is an `Outcome` or `unknowable`; `spread` in -1..1 places this entry within the jitter."""
    lifetime: Lifetime = getattr(getattr(lifetimes, facet), kind)
    fresh_until = observed_at + lifetime.fresh_s * (1 + lifetimes.jitter * spread)
    return fresh_until, fresh_until + lifetime.stale_s


def current(answer: LookupAnswer, lifetimes: Lifetimes, now: float) -> LookupAnswer:
    """The answer as it may be used: a source's clock may not run ahead of ours, and old news of liveness is no news of now.

    Sources cache too, and state when they observed. An old liveness becomes unknown, so that it can block nobody.
    """
    observed_at = min(answer.observed_at, now)
    liveness = answer.liveness
    if liveness is not None and liveness.known:
        length_s: float = getattr(lifetimes.liveness, outcome_of(liveness)).fresh_s
        if length_s and observed_at + length_s * (1 + lifetimes.jitter) <= now:
            liveness = Liveness()
    if observed_at == answer.observed_at and liveness is answer.liveness:
        return answer
    return replace(answer, observed_at=observed_at, liveness=liveness)


def entries(answer: LookupAnswer, lifetimes: Lifetimes, now: float, spread: float) -> Iterator[CacheEntry]:
    """The facets of an answer, ready to be kept. Raises nothing.

    Old news is held as if it were "not told": asking again at once would buy the same.
    """
    answer = current(answer, lifetimes, now)
    for facet, body in ((Facet.IDENTITY, answer.identity), (Facet.LIVENESS, answer.liveness)):
        if body is None:
            continue
        outcome = outcome_of(body)
        kind = "unknowable" if _unknowable(body) else outcome
        fresh_until, stale_until = expiry(lifetimes, facet, kind, answer.observed_at, spread)
        if answer.observed_at < fresh_until <= now:
            fresh_until = expiry(lifetimes, facet, Outcome.INCONCLUSIVE, now, spread)[0]
            stale_until = max(stale_until, fresh_until)
        if answer.fresh_s is not None:
            fresh_until = max(answer.observed_at, min(fresh_until, now + answer.fresh_s))
        yield CacheEntry(
            number=answer.number,
            facet=facet,
            outcome=outcome,
            provider=answer.provider,
            method=answer.method,
            observed_at=answer.observed_at,
            fresh_until=fresh_until,
            stale_until=stale_until,
            body=body,
        )


def _unknowable(body: Identity | Liveness) -> bool:
    return isinstance(body, Liveness) and not body.known and body.reason in (Reason.NOT_APPLICABLE, Reason.NETWORK_ONLY)


def state(entry: CacheEntry, now: float) -> CacheState:
    """FRESH, STALE (identity that may stand in) or MISS (of no use any more)."""
    clock_went_back = entry.observed_at > now + CLOCK_SLACK_S
    if now < entry.fresh_until and not clock_went_back:
        return CacheState.FRESH
    if now < entry.stale_until and entry.facet is Facet.IDENTITY:
        return CacheState.STALE
    return CacheState.MISS


def revives(new: Identity | Liveness, held: Identity | Liveness) -> bool:
    """Does it say that there is such a subscriber, where it was said that there is none? Then it need not know more."""
    if isinstance(new, Identity) or isinstance(held, Identity):
        return False
    return new.valid is Tri.YES and held.valid is Tri.NO


def supersedes(new: CacheEntry, held: CacheEntry | None, now: float) -> bool:
    """May `new` take the place of `held`? Not when it says less than what may stand in, nor when it is older than fresh news."""
    how = CacheState.MISS if held is None else state(held, now)
    if held is None or how is CacheState.MISS or held.outcome is Outcome.INCONCLUSIVE:
        return True
    if new.outcome is Outcome.INCONCLUSIVE:
        return revives(new.body, held.body)
    return how is CacheState.STALE or new.observed_at >= held.observed_at
