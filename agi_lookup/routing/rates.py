"""What a vendor charges for which destinations: the words that import, match and cost share.

Amounts are whole nano-units (10**-9) of a currency, so that sums are exact and fast, and `Decimal` at the edges. Times are Unix
seconds.
"""

from __future__ import annotations

from enum import IntEnum
from math import inf
from typing import Final, NamedTuple

NANO: Final = 10**9
ALWAYS: Final = -inf
FOR_EVER: Final = inf


class Kind(IntEnum):
    """What a rate's key names, the least specific first: a later one wins over all earlier ones at the same vendor.

    A prefix says where a number was issued; the others say who serves it now, so a ported number is charged by them where a vendor
    has such rates. Among rates of one kind the longest key wins.
    """

    PREFIX = 0  # leading digits of the E.164 number, without `+`
    GROUP = 1  # a carrier group of the config: "vodafone-uk"
    MCCMNC = 2  # "23415"
    OCN = 3  # NANP operating company number: "7421"
    LRN = 4  # leading digits of the NANP location routing number, with the 1: "1212555"


class Tariff(NamedTuple):
    """The price of a call. `first_s` and `next_s` are the billing increments: (60, 60), (30, 6), (1, 1)."""

    currency: str
    rate: int  # nano-units a minute
    connect: int = 0  # nano-units a call
    first_s: int = 1
    next_s: int = 1


class Rate(NamedTuple):
    """One row of a deck. Without a tariff the vendor does not take calls to this destination."""

    kind: Kind
    key: str
    tariff: Tariff | None
    start: float = ALWAYS
    end: float = FOR_EVER  # exclusive
    line: int = 0  # of the file that it was read from


class Destination(NamedTuple):
    """Where a call goes, as far as it is known. `digits` are E.164 without `+`."""

    digits: str
    mccmnc: str | None = None
    groups: frozenset[str] = frozenset()
    ocn: str | None = None
    lrn: str | None = None
