"""What a rule may look at. What is not known is None or `Tri.UNKNOWN`, and a rule that needs it does not match."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from agi_lookup.domain.model import LookupOutcome, Number
from agi_lookup.policy.history import History

NOTHING_FOUND: Final = LookupOutcome()


@dataclass(frozen=True, slots=True)
class Price:
    """Of a minute over the best route."""

    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Facts:
    number: Number
    outcome: LookupOutcome = NOTHING_FOUND
    caller: str = ""  # who dials, by the channel; may be a number: shown nowhere
    now: float | None = None  # Unix seconds
    cost: Price | None = None
    history: History | None = None
