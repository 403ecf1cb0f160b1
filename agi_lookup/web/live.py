"""What happens now, for plots: counters that only grow, so that rates are their differences; and the last quarter of an hour."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

import msgspec

from agi_lookup import __version__
from agi_lookup.web.counts import Counts, Spread
from agi_lookup.web.figures import Alarm, CallCounts, Histogram, Live, Moment
from agi_lookup.web.serving import Serving

EVERY_S: Final = 5.0
KEPT: Final = 180
"""A quarter of an hour; some 300 KB."""
COUNTED: Final = (
    "calls", "calls_late", "call_seconds", "would_block", "blocked", "sessions_refused", "source_requests", "bugs",
    "log_lines_dropped", "loop_lag_seconds",
)  # fmt: skip


class Pulse:
    """Takes a snapshot every five seconds while `run` runs."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._started = round(time.time(), 3)
        self._history: deque[Moment] = deque(maxlen=KEPT)

    async def run(self) -> None:
        while True:
            try:
                self._history.append(self.now())
            except Exception:  # noqa: BLE001 - counted; a plot with a gap is no reason to end
                self._serving.core.metrics.bug("pulse")
            await asyncio.sleep(EVERY_S)

    def live(self, *, history: bool) -> Live:
        alarms = sorted(self._serving.core.metrics.alarms.items(), key=lambda one: one[1], reverse=True)
        return Live(
            **msgspec.structs.asdict(self.now()),
            version=__version__,
            alarms=[Alarm(code=code, at=round(at, 3), detail=detail) for code, (at, detail) in alarms],
            history=list(self._history) if history else msgspec.UNSET,
        )

    def now(self) -> Moment:
        serving = self._serving
        counts = Counts(serving.core.metrics.registry, *COUNTED)
        calls = counts.by("calls", "status")
        total = sum(calls.values())
        return Moment(
            now=round(time.time(), 3),
            started=self._started,
            ready=serving.ready,
            calls=CallCounts(
                total=total,
                in_time=total - counts.total("calls_late"),
                by_status=calls,
                by_cache=counts.by("calls", "cache"),
                by_action=counts.by("calls", "action"),
            ),
            call_seconds=_histogram(counts.spread("call_seconds"), counts.sum("call_seconds_sum")),
            sessions=serving.server.sessions if serving.server else 0,
            lookups=len(serving.core.flights),
            loop_lag_s=round(counts.sum("loop_lag_seconds"), 6),
            would_block=counts.total("would_block"),
            blocked=counts.total("blocked"),
            refused=counts.by("sessions_refused", "why"),
            sources={
                name: counts.by("source_requests", "result", provider=name)
                for name in counts.by("source_requests", "provider")
            },
            bugs=counts.total("bugs"),
            log_dropped=counts.total("log_lines_dropped"),
        )


def _histogram(spread: Spread, seconds: float) -> Histogram:
    """Without the bucket that has no bound: `total` is that."""
    return Histogram(
        le=list(spread.bounds[:-1]), count=list(spread.upto[:-1]), total=spread.total, sum=round(seconds, 6)
    )
