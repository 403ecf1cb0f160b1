"""The columns that decks and books have in common: distinct tariffs, and keys as numbers that sort as the keys do."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Self, TypeAlias

from agi_lookup.routing.column_file import DeckError
from agi_lookup.routing.rates import NANO, Kind, Tariff

Column: TypeAlias = "array[Any] | memoryview[Any]"

NO_TARIFF: Final = 0
"""The number of no tariff: the vendor takes no such calls. The others follow from 1, in the order of their table."""
PREFIX_DIGITS: Final = 15
"""ITU-T E.164, section 6."""
LEADING: Final = frozenset({Kind.PREFIX, Kind.LRN})
"""Kinds whose keys are leading digits; of the others the whole key counts."""

MAX_AMOUNT: Final = 10**9 * NANO
MAX_INCREMENT_S: Final = 86_400

KIND_SHIFT: Final = 60
LENGTH_BITS: Final = 4
LENGTH_MASK: Final = (1 << LENGTH_BITS) - 1
VALUE_MASK: Final = (1 << KIND_SHIFT) - 1
SPANS: Final[tuple[int, ...]] = tuple(
    10 ** (PREFIX_DIGITS - length) << LENGTH_BITS for length in range(PREFIX_DIGITS + 1)
)
"""By a prefix's length: how many codes there are for what begins with it."""


def leading_code(kind: Kind, digits: str) -> int:
    """Sorts as the digits do as text: a prefix comes before all that begin with it. 64 bits. `digits`: 1 to 15 of them."""
    length = len(digits)
    return kind << KIND_SHIFT | int(digits) * SPANS[length] | length


def leading_digits(code: int) -> str:
    value = (code & VALUE_MASK) >> LENGTH_BITS
    return str(value).zfill(PREFIX_DIGITS)[: code & LENGTH_MASK]


class Billing(NamedTuple):
    """A tariff but for its rate: many have it in common."""

    currency: str
    connect: int
    first_s: int
    next_s: int


NOT_TAKEN: Final = Billing("", 0, 1, 1)
"""Stands where there is no tariff, at place 0 of every table."""


class Tariffs:
    """Distinct tariffs by the numbers that a deck's rows have, as columns: the rate, and the place of the rest in `billings`."""

    def __init__(self, rate: Column, billing: Column, billings: Sequence[Billing]) -> None:
        self.rate, self.billing, self.billings = rate, billing, billings

    @classmethod
    def of(cls, tariffs: Iterable[Tariff]) -> Self:
        """Numbered from 1. Raises `DeckError`."""
        rate, billing, places = array("q", [0]), array("I", [0]), {NOT_TAKEN: 0}
        for tariff in tariffs:
            _check(tariff)
            rate.append(tariff.rate)
            billing.append(places.setdefault(billing_of(tariff), len(places)))
        return cls(rate, billing, tuple(places))

    def __len__(self) -> int:
        """Not counting `NO_TARIFF`."""
        return len(self.rate) - 1

    def __getitem__(self, number: int) -> Tariff | None:
        return tariff_of(self.rate[number], self.billings[self.billing[number]]) if number != NO_TARIFF else None


def billing_of(tariff: Tariff) -> Billing:
    return Billing(tariff.currency, tariff.connect, tariff.first_s, tariff.next_s)


def tariff_of(rate: int, billing: Billing) -> Tariff:
    return Tariff(billing.currency, rate, billing.connect, billing.first_s, billing.next_s)


def _check(tariff: Tariff) -> None:
    if not tariff.currency:
        raise DeckError(f"{tariff}: it has no currency: mend it in the deck")
    if not 0 <= min(tariff.rate, tariff.connect) <= max(tariff.rate, tariff.connect) <= MAX_AMOUNT:
        raise DeckError(f"{tariff}: an amount is below 0 or above {MAX_AMOUNT} nano-units: mend it in the deck")
    if not 1 <= min(tariff.first_s, tariff.next_s) <= max(tariff.first_s, tariff.next_s) <= MAX_INCREMENT_S:
        raise DeckError(f"{tariff}: increments must be 1 to {MAX_INCREMENT_S} seconds: mend them in the deck")
