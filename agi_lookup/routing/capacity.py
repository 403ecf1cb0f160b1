"""Calls that were given routes: which trunk each is on, as far as results tell. Pure; `now` is Unix seconds.

A call holds a place on its first trunk from when it was given its routes. A result gives the place back; where the dialplan, as
shipped, then tries the next trunk, it holds one there, but not for long: the site may have changed what is tried, or the caller may
have left, and then no result ever tells. For the same reason the results of later trunks are welcome whatever was expected. A
result that never comes gives the first place back after `max_call_s`, so no place is lost for ever.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from agi_lookup.domain.model import CallResult
from agi_lookup.routing.signs import ENDS_THE_CALL, goes_on
from agi_lookup.routing.trunks import Trunk

MAX_CALLS: Final = 100_000
"""Calls remembered in each state; beyond it the oldest is taken to be over."""
NEXT_HELD_S: Final = 60.0
"""As long as the dialplan lets the next trunk ring. After that the call was answered there or never went there, which look the same
from here: a call too few on a trunk costs a refusal by its carrier, a trunk that seems full costs every call its route."""
BEHIND_S: Final = 5.0
"""A start that is so much older than the newest one waited for something; more, and the clock was set back."""

FULL: Final = "full"
TOO_FAST: Final = "too_fast"


class Course(NamedTuple):
    """What a call was given, and what its results are to be learned under."""

    trunks: tuple[Trunk, ...]
    key: str  # `destination.quality_key`
    country: str
    sticky: str  # number or caller, empty: not sticky

    def __repr__(self) -> str:
        return f"Course({[trunk.name for trunk in self.trunks]}, {self.key})"


class Ended(NamedTuple):
    """A result and the call that it belongs to; `started_at` is when the call went to this trunk."""

    course: Course
    started_at: float


class _Call:
    __slots__ = ("course", "place", "started_at")

    def __init__(self, course: Course, now: float) -> None:
        self.course = course
        self.place = 0  # of the trunk that it is on, or would be
        self.started_at = now


class Calls:
    """`max_call_s` may be replaced."""

    def __init__(self, max_call_s: float, max_calls: int = MAX_CALLS) -> None:
        self.max_call_s = max_call_s
        self._max_calls = max_calls
        self._first: OrderedDict[str, _Call] = OrderedDict()  # on their first trunk; the oldest first, here and below
        self._next: OrderedDict[str, _Call] = OrderedDict()  # failed, and taken to be on the next one
        self._over: OrderedDict[str, _Call] = OrderedDict()  # failed, and taken to be over
        self._on: dict[str, int] = {}  # how many are on a trunk
        self._starts: dict[str, deque[float]] = {}

    def on(self, trunk: str, now: float) -> int:
        self._let_go(now)
        return self._on.get(trunk, 0)

    def refusal(self, trunk: Trunk, now: float) -> str:
        """Why no more calls may go there now; empty when one may."""
        if trunk.max_calls is not None and self._is_full(trunk.name, trunk.max_calls, now):
            return FULL
        return TOO_FAST if trunk.max_calls_per_s is not None and self._too_fast(trunk, now) else ""

    def start(self, channel: str, course: Course, now: float) -> None:
        """A call was given these trunks, at least one. A channel that asks again has given up what it was given before."""
        self._let_go(now)
        self._forget(channel)
        self._hold(self._first, channel, _Call(course, now))

    def ended(self, channel: str, result: CallResult, now: float) -> Ended | None:
        """None for a call that is not known (any more), a trunk that it was not given, or a result that came before."""
        call = self._first.get(channel) or self._next.get(channel) or self._over.get(channel)
        if call is None:
            return None
        names = [trunk.name for trunk in call.course.trunks]
        if result.trunk not in names[call.place :]:
            return None
        ended = Ended(call.course, call.started_at)
        self._forget(channel)
        call.place = names.index(result.trunk) + 1
        call.started_at = now
        if call.place < len(names) and result.dialstatus not in ENDS_THE_CALL:
            if goes_on(result):
                self._hold(self._next, channel, call)
            else:
                self._keep(self._over, channel, call)
        return ended

    def forget(self, who: str) -> None:
        """Calls that are held to their trunk by this number or caller no longer are. Looks at all."""
        for calls in (self._first, self._next, self._over):
            for call in calls.values():
                if call.course.sticky == who:
                    call.course = call.course._replace(sticky="")

    def _is_full(self, trunk: str, max_calls: int, now: float) -> bool:
        """Who is still on is only worked out where it matters."""
        return self._on.get(trunk, 0) >= max_calls and self.on(trunk, now) >= max_calls

    def _hold(self, calls: OrderedDict[str, _Call], channel: str, call: _Call) -> None:
        trunk = call.course.trunks[call.place]
        self._on[trunk.name] = self._on.get(trunk.name, 0) + 1
        if trunk.max_calls_per_s is not None:
            recent = self._recent(trunk, trunk.max_calls_per_s)
            recent.append(_in_order(recent, call.started_at))
        self._keep(calls, channel, call)

    def _keep(self, calls: OrderedDict[str, _Call], channel: str, call: _Call) -> None:
        calls[channel] = call
        if len(calls) > self._max_calls:
            self._forget(next(iter(calls)))

    def _forget(self, channel: str) -> None:
        call = self._first.pop(channel, None) or self._next.pop(channel, None)
        if call is not None:
            self._release(call)
        self._over.pop(channel, None)

    def _release(self, call: _Call) -> None:
        self._on[call.course.trunks[call.place].name] -= 1

    def _let_go(self, now: float) -> None:
        for _, call in _due(self._first, self.max_call_s, now):
            self._release(call)
        for channel, call in _due(self._next, NEXT_HELD_S, now):
            self._release(call)
            self._keep(self._over, channel, call)
        for _ in _due(self._over, self.max_call_s, now):
            pass

    def _too_fast(self, trunk: Trunk, now: float) -> bool:
        """Did as many calls as may go in a second go within the last one? Of a clock that was set back nothing follows."""
        per_s = trunk.max_calls_per_s or 0
        recent = self._starts.get(trunk.name)
        if recent is None or len(recent) < per_s:
            return False
        recent = self._recent(trunk, per_s)
        return 0 <= _in_order(recent, now) - recent[0] < 1

    def _recent(self, trunk: Trunk, per_s: int) -> deque[float]:
        recent = self._starts.get(trunk.name)
        if recent is None or recent.maxlen != per_s:
            recent = self._starts[trunk.name] = deque(recent or (), maxlen=per_s)
        return recent


def _due(calls: OrderedDict[str, _Call], after_s: float, now: float) -> Iterator[tuple[str, _Call]]:
    """Those that started so long ago; or well after now, since nobody knows when that was: the clock was set back."""
    while calls and not now - after_s < next(iter(calls.values())).started_at < now + BEHIND_S:
        yield calls.popitem(last=False)


def _in_order(recent: deque[float], now: float) -> float:
    """Calls do not start in the order of their `now`: one that is a little behind starts no earlier than the newest."""
    return recent[-1] if recent and now < recent[-1] < now + BEHIND_S else now
