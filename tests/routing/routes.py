"""Trunks, calls and results for tests of routing, in few words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from agi_lookup.domain.model import CallResult, Identity, Number, Tri
from agi_lookup.routing.book import Found
from agi_lookup.routing.cost import Costs
from agi_lookup.routing.fx import FxTable
from agi_lookup.routing.lcr import RouteQuery, Router
from agi_lookup.routing.memory import Memory
from agi_lookup.routing.options import RoutingOptions, TrunkOptions
from agi_lookup.routing.rates import NANO, Destination, Kind, Tariff
from agi_lookup.routing.tables import billing_of
from agi_lookup.routing.trunks import Trunk

NOW = 1_800_000_000.0
NUMBER = "+447400123456"
DIAL = "PJSIP/{number}@acme"


def trunk(name: str = "T1", place: int = 0, **options: Any) -> Trunk:
    return Trunk(name, TrunkOptions.model_validate({"vendor": "acme", "dial": DIAL, **options}), place)


def routing(trunks: Mapping[str, Mapping[str, Any]], **options: Any) -> RoutingOptions:
    """Trunks by name; a trunk's vendor is called as the trunk in small letters, unless it is named."""
    full = {name: {"vendor": name.lower(), "dial": DIAL, **told} for name, told in trunks.items()}
    return RoutingOptions.model_validate({"trunks": full, **options})


class Rates:
    """A book that has the same rates for every destination, and notes what it was asked."""

    def __init__(self, rates: Mapping[str, str | Tariff | None], currency: str = "EUR") -> None:
        """By vendor, an amount a minute or a whole tariff; None: blocked."""
        self.asked: list[Destination] = []
        self._found = [
            found(vendor, tariff(rate, currency) if isinstance(rate, str) else rate) for vendor, rate in rates.items()
        ]

    def find(self, destination: Destination, now: float) -> list[Found]:
        self.asked.append(destination)
        return self._found


def found(vendor: str, charged: Tariff | None) -> Found:
    rate, billing = (0, None) if charged is None else (charged.rate, billing_of(charged))
    return Found(vendor, rate, billing, Kind.PREFIX, "44")


def tariff(rate: str, currency: str = "EUR", connect: str = "0", first_s: int = 1, next_s: int = 1) -> Tariff:
    return Tariff(currency, int(Decimal(rate) * NANO), int(Decimal(connect) * NANO), first_s, next_s)


def costs(*lengths_s: int, currency: str = "EUR", fx: FxTable | None = None) -> Costs:
    return Costs(currency, tuple((length, 1.0) for length in lengths_s or (60,)), fx or FxTable(currency, 7))


def router(
    rates: Mapping[str, str | Tariff | None], options: RoutingOptions, memory: Memory | None = None, **to: Any
) -> Router:
    return Router(options, Rates(rates, **to), costs(), Memory(options) if memory is None else memory)


def query(number: str = NUMBER, country: str = "GB", **asked: Any) -> RouteQuery:
    return RouteQuery(Number(number, country), **asked)


def served_by(mccmnc: str, **known: Any) -> Identity:
    return Identity(mcc=mccmnc[:3], mnc=mccmnc[3:], ported=Tri.YES, **known)


def result(
    trunk: str = "T1", dialstatus: str = "ANSWER", *, pdd_ms: int | None = None, billsec: int | None = None, **said: Any
) -> CallResult:
    if dialstatus == "ANSWER":
        pdd_ms, billsec = pdd_ms or 1000, 90 if billsec is None else billsec
    return CallResult(NUMBER, trunk, dialstatus, pdd_ms=pdd_ms, billsec=billsec, **said)


def names(ranked: Iterable[Any]) -> list[str]:
    return [route.trunk for route in ranked]
