"""What `/metrics` says beside what was counted: how things stand at the moment of the scrape.

What memory knows is read in the event loop; files and `/proc` are looked at, and all of it is written out, in a thread: a slow disk
or a long page holds up no call. Labels are names of the config and stable words.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agi_lookup.cache.sqlite import file
from agi_lookup.cache.sqlite.file import CACHE_FILE
from agi_lookup.calls.file import CALLS_FILE
from agi_lookup.lookup.ledger import OK
from agi_lookup.lookup.ledger_file import LEDGER_FILE
from agi_lookup.routing.book import open_book
from agi_lookup.web.serving import Serving

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
FILES: Final = {"cache": CACHE_FILE, "calls": CALLS_FILE, "ledger": LEDGER_FILE}
PREFIX: Final = "agi_lookup"


class Scrape:
    """Of one `Serving`."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        self._rates: tuple[Path, int] | None = None  # of which book, how many

    async def exposition(self) -> bytes:
        """In Prometheus's text format."""
        in_memory = list(self.in_memory(time.time()))
        return await asyncio.to_thread(self._page, in_memory)

    def registries(self, in_memory: Iterable[Metric]) -> tuple[CollectorRegistry, ...]:
        """All that is told. Reads the disk."""
        standing = CollectorRegistry()
        standing.register(_Read([*in_memory, *self._on_disk()]))
        return self._serving.core.metrics.registry, standing, self._process

    def _page(self, in_memory: list[Metric]) -> bytes:
        return b"".join(generate_latest(registry) for registry in self.registries(in_memory))

    def in_memory(self, now: float) -> Iterator[Metric]:
        core, server = self._serving.core, self._serving.server
        yield _gauge("ready", "1 from when calls are answered until the drain begins", float(self._serving.ready))
        yield _gauge("sessions", "FastAGI sessions open", server.sessions if server else 0)
        yield _gauge("sessions_limit", "FastAGI sessions that may be open", server.max_sessions if server else 0)
        yield _gauge("lookups_under_way", "Lookups under way: single flights", len(core.flights))
        yield _gauge(
            "lookups_limit", "Lookups that may be under way; above, calls are answered DEGRADED", core.flights.limit
        )
        yield _gauge("lookup_waiters", "Calls that wait for a lookup", core.flights.waiters())
        yield from self._cache()
        yield from self._sources()
        yield from self._money(now)
        yield from self._routing(now)
        yield from self._rules(now)

    def _cache(self) -> Iterator[Metric]:
        cache = self._serving.core.cache
        entries = GaugeMetricFamily(
            f"{PREFIX}_cache_numbers", "Numbers in a tier that knows without counting", labels=["tier"]
        )
        waiting = GaugeMetricFamily(
            f"{PREFIX}_cache_writes_waiting", "Changes that a tier has not written yet", labels=["tier"]
        )
        usable = GaugeMetricFamily(
            f"{PREFIX}_cache_tier_up", "0 while a tier is in trouble and passed by", labels=["tier"]
        )
        for tier, standing in cache.standing().items():
            if standing.numbers is not None:
                entries.add_metric([tier], standing.numbers)
            waiting.add_metric([tier], standing.waiting)
            usable.add_metric([tier], float(standing.state in ("ok", "idle")))
        reads = CounterMetricFamily(
            f"{PREFIX}_cache_reads", "Reads of what memory did not know, by tier and result", labels=["tier", "result"]
        )
        slow = [tier for tier, standing in cache.standing().items() if standing.numbers is None]
        for tier in slow:
            for result in ("hit", "miss", "failed"):
                reads.add_metric([tier, result], cache.reads[tier, result])
        yield from (entries, waiting, usable, reads)

    def _sources(self) -> Iterator[Metric]:
        def family(name: str, text: str, *more: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"{PREFIX}_source_{name}", text, labels=["provider", *more])

        up = family("up", "0 while a source is shut or paused: nobody is sent there")
        held = family("held", "1 with the word for what keeps everybody from a source", "why")
        under_way = family("requests_under_way", "Requests on their way to a source")
        limit = family("requests_limit", "Requests that may be on their way to a source at once")
        waiting = family("numbers_waiting", "Numbers that wait for their turn at a source")
        rate = family("requests_per_minute_limit", "Requests that a source may be sent in any minute")
        for name, link in self._serving.generation.links.items():
            health = link.health()
            up.add_metric([name], float(health.state == "ok"))
            if health.why:
                held.add_metric([name, health.why], 1)
            under_way.add_metric([name], health.under_way)
            limit.add_metric([name], health.max_concurrency)
            waiting.add_metric([name], health.waiting)
            if health.per_minute:
                rate.add_metric([name], health.per_minute)
        distrusted = family("distrusted", "1 for a source whose word blocks nobody in a country now", "country")
        for place in self._serving.core.governor.distrusted(time.time()):
            distrusted.add_metric(place.split(" ", 1), 1)
        yield from (up, held, under_way, limit, waiting, rate, distrusted)

    def _money(self, now: float) -> Iterator[Metric]:
        """Of each currency for itself."""
        core, paid = self._serving.core, self._paid()
        today = GaugeMetricFamily(
            f"{PREFIX}_spent_today", "Spent or reserved in this UTC day", labels=["provider", "currency"]
        )
        for name, currency in paid.items():
            today.add_metric([name, currency], float(core.purse.spent_today(name, now)))
        labels = ["of", "name", "currency", "seconds"]
        cap = GaugeMetricFamily(
            f"{PREFIX}_budget_cap", "What may be spent in so many seconds (86400: a UTC day)", labels=labels
        )
        spent = GaugeMetricFamily(f"{PREFIX}_budget_spent", "What of a cap is spent or reserved", labels=labels)
        for standing in core.purse.standing(now) if paid else ():
            where = [standing.scope, standing.name, standing.currency, str(standing.seconds)]
            cap.add_metric(where, float(standing.cap))
            spent.add_metric(where, float(standing.spent))
        yield from (today, cap, spent)
        instances = core.member.leases.instances if core.member else None
        yield _gauge("cluster_instances", "Instances of the cluster that are there, with this one", instances)
        yield _gauge("ledger_up", "0 while spending cannot be booked", float(core.purse.state == OK) if paid else None)

    def _paid(self) -> dict[str, str]:
        """Currencies by provider, as far as something is paid."""
        providers = self._serving.generation.providers.values()
        return {provider.name: provider.currency for provider in providers if provider.currency}

    def _routing(self, now: float) -> Iterator[Metric]:
        memory = self._serving.core.memory
        calls = GaugeMetricFamily(f"{PREFIX}_trunk_calls", "Calls on a trunk, as far as results tell", labels=["trunk"])
        rests = GaugeMetricFamily(
            f"{PREFIX}_trunk_suspended", "1 while a trunk rests because its network fails", labels=["trunk"]
        )
        for trunk in self._serving.generation.config.routing.trunks:
            calls.add_metric([trunk], memory.calls.on(trunk, now))
            rests.add_metric([trunk], float(memory.suspensions.holds(trunk, now)))
        yield from (calls, rests)

    def _rules(self, now: float) -> Iterator[Metric]:
        mode = GaugeMetricFamily(
            f"{PREFIX}_rule_mode",
            "1 for the mode that a block rule is in: shadow, enforce, returned",
            labels=["rule", "mode"],
        )
        share = GaugeMetricFamily(
            f"{PREFIX}_rule_false_block_share",
            "Of the scored calls, those that reached somebody: low and high end of the interval",
            labels=["rule", "bound"],
        )
        for one in self._serving.core.governor.standings(self._serving.generation.kit.rules, now):
            mode.add_metric([one.rule, one.mode], 1)
            share.add_metric([one.rule, "low"], one.low)
            share.add_metric([one.rule, "high"], one.high)
        yield from (mode, share)

    def _on_disk(self) -> Iterator[Metric]:
        """Reads the disk; what cannot be read is left out."""
        config, sources = self._serving.generation.config, self._serving.generation.sources
        sizes = GaugeMetricFamily(f"{PREFIX}_file_bytes", "Size of a file of ours with its log", labels=["file"])
        free: float | None = None
        try:
            for name, base in FILES.items():
                sizes.add_metric([name], file.size(config.state_dir / base))
            room = os.statvfs(config.state_dir)
            free = room.f_bavail * room.f_frsize
        except OSError:
            self._serving.core.metrics.event("metrics_disk_unread")
        written, rates = self._book(sources.book) if sources.book is not None else (None, None)
        exchanged = None if sources.changed_at is None else sources.changed_at / 1e9
        yield sizes
        yield _gauge("state_dir_free_bytes", "Room left where state_dir lies", free)
        yield _gauge("book_timestamp_seconds", "When the live book of rates was compiled, Unix seconds", written)
        yield _gauge("book_rates", "Rates in the live book", rates)
        yield _gauge("fx_timestamp_seconds", "When the exchange rates were written, Unix seconds", exchanged)

    def _book(self, path: Path) -> tuple[float | None, int | None]:
        """When it was written, and how many rates it has."""
        try:
            written = path.stat().st_mtime
            if self._rates is None or self._rates[0] != path:
                self._rates = path, open_book(path).info.rates
        except Exception:  # noqa: BLE001 - counted; an alarm tells of a book that cannot be used
            self._serving.core.metrics.event("metrics_disk_unread")
            return None, None
        return written, self._rates[1]


class _Read(Collector):
    """Metrics that were read already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _gauge(name: str, text: str, value: float | None) -> Metric:
    """Without a sample where there is nothing to tell."""
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value=value)
