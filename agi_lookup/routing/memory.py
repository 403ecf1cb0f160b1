"""What calls have told about trunks, and which calls are on them. It outlives reloads. Pure; `now` is Unix seconds."""

from __future__ import annotations

from typing import Any, Final

from agi_lookup.domain.model import CallResult
from agi_lookup.routing.capacity import Calls, Course, Ended
from agi_lookup.routing.durations import Durations
from agi_lookup.routing.options import RoutingOptions, StickyOptions
from agi_lookup.routing.quality import Quality
from agi_lookup.routing.signs import Sign
from agi_lookup.routing.strategies import Sticky, Wheels
from agi_lookup.routing.suspension import Suspensions
from agi_lookup.routing.trunks import Trunk

SUSPENDED: Final = "suspended"


class Memory:
    def __init__(self, options: RoutingOptions) -> None:
        self.quality = Quality(options.quality)
        self.suspensions = Suspensions(options.quality.suspend)
        self.calls = Calls(options.max_call_s)
        self.durations = Durations()
        self.wheels = Wheels()
        self.sticky: Sticky | None = None
        self._sticky: StickyOptions | None = None
        self.adopt(options)

    def adopt(self, options: RoutingOptions) -> None:
        """A reload: what is known stays, and is judged by these options from now on."""
        self.quality.options = options.quality
        self.quality.min_samples = {n: trunk.min_samples for n, trunk in options.trunks.items() if trunk.min_samples}
        self.suspensions.options = options.quality.suspend
        self.calls.max_call_s = options.max_call_s
        self._ner_below = options.quality.suspend.ner_below
        self._learns_durations = options.learn_durations
        if options.sticky != self._sticky:
            self._sticky = options.sticky
            self.sticky = Sticky(options.sticky.for_s, options.sticky.max_remembered) if options.sticky else None

    def refusal(self, trunk: Trunk, now: float) -> str:
        """Why it takes no call now, empty when it does."""
        if trunk.limited and (refusal := self.calls.refusal(trunk, now)):
            return refusal
        return SUSPENDED if self.suspensions and self.suspensions.holds(trunk.name, now) else ""

    def started(self, channel: str, course: Course, now: float) -> None:
        """A call was given routes."""
        self.calls.start(channel, course, now)
        if self.suspensions:
            for trunk in course.trunks:
                self.suspensions.offered(trunk.name, now)
        if self.sticky is not None and course.sticky:
            self.sticky.started(course.sticky, course.trunks[0].name, now)

    def ended(self, channel: str, result: CallResult, now: float) -> Ended | None:
        """Learn from a result. None, and nothing is learned, where it belongs to no call: so one that comes twice counts once."""
        ended = self.calls.ended(channel, result, now)
        if ended is None:
            return None
        sign = self.quality.observe(result, ended.course.key, now)
        country = ended.course.country
        if self._learns_durations and country and sign is Sign.ANSWERED and result.billsec:
            self.durations.observe(country, result.billsec)
        if sign is Sign.FAILED and self.sticky is not None:
            self.sticky.failed(ended.course.sticky, result.trunk)
        self._judge(result.trunk, sign, ended.started_at, now)
        return ended

    def _judge(self, trunk: str, sign: Sign, started_at: float, now: float) -> None:
        if self.suspensions.ended(trunk, sign, started_at, now):
            self.quality.forget(trunk)
        elif sign is Sign.FAILED and self.quality.fails(trunk, self._ner_below, now):
            self.suspensions.suspend(trunk, now)

    def forget(self, number: str) -> None:
        self.calls.forget(number)
        if self.sticky is not None:
            self.sticky.forget(number)

    def snapshot(self) -> dict[str, Any]:
        """Plain data of what was learned; calls under way are not in it."""
        return {"quality": self.quality.snapshot(), "durations": self.durations.snapshot()}

    def restore(self, data: Any) -> None:
        """Raises `ValueError` for what is no snapshot."""
        match data:
            case {"quality": quality, "durations": durations}:
                self.quality.restore(quality)
                self.durations.restore(durations)
            case _:
                raise ValueError("no snapshot of routing: quality and durations are not in it")
