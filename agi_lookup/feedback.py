"""What results of calls teach: each is told to all who learn from it. No I/O: it happens between two routes of a call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agi_lookup.domain.model import CallResult
from agi_lookup.policy.governance import Governor
from agi_lookup.policy.history import NO_SUCH_NUMBER, Histories
from agi_lookup.routing.memory import Memory

RECHECKS_PER_HOUR: Final = 20
"""Of one trunk: a vendor that says "not our number" of everything makes nobody pay for looking everything up again."""


class Rechecks:
    """Who may have a number looked up again: each trunk some in an hour. Pure; `now` is Unix seconds."""

    def __init__(self) -> None:
        self._hour = 0
        self._had: dict[str, int] = {}

    def allows(self, trunk: str, now: float) -> bool:
        """Then it counts as done."""
        if int(now // 3600) != self._hour:
            self._hour = int(now // 3600)
            self._had.clear()
        had = self._had.get(trunk, 0)
        if had >= RECHECKS_PER_HOUR:
            return False
        self._had[trunk] = had + 1
        return True


def contradicts(result: CallResult) -> bool:
    """Did a carrier say that there is no such number, before anything rang? So it may be another network's by now."""
    return result.cause in NO_SUCH_NUMBER and not result.rang and not result.answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """`agi.result.Results`. `clock` is Unix seconds; `recheck(number)` has a number's network looked up again, behind calls."""

    memory: Memory
    histories: Histories
    governor: Governor
    rechecks: Rechecks
    recheck: Callable[[str], None]
    note: Callable[[CallResult, str], None]  # into the call log
    count: Callable[[str], None]
    clock: Callable[[], float]

    def report(self, result: CallResult, channel: str) -> None:
        now = self.clock()
        self.count(f"result_{result.dialstatus.lower()}")
        routed = self.memory.ended(channel, result, now) is not None
        self.histories.learn(result, now)
        self.governor.learn(result, now)
        self.note(result, channel)
        if routed and contradicts(result) and self.rechecks.allows(result.trunk, now):
            self.count("recheck")
            self.recheck(result.number)
