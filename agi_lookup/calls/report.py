"""What a replay comes to: sums for people and programs, and a row a call. Pure; the same calls give the same report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from agi_lookup.calls.past import Skipped
from agi_lookup.calls.replay import Compared, Outcome
from agi_lookup.domain.model import mask
from agi_lookup.domain.wording import counted
from agi_lookup.routing.rates import NANO

TOP: Final = 20
SIDES: Final = ("before", "after")
NOWHERE: Final = "-"
"""Stands for no trunk, and for no country."""
HEADER: Final = (
    "place", "at", "channel", "number", "country", "billsec", "change",
    *(f"{side}_{name}" for side in SIDES for name in ("action", "rule", "trunk", "rate", "cost", "currency")),
)  # fmt: skip


@dataclass(slots=True)
class Sum:
    """Of one side. `unpriced` calls have a route, and no exchange rate says what it cost."""

    blocked: int = 0
    would_block: int = 0  # in shadow
    answered_blocked: int = 0  # somebody talked, and would not have
    no_route: int = 0
    unpriced: int = 0
    cost: Counter[str] = field(default_factory=Counter)  # nano-units by currency

    def add(self, outcome: Outcome, answered: bool) -> None:
        if outcome.verdict.blocks:
            self.blocked += 1
            self.answered_blocked += answered
            return
        self.would_block += outcome.verdict.shadow
        self.no_route += not outcome.trunk
        if outcome.trunk and outcome.cost is None:
            self.unpriced += 1
        elif outcome.cost is not None:
            self.cost[outcome.currency] += outcome.cost

    def shown(self) -> dict[str, Any]:
        return {
            "blocked": self.blocked,
            "would_block": self.would_block,
            "answered_blocked": self.answered_blocked,
            "no_route": self.no_route,
            "unpriced": self.unpriced,
            "cost": {currency: money(self.cost[currency]) for currency in sorted(self.cost)},
        }


@dataclass(slots=True)
class Sums:
    """Of some calls, both sides."""

    calls: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    sides: tuple[Sum, Sum] = field(default_factory=lambda: (Sum(), Sum()))

    def add(self, compared: Compared, change: str) -> None:
        self.calls += 1
        if change:
            self.changes[change] += 1
        answered = bool(compared.call.billsec)
        for total, outcome in zip(self.sides, (compared.before, compared.after), strict=True):
            total.add(outcome, answered)

    def shown(self) -> dict[str, Any]:
        changes = {name: self.changes[name] for name in ("newly_blocked", "unblocked", "rerouted")}
        return {"calls": self.calls, **changes, **dict(zip(SIDES, (side.shown() for side in self.sides), strict=True))}


@dataclass(slots=True)
class Report:
    """`cut` calls were routed by their leading digits alone; of `unknown_length` it is not known how long they were talked."""

    all: Sums = field(default_factory=Sums)
    countries: dict[str, Sums] = field(default_factory=dict)
    trunks: Counter[tuple[str, str]] = field(default_factory=Counter)
    rules: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    unknown_length: int = 0

    def add(self, one: Compared | Skipped) -> None:
        if isinstance(one, Skipped):
            self.skipped[one.why] += 1
            return
        change = change_of(one)
        self.all.add(one, change)
        self.countries.setdefault(one.call.number.country or NOWHERE, Sums()).add(one, change)
        if change == "rerouted":
            self.trunks[one.before.trunk or NOWHERE, one.after.trunk or NOWHERE] += 1
        for side, outcome in zip(SIDES, (one.before, one.after), strict=True):
            if outcome.verdict.blocks:
                self.rules[outcome.verdict.rule, side] += 1
        self.cut += one.call.is_cut
        self.unknown_length += one.call.billsec is None

    def shown(self) -> dict[str, Any]:
        moved = sorted(self.trunks.items(), key=lambda item: (-item[1], item[0]))
        return {
            **self.all.shown(),
            "skipped": dict(sorted(self.skipped.items())),
            "leading_digits_only": self.cut,
            "unknown_length": self.unknown_length,
            "rules": [
                {"rule": rule, **{side: self.rules[rule, side] for side in SIDES}}
                for rule in sorted({rule for rule, _ in self.rules})
            ],
            "rerouted_most": [{"before": old, "after": new, "calls": calls} for (old, new), calls in moved[:TOP]],
            "countries": [{"country": name, **self.countries[name].shown()} for name in sorted(self.countries)],
        }


def change_of(compared: Compared) -> str:
    before, after = compared.before, compared.after
    if before.verdict.blocks != after.verdict.blocks:
        return "newly_blocked" if after.verdict.blocks else "unblocked"
    return "rerouted" if before.trunk != after.trunk else ""


def money(nanos: int) -> str:
    return f"{Decimal(nanos) / NANO:.6f}"


def row(compared: Compared) -> tuple[object, ...]:
    """In the order of `HEADER`; the number is masked."""
    call = compared.call
    return (
        call.place,
        datetime.fromtimestamp(call.at, UTC).isoformat(timespec="seconds"),
        call.channel,
        mask(call.number.e164),
        call.number.country or "",
        "" if call.billsec is None else call.billsec,
        change_of(compared),
        *_cells(compared.before),
        *_cells(compared.after),
    )


def _cells(outcome: Outcome) -> tuple[object, ...]:
    verdict = outcome.verdict
    rule = f"shadow:{verdict.rule}" if verdict.shadow else verdict.rule
    cost = "" if outcome.cost is None else money(outcome.cost)
    rate = "" if outcome.rate is None else f"{outcome.rate:f}"
    return verdict.action.value, rule, outcome.trunk, rate, cost, outcome.currency


def lines(shown: Mapping[str, Any]) -> Iterator[str]:
    """The report as text."""
    yield f"{counted(shown['calls'], 'call')}, {_counts(shown['skipped']) or 'none'} skipped"
    if shown["leading_digits_only"]:
        yield f"{shown['leading_digits_only']} are known by their leading digits: longer prefixes are not told apart"
    if shown["unknown_length"]:
        yield f"{shown['unknown_length']} of unknown length are taken to be as long as usual"
    yield f"{'':<24} {'before':>20} {'after':>20}"
    for name in ("blocked", "would_block", "answered_blocked", "no_route", "unpriced"):
        yield _line(name.replace("_", " "), *(str(shown[side][name]) for side in SIDES))
    for currency in sorted({currency for side in SIDES for currency in shown[side]["cost"]}):
        yield _line(f"cost, {currency}", *(shown[side]["cost"].get(currency, money(0)) for side in SIDES))
    for rule in shown["rules"]:
        yield _line(f"by {rule['rule']}", *(str(rule[side]) for side in SIDES))
    yield f"changed: {shown['newly_blocked']} newly blocked, {shown['unblocked']} unblocked, {shown['rerouted']} rerouted"
    for moved in shown["rerouted_most"]:
        yield f"  {moved['before']} > {moved['after']}: {moved['calls']}"
    for country in shown["countries"]:
        costs = [", ".join(f"{cost} {name}" for name, cost in country[side]["cost"].items()) for side in SIDES]
        yield (
            f"{country['country']}: {counted(country['calls'], 'call')}, {country['rerouted']} rerouted,"
            f" blocked {country['before']['blocked']} > {country['after']['blocked']},"
            f" cost {costs[0] or 0} > {costs[1] or 0}"
        )


def _line(name: str, before: str, after: str) -> str:
    return f"{name:<24} {before:>20} {after:>20}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
