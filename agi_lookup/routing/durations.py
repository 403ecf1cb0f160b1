"""How long calls last, learned by destination from answered calls. Pure and bounded.

A call's length decides which rate is cheapest: connect fees and first increments weigh on short calls. It needs no clock: counts
are halved when they are many.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError

from agi_lookup.routing.cost import Spread

STEPS_S: Final = (6, 12, 24, 45, 75, 120, 200, 360, 600, 1200, 2400, 7200)
"""Each stands for the calls that are longer than the step before and not longer than itself; the last for all longer ones too."""
ENOUGH: Final = 200
MANY: Final = 4000
"""Then all counts are halved, so that what is new weighs more than what is old."""
MAX_DESTINATIONS: Final = 1000

_COUNTS: Final = TypeAdapter(
    list[
        tuple[
            str,
            Annotated[
                list[Annotated[int, Field(ge=0, le=MANY)]], Field(min_length=len(STEPS_S), max_length=len(STEPS_S))
            ],
        ]
    ]
)


class Durations:
    def __init__(self) -> None:
        self._counts: OrderedDict[str, list[int]] = OrderedDict()
        self._spreads: dict[str, Spread] = {}

    def observe(self, destination: str, billsec: int) -> None:
        """An answered call of so many seconds. A spread changes with every hundredth only: costs taken over it can be kept."""
        counts = self._counts.pop(destination, None) or [0] * len(STEPS_S)
        counts[min(bisect_left(STEPS_S, billsec), len(STEPS_S) - 1)] += 1
        total = sum(counts)
        if total >= ENOUGH and (total % 100 == 0 or destination not in self._spreads):
            self._spreads[destination] = spread(counts)
        if total >= MANY:
            counts = [count // 2 for count in counts]
        self._counts[destination] = counts
        if len(self._counts) > MAX_DESTINATIONS:
            forgotten, _ = self._counts.popitem(last=False)
            self._spreads.pop(forgotten, None)

    def of(self, destination: str) -> Spread | None:
        """None while fewer than `ENOUGH` calls are known. The same object until it changes."""
        return self._spreads.get(destination)

    def snapshot(self) -> list[tuple[str, list[int]]]:
        return [(destination, list(counts)) for destination, counts in self._counts.items()]

    def restore(self, rows: Any) -> None:
        """Take the place of what is known. Raises `ValueError` for what is no snapshot, and then changes nothing."""
        try:
            checked = _COUNTS.validate_python(rows)[-MAX_DESTINATIONS:]
        except ValidationError as error:
            raise ValueError(f"no snapshot of call durations: {error.error_count()} rows do not fit") from None
        self._counts = OrderedDict(checked)
        self._spreads = {name: spread(counts) for name, counts in checked if sum(counts) >= ENOUGH}


def spread(counts: list[int]) -> Spread:
    """Of each step that has calls, its middle (in the last, its end) and its share."""
    total = sum(counts)
    befores = (0, *STEPS_S)
    return tuple(
        ((before + step + 1) // 2, count / total)
        for before, step, count in zip(befores, STEPS_S, counts, strict=False)
        if count
    )
