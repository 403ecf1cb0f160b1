"""Past calls decided once more, by other rates and rules. It holds a router and rules, and nothing that could ask a provider. Pure.

Each call is decided as of its own time, so that the rates in force then count. Trunks learn from the results that the log has; how
many calls they take at a time is not replayed. Rules are as configured: none is returned to shadow, and no call is a probe. What
the calls before taught about a number is not known: no rule about that matches, and no answered call saves a later one from a rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple, Protocol

from agi_lookup.calls.bill import MINUTE_S, Bill
from agi_lookup.calls.past import Decided, Past, PastCall, Skipped
from agi_lookup.domain.model import LookupOutcome, Verdict
from agi_lookup.policy.facts import Facts, Price
from agi_lookup.policy.rules import Rule, rule_on
from agi_lookup.routing.lcr import RouteQuery
from agi_lookup.routing.memory import Memory
from agi_lookup.routing.options import RoutingOptions
from agi_lookup.routing.ranking import Ranking
from agi_lookup.routing.rates import NANO


class Router(Protocol):
    def rank(self, query: RouteQuery, now: float) -> Ranking: ...
    def started(self, channel: str, ranking: Ranking, now: float) -> None: ...


class Outcome(NamedTuple):
    """What becomes of a call. `trunk` is that of its first route, which is taken to be the one that carries it.

    `cost` is in nano-units of `currency`; None: it goes nowhere, or nobody can tell.
    """

    verdict: Verdict
    trunk: str = ""
    rate: Decimal | None = None  # expected, a minute
    cost: int | None = None
    currency: str = ""


class Compared(NamedTuple):
    call: PastCall
    before: Outcome
    after: Outcome


class Side(Protocol):
    """One of the two that are compared."""

    def decide(self, call: PastCall) -> Outcome: ...


def replay(calls: Iterable[Past], before: Side, after: Side) -> Iterator[Compared | Skipped]:
    for call in calls:
        yield call if isinstance(call, Skipped) else Compared(call, before.decide(call), after.decide(call))


@dataclass(frozen=True, slots=True)
class Configured:
    """What rates and rules make of a call. `usual_s`: how long a call is taken to be where that is not known."""

    router: Router
    memory: Memory
    rules: tuple[Rule, ...]
    bill: Bill
    usual_s: Decimal

    def decide(self, call: PastCall) -> Outcome:
        identity = call.identity.value if call.identity else None
        query = RouteQuery(call.number, identity, call.dialled, call.caller, call.profile)
        ranking = self.router.rank(query, call.at)
        first = ranking.routes[0] if ranking.routes else None
        facts = Facts(
            number=call.number,
            outcome=LookupOutcome(identity=call.identity, liveness=call.liveness),
            caller=call.caller,
            now=call.at,
            cost=Price(first.rate, first.currency) if first else None,
        )
        verdict = rule_on(self.rules, facts).verdict
        if verdict.blocks:
            return Outcome(verdict)
        self._learn(call, ranking)
        if first is None:
            return Outcome(verdict)
        return Outcome(verdict, first.trunk, first.rate, self._cost(call, ranking, first.rate), first.currency)

    def _learn(self, call: PastCall, ranking: Ranking) -> None:
        channel = str(call.place)
        self.router.started(channel, ranking, call.at)
        for result in call.results:
            self.memory.ended(channel, result.of(call.number.e164), result.at)

    def _cost(self, call: PastCall, ranking: Ranking, rate: Decimal) -> int | None:
        tariff = ranking.offers[0][-1].tariff
        if call.billsec is None or tariff is None:
            return expected(rate, self.usual_s)
        return self.bill.of(tariff, call.billsec, call.at)


@dataclass(frozen=True, slots=True)
class AsLogged:
    """What the call was told then. Of its rate the log knows what a minute was expected to cost."""

    usual_s: Decimal

    def decide(self, call: PastCall) -> Outcome:
        verdict, route = call.as_logged or Decided(Verdict(), None)
        if verdict.blocks or route is None:
            return Outcome(verdict)
        length_s = self.usual_s if call.billsec is None else Decimal(call.billsec)
        return Outcome(verdict, route.trunk, route.rate, expected(route.rate, length_s), route.currency)


def expected(rate: Decimal, length_s: Decimal) -> int:
    """Nano-units for a call of that length, by a rate a minute."""
    return round(rate * length_s * NANO / MINUTE_S)


def usual_s(options: RoutingOptions) -> Decimal:
    """The mean length of a call, as configured."""
    weights = sum(one.weight for one in options.durations)
    return Decimal(str(round(sum(one.seconds * one.weight for one in options.durations) / weights, 3)))


_UNLIMITED: Final = {"max_calls": None, "max_calls_per_s": None}


def without_capacity(options: RoutingOptions) -> RoutingOptions:
    trunks = {name: trunk.model_copy(update=_UNLIMITED) for name, trunk in options.trunks.items()}
    return options.model_copy(update={"trunks": trunks})
