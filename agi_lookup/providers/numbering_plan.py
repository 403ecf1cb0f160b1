"""The offline numbering plan as a source: what a number says of itself, with nobody asked and nothing paid.

API: libphonenumber's metadata and carrier prefixes, as shipped with the phonenumbers package.
Quirk: the carrier is the one that the range was issued to. Where numbers can move it is stated as `orig_carrier` and never as
the current one, and `ported` stays unknown; only where they cannot is it both. Reachability is never stated.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar, Final

import phonenumbers
from phonenumbers import carrier

from agi_lookup.domain.model import Facet, Identity, LookupAnswer, Method, Number, NumberType, Tri
from agi_lookup.providers.base import PLAN, Lookup

_ISSUED_TO_CARRIERS: Final = frozenset({NumberType.MOBILE, NumberType.MOBILE_OR_LANDLINE, NumberType.PAGER})


class NumberingPlan:
    """A `Provider` that needs no account. Nothing to configure: it stands behind all others."""

    kind: ClassVar[str] = "numbering_plan"
    provides = frozenset({Facet.IDENTITY})
    currency: ClassVar[str] = ""

    def __init__(self, name: str = PLAN) -> None:
        self.name = name

    def lookup(self, numbers: Sequence[Number], now: float) -> Lookup:
        yield from ()
        return {number.e164: self.answer(number, now) for number in numbers}

    def answer(self, number: Number, now: float) -> LookupAnswer:
        """What the plan knows of a number; `now` is Unix seconds."""
        return LookupAnswer(number.e164, self.name, Method.PLAN, now, identity=identity(number), cost=Decimal(0))


def identity(number: Number) -> Identity:
    """Type, country and issuing carrier. Who serves the number now, and so whether it was ported, no plan can tell."""
    return Identity(orig_carrier=issuing_carrier(number), type=number.type, country=number.country)


def issuing_carrier(number: Number) -> str | None:
    """The English name of the carrier that the number's range was issued to."""
    if number.valid is not Tri.YES or number.type not in _ISSUED_TO_CARRIERS:
        return None
    return carrier.name_for_valid_number(phonenumbers.parse(number.e164), "en") or None
