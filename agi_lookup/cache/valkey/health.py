"""What failures in a row add up to: one is a hiccup, two are an alarm and longer and longer pauses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agi_lookup.cache.base import Count

OK: Final = "ok"
FIRST_PAUSE_S: Final = 0.25
LAST_PAUSE_S: Final = 5.0


class Health:
    """Of one connection; `what` and `side` make the word that is counted.

    `state` is "ok" or why not, without numbers and secrets.
    """

    def __init__(self, side: str, *, tell: Callable[[str], None], count: Count, what: str = "valkey") -> None:
        self.state = OK
        self._side = side
        self._what = what
        self._tell = tell
        self._count = count
        self._failures = 0

    def worked(self) -> None:
        self.state = OK
        self._failures = 0

    def failed(self, why: str) -> None:
        self.state = why
        self._failures += 1
        self._count(f"{self._what}_{self._side}_failed")
        if self._failures > 1:
            self._tell(f"{self._side}s fail: {why}")

    @property
    def failing(self) -> bool:
        return self._failures > 0

    @property
    def pause_s(self) -> float:
        """How long to leave the server alone: after a hiccup not at all."""
        if self._failures < 2:
            return 0.0
        return float(min(FIRST_PAUSE_S * 2 ** min(self._failures - 2, 10), LAST_PAUSE_S))
