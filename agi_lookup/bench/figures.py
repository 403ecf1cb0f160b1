"""The figures of a measured stretch, and how far they spread over several."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agi_lookup.bench.children import Child, Usage
from agi_lookup.bench.load import Closed, Load, Open, Planned, run


@dataclass(frozen=True, slots=True)
class Figures:
    """One server under one load. What ends in `_a_call` is the server's use divided by the calls that were answered right."""

    calls: int
    wrong: int
    failed: int
    early_bytes: int
    commands_a_call: float
    calls_per_s: float
    generator_busy: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    cpu_us_a_call: float
    read_bytes_a_call: float
    written_bytes_a_call: float
    rss_mib: float


def measure(server: Child, calls: Iterator[Planned], port: int, pace: Closed | Open, duration_s: float) -> Figures:
    before = server.usage()
    load = run(calls, port, pace, duration_s)
    return figures(server, before, load)


def figures(server: Child, before: Usage, load: Load) -> Figures:
    used = server.usage().since(before)
    calls = max(1, load.right)
    return Figures(
        calls=load.right,
        wrong=load.wrong,
        failed=load.failed,
        early_bytes=load.early_bytes,
        commands_a_call=load.commands / max(1, load.right + load.wrong),
        calls_per_s=load.calls_per_s,
        generator_busy=load.busy,
        p50_ms=load.percentile_ms(50),
        p99_ms=load.percentile_ms(99),
        p999_ms=load.percentile_ms(99.9),
        cpu_us_a_call=used.cpu_s / calls * 1e6,
        read_bytes_a_call=used.read_bytes / calls,
        written_bytes_a_call=used.written_bytes / calls,
        rss_mib=server.rss_kib() / 1024,
    )


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over the repeated rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        ranked = sorted(values)
        return cls(statistics.median(ranked), ranked[0], ranked[-1])

    @classmethod
    def of_ratios(cls, ours: Iterable[float], theirs: Iterable[float]) -> Spread:
        """Round by round: what disturbs the machine disturbs both of a pair."""
        return cls.of(a / b if b else 0.0 for a, b in zip(ours, theirs, strict=True))
