"""Hedging: when a source takes longer than it mostly does, a second one is asked beside it, and the first good answer wins.

It costs a second lookup to spare a call the slowest tenth of the answers, so it is off by default and paid from a budget of its own
(`Payer` "PROFILE/hedge"). Dean and Barroso, "The Tail at Scale", CACM 2013.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

MIN_SAMPLES: Final = 20
SAMPLES: Final = 200
BUDGET_SUFFIX: Final = "/hedge"
"""A profile's hedges are booked under its name and this."""


class HedgeOptions(BaseModel):
    """Of one profile."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after_ms: int | None = Field(
        default=None, ge=1, le=10_000, description="default: what 95 % of the source's last 200 answers took"
    )
    max_share: float = Field(default=0.1, gt=0, le=0.5, description="part of the lookups that may be hedged")


class Hedger:
    """When to hedge, by what each source took. Seconds."""

    def __init__(self, options: HedgeOptions) -> None:
        self._after_s = None if options.after_ms is None else options.after_ms / 1000
        self._max_share = options.max_share
        self._took: dict[str, deque[float]] = {}
        self._allowance = 1.0

    def took(self, source: str, seconds: float) -> None:
        """A lookup that was answered; each earns a part of a hedge."""
        self._took.setdefault(source, deque(maxlen=SAMPLES)).append(seconds)
        self._allowance = min(10.0, self._allowance + self._max_share)

    def after_s(self, source: str) -> float | None:
        """How long to wait for this source alone; None: as long as it takes."""
        if self._allowance < 1:
            return None
        if self._after_s is not None:
            return self._after_s
        took = sorted(self._took.get(source, ()))
        return took[int(0.95 * len(took))] if len(took) >= MIN_SAMPLES else None

    def hedged(self) -> None:
        self._allowance -= 1
