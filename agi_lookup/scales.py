"""Is this source worth what it asks for this number? By the newest rates; where they cannot tell, always."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from agi_lookup.domain.model import Facet, Number
from agi_lookup.lookup.budget import Tariff
from agi_lookup.routes import Rates
from agi_lookup.routing.options import RoutingOptions
from agi_lookup.routing.rates import NANO


class Scales:
    """`lookup.chain.Worth`. `rates` are replaced when newer ones are there; `spared(provider, amount)` is told of what is saved."""

    def __init__(
        self,
        options: RoutingOptions,
        tariffs: Mapping[str, Tariff],
        clock: Callable[[], float],
        spared: Callable[[str, float], None],
    ) -> None:
        self.rates = Rates()
        self._options = options
        self._tariffs = tariffs
        self._clock = clock
        self._spared = spared

    def __call__(self, source: str, number: Number, wanted: frozenset[Facet], profile: str) -> bool:
        worth = self.rates.worth
        if worth is None:
            return True
        now = self._clock()
        price = self._price(source, now)
        judged = worth.judge(number, wanted, lambda facets: price if facets else 0, now, profile)
        if judged.saved:
            self._spared(source, judged.saved / NANO)
        return bool(judged.facets)

    def _price(self, source: str, now: float) -> int | None:
        """Nano-units of the comparison currency; None where that is not known, as for credits."""
        if (told := self._options.worth_lookup.prices.get(source)) is not None:
            return int(told * NANO)
        tariff = self._tariffs[source]
        if not tariff.currency:
            return 0  # it is free
        if tariff.price is None:
            return None
        rate = self.rates.fx.rate(tariff.currency, self._options.currency, datetime.fromtimestamp(now, UTC).date())
        return None if isinstance(rate, str) else int(rate * int(tariff.price * NANO))
