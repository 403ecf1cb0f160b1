"""What is counted. An own registry, bounded label sets, never a number in a label."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from agi_lookup import __version__
from agi_lookup.domain.model import Decision, LookupAnswer

CALL_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.1, 1.5, 3.0)
SOURCE_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """The one counter of everything. `on_alarm(code, detail)` is told of what an operator must act on."""

    def __init__(self, on_alarm: Callable[[str, str], None] = lambda _code, _detail: None) -> None:
        self.registry = CollectorRegistry()
        self._on_alarm = on_alarm

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"agi_lookup_{name}", text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"agi_lookup_{name}", text, labels, registry=self.registry)

        self._calls = counter("calls", "Calls answered", "status", "action", "cache")
        self._call_seconds = Histogram(
            "agi_lookup_call_seconds", "From the environment to the answer", ["cache"],
            buckets=CALL_BUCKETS_S, registry=self.registry,
        )  # fmt: skip
        self._would_block = counter("would_block", "Calls that a shadow rule would have blocked", "rule")
        self._blocked = counter("blocked", "Calls blocked", "rule")
        self._refused = counter("sessions_refused", "FastAGI sessions ended without an answer", "why")
        self._bugs = counter("bugs", "Unexpected exceptions, each answered by letting the call go on", "where")
        self._events = counter("events", "Things worth a look, by stable word", "event")
        self._source = counter("source_requests", "Lookups by source and result", "provider", "result")
        self._source_seconds = Histogram(
            "agi_lookup_source_seconds", "How long a source took", ["provider"],
            buckets=SOURCE_BUCKETS_S, registry=self.registry,
        )  # fmt: skip
        self._cost = counter("source_cost", "Money or credits spent, as the sources state it", "provider", "currency")
        self._alarms = gauge("alarm_timestamp_seconds", "When an alarm was last raised, Unix seconds", "code")
        self.sessions = gauge("sessions", "FastAGI sessions open")
        self.flights = gauge("lookups_under_way", "Lookups under way")
        self.loop_lag = gauge("loop_lag_seconds", "How late the event loop ran its last tick")
        self.log_dropped = counter("log_lines_dropped", "Log lines dropped because the log's reader is slow")
        gauge("info", "The running version", "version").labels(__version__).set(1)
        self._calls_cache: dict[tuple[str, str, str], Counter] = {}
        self._seconds_cache: dict[str, Histogram] = {}
        self._sources_cache: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def call(self, decision: Decision, seconds: float) -> None:
        cache = decision.outcome.cache.value
        key = (decision.status.value, decision.verdict.action.value, cache)
        child = self._calls_cache.get(key)
        if child is None:
            child = self._calls_cache[key] = self._calls.labels(*key)
            self._seconds_cache.setdefault(cache, self._call_seconds.labels(cache))
        child.inc()
        self._seconds_cache[cache].observe(seconds)
        self._rule(decision)

    def _rule(self, decision: Decision) -> None:
        if decision.verdict.shadow:
            self._would_block.labels(decision.verdict.rule).inc()
        elif decision.verdict.blocks:
            self._blocked.labels(decision.verdict.rule).inc()

    def refused(self, why: str) -> None:
        self._refused.labels(why).inc()

    def bug(self, where: str) -> None:
        self._bugs.labels(where).inc()

    def event(self, word: str) -> None:
        self._events.labels(word).inc()

    def source_asked(self, provider: str, result: str, seconds: float, answer: LookupAnswer | None) -> None:
        key = (provider, result)
        if key not in self._sources_cache:
            self._sources_cache[key] = (self._source.labels(provider, result), self._source_seconds.labels(provider))
        requests, lengths = self._sources_cache[key]
        requests.inc()
        lengths.observe(seconds)
        if answer is not None and answer.cost:
            self._cost.labels(provider, answer.currency or "").inc(float(answer.cost))

    def alarm(self, code: str, detail: str) -> None:
        """Something that does not stop calls and needs an operator. `detail` holds no number and no secret."""
        self._alarms.labels(code).set(time.time())
        self._on_alarm(code, detail)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
