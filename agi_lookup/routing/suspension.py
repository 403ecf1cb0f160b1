"""Trunks that rest because their network fails: how long, and how they come back. Pure; `now` is Unix seconds.

A rest ends with a probe: one live call goes there in the trunk's ordinary place, its other routes behind it. What it brings
decides; calls from before the rest prove nothing about now, however late their results come.
"""

from __future__ import annotations

from agi_lookup.routing.options import SuspendOptions
from agi_lookup.routing.signs import Sign


class _Rest:
    __slots__ = ("length_s", "probe_at", "since")

    def __init__(self, since: float, length_s: float) -> None:
        self.since = since
        self.length_s = length_s
        self.probe_at = since + length_s


class Suspensions:
    """`options` may be replaced: a rest that began goes on as it is."""

    def __init__(self, options: SuspendOptions) -> None:
        self.options = options
        self._resting: dict[str, _Rest] = {}

    def __bool__(self) -> bool:
        return bool(self._resting)

    def holds(self, trunk: str, now: float) -> bool:
        """Is it out of use? Not for the one call that may be its probe."""
        rest = self._resting.get(trunk)
        return rest is not None and now < rest.probe_at

    def resting(self, trunk: str) -> bool:
        return trunk in self._resting

    def suspend(self, trunk: str, now: float) -> None:
        self._resting.setdefault(trunk, _Rest(now, self.options.first_s))

    def offered(self, trunk: str, now: float) -> None:
        """A call was given it as a route. One probe at a time: until it is heard of, at most a rest's length, no other goes."""
        rest = self._resting.get(trunk)
        if rest is not None and now >= rest.probe_at:
            rest.probe_at = now + rest.length_s

    def ended(self, trunk: str, sign: Sign, started_at: float, now: float) -> bool:
        """A call that went to it at `started_at`. Is it well again?"""
        rest = self._resting.get(trunk)
        if rest is None or started_at < rest.since:
            return False
        if sign in (Sign.ANSWERED, Sign.DELIVERED):
            del self._resting[trunk]
            return True
        if sign is Sign.FAILED and started_at >= rest.since + rest.length_s:
            rest.since = now
            rest.length_s = min(2 * rest.length_s, max(self.options.first_s, self.options.max_s))
            rest.probe_at = now + rest.length_s
        return False
