"""What is counted. An own registry, bounded label sets, never a number in a label."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from decimal import Decimal

from cachetools import TTLCache
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from agi_lookup import __version__
from agi_lookup.domain.model import Decision, LookupAnswer

CALL_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.1, 1.5, 3.0)
LAG_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
SOURCE_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

MAX_TOLD = 1000
TELL_EVERY_S = 300.0
CURRENCIES = frozenset({"EUR", "USD", "credits"})
"""That a source may be paid in. Whatever else a vendor says is no label."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # a third of the page, and of use to OpenMetrics only


class Metrics:
    """The one counter of everything. `on_alarm(code, detail)` is told of what an operator must act on."""

    def __init__(self, on_alarm: Callable[[str, str], None] = lambda _code, _detail: None) -> None:
        self.registry = CollectorRegistry()
        self._on_alarm = on_alarm
        self._telling = threading.Lock()
        self._told: TTLCache[tuple[str, str], bool] = TTLCache(MAX_TOLD, TELL_EVERY_S)
        self.alarms: dict[
            str, tuple[float, str]
        ] = {}  # by code: when it was last raised (Unix seconds), and its detail
        self.balances: dict[str, tuple[float, str, Decimal]] = {}  # by provider: when it was read, currency and amount

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"agi_lookup_{name}", text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"agi_lookup_{name}", text, labels, registry=self.registry)

        self._calls = counter("calls", "Calls answered", "status", "action", "cache")
        self._call_seconds = Histogram(
            "agi_lookup_call_seconds", "From the environment to the answer", ["cache"],
            buckets=CALL_BUCKETS_S, registry=self.registry,
        )  # fmt: skip
        self._late = counter("calls_late", "Calls answered more than 50 ms after their deadline, and so without facts")
        self._errors = counter("call_errors", "Calls answered in spite of an error, by its stable word", "error")
        self._would_block = counter("would_block", "Calls that a shadow rule would have blocked", "rule")
        self._blocked = counter("blocked", "Calls blocked", "rule")
        self._refused = counter("sessions_refused", "FastAGI sessions ended without an answer", "why")
        self._refused.labels("too_late")  # so that a share can be reckoned before the first one
        self._bugs = counter("bugs", "Unexpected exceptions, each answered by letting the call go on", "where")
        self._events = counter("events", "Things worth a look, by stable word", "event")
        self._source = counter("source_requests", "Lookups by source and result", "provider", "result")
        self._source_seconds = Histogram(
            "agi_lookup_source_seconds", "How long a source took", ["provider"],
            buckets=SOURCE_BUCKETS_S, registry=self.registry,
        )  # fmt: skip
        self._cost = counter("source_cost", "Money or credits spent, as the sources state it", "provider", "currency")
        self._spared = counter(
            "lookup_money_spared", "By lookups that were (in shadow: would be) not worth it", "provider"
        )
        self._balance = gauge("balance", "What the account held when it was last asked", "provider", "currency")
        self._alarms = gauge("alarm_timestamp_seconds", "When an alarm was last raised, Unix seconds", "code")
        self._loop_lag = gauge("loop_lag_seconds", "How late the event loop ran its last tick")
        self._loop_lags = Histogram(
            "agi_lookup_loop_delay_seconds", "How late the event loop ran each tick, twenty a second",
            buckets=LAG_BUCKETS_S, registry=self.registry,
        )  # fmt: skip
        self._reload_ok = gauge(
            "config_last_reload_successful", "0 when the last reload failed and the config before stayed"
        )
        self._reload_ok.set(1)
        self._config_at = gauge("config_timestamp_seconds", "When the config in force was taken over, Unix seconds")
        self._config_at.set(time.time())
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
        if error := decision.error or decision.outcome.error:
            self._errors.labels(error).inc()
        self._rule(decision)

    def late(self) -> None:
        """A call that was counted was answered after its deadline."""
        self._late.inc()

    def _rule(self, decision: Decision) -> None:
        if decision.verdict.shadow:
            self._would_block.labels(decision.verdict.rule).inc()
        elif decision.verdict.blocks:
            self._blocked.labels(decision.verdict.rule).inc()

    def tick(self, lag_s: float) -> None:
        """Of the event loop."""
        self._loop_lag.set(lag_s)
        self._loop_lags.observe(lag_s)

    def reloaded(self, *, ok: bool) -> None:
        """Not `ok`: the config before stays."""
        self.event("reloaded" if ok else "reload_failed")
        self._reload_ok.set(ok)
        if ok:
            self._config_at.set(time.time())

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
        if answer is not None and answer.cost and answer.cost.is_finite() and answer.cost > 0:
            currency = answer.currency if answer.currency in CURRENCIES else "other"
            self._cost.labels(provider, currency).inc(float(answer.cost))

    def spared(self, provider: str, amount: float) -> None:
        """In the currency that routes are compared in."""
        self._spared.labels(provider).inc(amount)

    def balance(self, provider: str, currency: str, amount: Decimal) -> None:
        self.balances[provider] = (time.time(), currency, amount)
        self._balance.labels(provider, currency if currency in CURRENCIES else "other").set(float(amount))

    def alarm(self, code: str, detail: str) -> None:
        """Something that does not stop calls and needs an operator. `detail` holds no number and no secret.

        The same is told once in five minutes while it lasts: a vendor that is out can fail with each probe.
        """
        now = time.time()
        self.alarms[code] = (now, detail)
        self._alarms.labels(code).set(now)
        with self._telling:  # any thread may raise one
            if (code, detail) in self._told:
                return
            self._told[code, detail] = True
        self._on_alarm(code, detail)

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
