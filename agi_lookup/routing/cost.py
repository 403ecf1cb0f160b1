"""What a tariff is expected to cost a minute of talk, connect fee and billing increments included, in one currency.

At 60/60 a call of 61 s is billed 120 s, and a connect fee is paid however short the call: which tariff is the cheapest depends on
how long calls last, so costs are taken over a spread of lengths. Pure; `now` is Unix seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Final, Protocol, TypeAlias

from agi_lookup.routing.fx import FxTable
from agi_lookup.routing.kept import Kept
from agi_lookup.routing.tables import Billing

Spread: TypeAlias = tuple[tuple[int, float], ...]
"""(seconds, weight) of answered calls: at least one, all more than 0."""

BLOCKED: Final = "blocked"
MAX_SPREADS: Final = 2_000
MAX_BILLINGS: Final = 10_000
_DAY_S: Final = 86_400
_EPOCH: Final = date(1970, 1, 1).toordinal()


class Found(Protocol):
    """A rate in nano-units a minute, and how calls are billed by it (None: the vendor takes none)."""

    @property
    def rate(self) -> int: ...
    @property
    def billing(self) -> Billing | None: ...


class Costs:
    """Costs in `currency`, over calls as long as `usual` where nobody knows better.

    Nothing is kept by tariff: a multiplication takes less time than to find what it gave the last time.
    """

    def __init__(self, currency: str, usual: Spread, fx: FxTable) -> None:
        self._currency = currency
        self._usual = usual
        self._fx = fx
        self._day = 0
        # By the spread's identity, as it takes long to hash. The factors hold it, so that no other gets its identity.
        self._kept: dict[int, Kept[Billing | None, _Factor]] = {}

    def of(self, found: Sequence[Found], spread: Spread | None, now: float) -> list[int | str]:
        """Of each in nano-units a minute, rounded once; or why there is no saying: `BLOCKED`, `NO_FX`, `FX_STALE`.

        The spread is taken as unchanged as long as it is the same object.
        """
        factors = self._factors(spread, now)
        return [
            (factor := factors[one.billing]).why_not or round(one.rate * factor.billed + factor.fee) for one in found
        ]

    def _factors(self, spread: Spread | None, now: float) -> Kept[Billing | None, _Factor]:
        if now // _DAY_S != self._day or len(self._kept) > MAX_SPREADS:
            self._day = int(now // _DAY_S)
            self._kept.clear()
        factors = self._kept.get(id(spread))
        if factors is None:
            work_out = partial(self._factor, _Lengths(self._usual if spread is None else spread))
            factors = self._kept[id(spread)] = Kept(work_out, MAX_BILLINGS)
        return factors

    def _factor(self, lengths: _Lengths, billing: Billing | None) -> _Factor:
        if billing is None:
            return _Factor(why_not=BLOCKED)
        worth = self._fx.rate(billing.currency, self._currency, date.fromordinal(_EPOCH + self._day))
        if isinstance(worth, str):
            return _Factor(why_not=worth)
        billed_part = lengths.billed_part(billing.first_s, billing.next_s)
        return _Factor(float(worth) * billed_part, float(worth * billing.connect) * lengths.calls_a_minute)


@dataclass(frozen=True, slots=True)
class _Factor:
    """By what a rate is to be multiplied, and what is to be added, for a minute of talk in our currency; or why there is none."""

    billed: float = 0.0
    fee: float = 0.0
    why_not: str = ""


class _Lengths:
    """Calls by their length."""

    def __init__(self, spread: Spread) -> None:
        self._spread = spread
        self._talk_s = sum(weight * seconds for seconds, weight in spread)
        self.calls_a_minute = 60 * sum(weight for _, weight in spread) / self._talk_s

    def billed_part(self, first_s: int, next_s: int) -> float:
        """Seconds that are billed for one of talk."""
        return sum(weight * billed(seconds, first_s, next_s) for seconds, weight in self._spread) / self._talk_s


def billed(seconds: int, first_s: int, next_s: int) -> int:
    """Seconds that an answered call is billed for: the first increment, and as many next ones as were begun."""
    return first_s + max(0, -((first_s - seconds) // next_s)) * next_s
