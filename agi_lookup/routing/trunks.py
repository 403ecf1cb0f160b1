"""Trunks made ready: whom they may take, and what `Dial()` is told for a number."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

from agi_lookup.domain.model import Number
from agi_lookup.routing.options import LrnUse, NumberForm, TrunkOptions
from agi_lookup.routing.rates import Destination
from agi_lookup.routing.windows import Hours

DIALLED: Final = re.compile(r"\+?[0-9]{1,31}")
"""What of a caller's own words may go into `Dial()`: nothing that could name another host or endpoint."""

DENIED_COUNTRY: Final = "denied_country"
DENIED_CARRIER: Final = "denied_carrier"
OUT_OF_HOURS: Final = "out_of_hours"


class Trunk:
    """One trunk of the config. `place` orders trunks whose offers are equal: by priority, then as written."""

    def __init__(self, name: str, options: TrunkOptions, place: int) -> None:
        self.name = name
        self.vendor = options.vendor
        self.place = place
        self.weight = options.weight
        self.share = (name, options.weight)
        self.max_calls = options.max_calls
        self.max_calls_per_s = options.max_calls_per_s
        self.min_samples = options.min_samples
        self.limited = options.max_calls is not None or options.max_calls_per_s is not None
        self._picky = bool(options.countries or options.except_countries or options.carriers or options.except_carriers)
        self._hours = Hours(options.windows) if options.windows else None
        self.choosy = self._picky or self._hours is not None
        self._countries = options.countries
        self._except_countries = options.except_countries
        self._carriers = options.carriers
        self._except_carriers = options.except_carriers
        self._form = options.number
        self._lrn = options.lrn
        self._plain = options.number is NumberForm.E164 and options.lrn is LrnUse.NO
        before, _, after = options.dial.partition("{number}")
        self._before = before.replace("{prefix}", options.tech_prefix)
        self._after = after.replace("{prefix}", options.tech_prefix)

    def refusal(self, country: str | None, to: Destination, now: float) -> str:
        """Why it does not take this call, empty when it does. What is not known is in no list, of either kind."""
        if self._picky:
            if (self._countries is not None and country not in self._countries) or country in self._except_countries:
                return DENIED_COUNTRY
            if (self._carriers is not None and not _is_one_of(self._carriers, to)) or _is_one_of(
                self._except_carriers, to
            ):
                return DENIED_CARRIER
        return OUT_OF_HOURS if self._hours is not None and not self._hours.open(now) else ""

    def dial(self, number: Number, dialled: str, to: Destination, *, looked_up: bool) -> str:
        """The number is never altered by who serves it: a routing number goes beside it, to a trunk that asks."""
        if self._plain:
            return f"{self._before}{to.digits}{self._after}"
        told = f"{self._before}{self._number(number, dialled)}{self._after}"
        return told if self._lrn is LrnUse.NO else told.replace("{lrn}", self._routing_number(to, looked_up=looked_up))

    def _number(self, number: Number, dialled: str) -> str:
        if self._form is NumberForm.PLUS:
            return number.e164
        if self._form is NumberForm.NATIONAL:
            return as_country_writes(number.e164)
        if self._form is NumberForm.AS_DIALLED and DIALLED.fullmatch(dialled):
            return dialled
        return number.e164[1:]

    def _routing_number(self, to: Destination, *, looked_up: bool) -> str:
        if to.lrn:
            return to.lrn
        return "npdi" if looked_up and self._lrn is LrnUse.NPDI else ""


def _is_one_of(carriers: frozenset[str], to: Destination) -> bool:
    return to.mccmnc in carriers or not carriers.isdisjoint(to.groups)


@lru_cache(maxsize=8192)
def as_country_writes(e164: str) -> str:
    """`+447400123456` -> `07400123456`; digits without plus where the numbering plan cannot tell."""
    try:
        parsed = phonenumbers.parse(e164)
    except NumberParseException:
        return e164[1:]
    return re.sub("[^0-9]", "", phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL))


def ready(options: Mapping[str, TrunkOptions]) -> tuple[Trunk, ...]:
    """In the order in which equals are preferred."""
    ordered = sorted(options.items(), key=lambda item: item[1].priority)
    return tuple(Trunk(name, trunk, place) for place, (name, trunk) in enumerate(ordered))
