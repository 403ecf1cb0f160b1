"""The story of one call: START HERE. It reads top to bottom and does no I/O itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from agi_lookup.domain.dial_plan import DialPlan
from agi_lookup.domain.emergency import is_emergency
from agi_lookup.domain.errors import NumberError
from agi_lookup.domain.model import Decision, Facet, LookupOutcome, LookupQuery, Status
from agi_lookup.domain.number import normalise
from agi_lookup.policy.rules import Facts, Rule, evaluate


class Resolver(Protocol):
    """Finds out about a number by `deadline` (loop seconds). Never raises for trouble of cache or sources."""

    async def resolve(self, query: LookupQuery, *, deadline: float) -> LookupOutcome: ...


@dataclass(frozen=True, slots=True)
class Profile:
    """A named dial plan with its wants: what `profile=NAME` chooses."""

    name: str
    dial_plan: DialPlan
    facets: frozenset[Facet]
    timeout_s: float
    resolver: Resolver


@dataclass(frozen=True, slots=True)
class CallKit:
    """All that calls need. Frozen; a reload makes a new one, and a running call keeps the one that it started with."""

    profiles: Mapping[str, Profile]
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class CallRequest:
    """What the dialplan asked. `None` means: as the profile says."""

    dialled: str
    profile: str = "default"
    facets: frozenset[Facet] | None = None
    timeout_s: float | None = None
    fresh: bool = False
    provider: str | None = None  # ask only this one
    channel: str = ""  # the call's UNIQUEID, for the log


Note = Callable[[str, object], None]
"""Told of each step and what came of it, for `explain`: a word, a `Number`, a `LookupOutcome`, a `Verdict`."""


def _unnoted(_step: str, _result: object) -> None:
    """Nobody wants to know."""


async def decide(request: CallRequest, kit: CallKit, *, deadline: float, note: Note = _unnoted) -> Decision:
    """Decide what to do with one call. Bad numbers and failed lookups are statuses, not exceptions.

    `deadline` is in loop seconds. Raises only for bugs (and `KeyError` for a profile that the caller did not check).
    """
    profile = kit.profiles[request.profile]
    if is_emergency(request.dialled, profile.dial_plan):
        note("emergency", "yes: nothing is looked up, nothing is blocked")
        return Decision(Status.EMERGENCY)
    note("emergency", "no")
    try:
        number = normalise(request.dialled, profile.dial_plan)
    except NumberError as error:
        note("number", f"refused: {error.code}")
        return Decision(Status.BADNUMBER, error=error.code)
    note("number", number)
    query = LookupQuery(number, request.facets or profile.facets, fresh=request.fresh, provider=request.provider)
    outcome = await profile.resolver.resolve(query, deadline=deadline)
    note("lookup", outcome)
    verdict = evaluate(kit.rules, Facts(number, outcome))
    note("rules", verdict)
    return Decision(outcome.status, number, outcome, verdict)
