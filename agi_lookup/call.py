"""The story of one call: START HERE. It reads top to bottom and does no I/O itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from agi_lookup.domain.dial_plan import DialPlan
from agi_lookup.domain.emergency import is_emergency
from agi_lookup.domain.errors import NumberError
from agi_lookup.domain.model import Decision, Facet, LookupOutcome, LookupQuery, Number, Status
from agi_lookup.domain.number import normalise
from agi_lookup.policy.facts import NOTHING_FOUND, Facts, Price
from agi_lookup.policy.governance import Governor
from agi_lookup.policy.history import NOTHING_HEARD, History
from agi_lookup.policy.options import GovernanceOptions
from agi_lookup.policy.rules import Rule
from agi_lookup.routing.lcr import RouteQuery
from agi_lookup.routing.ranking import NO_ROUTES, Ranking

NOTHING: Final[frozenset[Facet]] = frozenset()


class Resolver(Protocol):
    """Finds out about a number by `deadline` (loop seconds). Never raises for trouble of cache or sources."""

    async def resolve(self, query: LookupQuery, *, deadline: float) -> LookupOutcome: ...


class Router(Protocol):
    """Which trunks take a call, in which order. `now` is when the call starts, Unix seconds."""

    def rank(self, query: RouteQuery, now: float) -> Ranking: ...
    def started(self, channel: str, ranking: Ranking, now: float) -> None:
        """The call of this channel goes by these routes."""


class NoRouter:
    """Of a config without trunks, or while no deck is live: the dialplan has trunks of its own."""

    def rank(self, query: RouteQuery, now: float) -> Ranking:
        return NO_ROUTES

    def started(self, channel: str, ranking: Ranking, now: float) -> None:
        """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A named dial plan with its wants: what `profile=NAME` chooses."""

    name: str
    dial_plan: DialPlan
    facets: frozenset[Facet]
    timeout_s: float
    resolver: Resolver


def _unwatched() -> Governor:
    return Governor(GovernanceOptions(), draw=lambda: 1.0, on_alarm=lambda _code, _detail: None)


@dataclass(frozen=True, slots=True)
class CallKit:
    """All that calls need. Frozen; a reload makes a new one, and a running call keeps the one that it started with."""

    profiles: Mapping[str, Profile]
    rules: tuple[Rule, ...]
    clock: Callable[[], float]  # Unix seconds
    decides_early: bool = False  # may a rule end the call, or spare the lookup, by the number alone?
    governor: Governor = field(default_factory=_unwatched)
    recall: Callable[[str, float], History] = lambda _number, _now: NOTHING_HEARD
    router: Router = field(default_factory=NoRouter)


@dataclass(frozen=True, slots=True)
class CallRequest:
    """What the dialplan asked. `None` means: as the profile says."""

    dialled: str
    profile: str = "default"
    facets: frozenset[Facet] | None = None
    timeout_s: float | None = None
    fresh: bool = False
    provider: str | None = None  # ask only this one
    channel: str = (
        ""  # the call's UNIQUEID, for the log and for its results; empty: no call, somebody only wants to know
    )
    caller: str = ""  # who dials, by the channel: `PJSIP/alice`. Pays from a budget of its own; shown nowhere
    patient: bool = False  # no call: calls go first


Note = Callable[[str, object], None]
"""Told of each step and what came of it, for `explain`: a word, `Number`, `LookupOutcome`, `Ranking`, `Facts` or `Verdict`."""


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
    now = kit.clock()
    facets = request.facets or profile.facets
    if kit.decides_early and (rule := kit.governor.skips_lookup(kit.rules, _facts(request, kit, number, now), now)):
        note("early rules", f"{rule}: nobody is asked")
        facets = NOTHING
    query = LookupQuery(number, facets, request.fresh, request.provider, profile.name, request.caller, request.patient)
    outcome = await profile.resolver.resolve(query, deadline=deadline)
    note("lookup", outcome)
    return _conclude(request, kit, number, outcome, note)


def _conclude(request: CallRequest, kit: CallKit, number: Number, outcome: LookupOutcome, note: Note) -> Decision:
    """Routes, then rules, which may look at what the call would cost. On its own, so that a waiting call holds no room for it."""
    now = kit.clock()
    ranking = kit.router.rank(_route_query(request, number, outcome), now)
    note("routes", ranking)
    facts = _facts(request, kit, number, now, outcome, _price(ranking))
    note("facts", facts)
    judge = kit.governor.judge if request.channel else kit.governor.look
    verdict = judge(kit.rules, facts, now)
    note("rules", verdict)
    if verdict.blocks:
        return Decision(outcome.status, number, outcome, verdict)
    if not (request.channel and ranking.routes):
        return Decision(outcome.status, number, outcome, verdict, routes=ranking.routes)
    accepted = partial(kit.router.started, request.channel, ranking)
    return Decision(outcome.status, number, outcome, verdict, routes=ranking.routes, accepted=accepted)


def _facts(
    request: CallRequest,
    kit: CallKit,
    number: Number,
    now: float,
    outcome: LookupOutcome = NOTHING_FOUND,
    cost: Price | None = None,
) -> Facts:
    return Facts(number, outcome, request.caller, now, cost, kit.recall(number.e164, now))


def _route_query(request: CallRequest, number: Number, outcome: LookupOutcome) -> RouteQuery:
    identity = outcome.identity.value if outcome.identity else None
    return RouteQuery(number, identity, request.dialled, request.caller, request.profile)


def _price(ranking: Ranking) -> Price | None:
    return Price(ranking.routes[0].rate, ranking.routes[0].currency) if ranking.routes else None
