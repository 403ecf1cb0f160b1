"""What a simulated number does, by its last two digits: one scheme for all simulated vendors, each says it in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class Scenario(IntEnum):
    REACHABLE = 0
    PORTED = 1
    ABSENT = 2
    UNKNOWN_SUBSCRIBER = 3
    NO_TELESERVICE = 4
    NO_COVERAGE = 5
    INCONCLUSIVE = 6
    PARTNER_FAILURE = 7
    NETWORK_ONLY = 8
    LANDLINE = 9
    VOIP = 10
    TOLL_FREE = 11
    ROAMING = 12
    CALL_BARRED = 13
    INVALID = 14
    RATE_LIMITED = 15
    SLOW = 20
    NEVER_ANSWERS = 21
    CUT_OFF = 22
    HTTP_500 = 23
    HTTP_429 = 24
    NULLS = 25
    TYPES_FLIPPED = 26
    UNKNOWN_KEYS = 27
    OTHER_NUMBER = 28
    DUPLICATE = 29

    @classmethod
    def of(cls, number: str) -> Scenario:
        """`number` is digits without `+`. Endings that stand for nothing are ordinary reachable numbers."""
        if not (number.isascii() and number.isdigit() and 7 <= len(number) <= 15):
            return cls.INVALID
        return BY_ENDING.get(int(number[-2:]), cls.REACHABLE)


BY_ENDING: Final[Mapping[int, Scenario]] = {scenario.value: scenario for scenario in Scenario}
