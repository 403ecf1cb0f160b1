"""What one call costs by a tariff: connect fee and increments included, in one currency. Pure."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Final

from agi_lookup.routing.cost import billed
from agi_lookup.routing.fx import FxTable
from agi_lookup.routing.rates import Tariff

DAY_S: Final = 86_400
MINUTE_S: Final = 60
WORTHS_REMEMBERED: Final = 4096
_EPOCH: Final = date(1970, 1, 1).toordinal()


class Bill:
    def __init__(self, currency: str, fx: FxTable) -> None:
        self.currency = currency
        self._fx = fx
        self._worth = lru_cache(WORTHS_REMEMBERED)(self._work_out)

    def of(self, tariff: Tariff, billsec: int, at: float) -> int | None:
        """Nano-units, rounded once; None where the exchange rate of that day is not known. `at`: the call's start, Unix seconds."""
        if billsec <= 0:
            return 0
        worth = self._worth(tariff.currency, int(at // DAY_S))
        if worth is None:
            return None
        ours, theirs = worth
        per_60 = tariff.rate * billed(billsec, tariff.first_s, tariff.next_s) + MINUTE_S * tariff.connect
        return (2 * per_60 * ours + MINUTE_S * theirs) // (2 * MINUTE_S * theirs)

    def _work_out(self, currency: str, day: int) -> tuple[int, int] | None:
        """How many of ours so many of theirs are worth: whole numbers, as fractions are slow."""
        worth = self._fx.rate(currency, self.currency, date.fromordinal(_EPOCH + day))
        return None if isinstance(worth, str) else worth.as_integer_ratio()
