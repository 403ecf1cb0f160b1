"""Slow lookups: calls for numbers that nobody has asked for, whose lookup takes its time. What does a waiting call cost?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from agi_lookup.bench import calls
from agi_lookup.bench.load import Open, Planned, run
from agi_lookup.bench.subject import Subject, serving, write_config

DEADLINE_MS: Final = 10_000
"""Longer than any lookup here takes: a call that has gone on while its lookup goes on would be no waiting call."""
PROVIDER: Final = """
providers:
  npl:
    kind: numberportabilitylookup
    base_url: http://127.0.0.1/
    allow_private: true
    max_concurrency: 10000
    user: sim-user
    password: sim-pass
"""
WARM_UP_CALLS: Final = 400
"""Answered at once: until all that is made once is there (SQLite's pages, patterns, threads), but no room for calls that wait."""
REFERENCE_US: Final = 89.0
"""CPU of a constant answer on the machine that the goals were set for."""
GATHER_PER_S: Final = 400.0
"""Slow enough for every call to be waiting, and not queueing, when their memory is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    calls_per_s: float
    duration_s: float
    latency_s: float
    waiting: int  # calls to have waiting when their memory is read


def slow_lookups(folder: Path, effort: Effort, constant_us: float) -> dict[str, Any]:
    """The report's `slow_lookup`. `constant_us`: the CPU of a constant answer here.

    `scaled` is of fewer calls/s where this machine is slower than the one of the goals: as many as load it as much.
    """
    config = write_config(folder, PROVIDER, deadline_ms=DEADLINE_MS)
    cold = (calls.lookup(calls.number(index, block=1), cache="miss") for index in itertools.count())
    scaled = replace(effort, calls_per_s=effort.calls_per_s * min(1.0, REFERENCE_US / constant_us))
    return {
        **_under_load(config, cold, effort),
        **_while_waiting(config, cold, effort.waiting),
        "scaled": _under_load(config, cold, scaled),
    }


def _under_load(config: Path, cold: Iterator[Planned], effort: Effort) -> dict[str, Any]:
    with _slow_server(config, cold, effort.latency_s) as ours:
        planned = list(
            itertools.islice(cold, int(effort.calls_per_s * effort.duration_s))
        )  # under load is no time for it
        before = ours.process.usage()
        load = run(iter(planned), ours.port, Open(effort.calls_per_s), effort.duration_s)
        used = ours.process.usage().since(before)
    return {
        **asdict(effort),
        "calls": len(planned),
        "served_percent": 100 * load.right / len(planned),
        "wrong": load.wrong,
        "failed": load.failed,
        "early_bytes": load.early_bytes,
        "most_waiting": load.most_waiting,
        "generator_late_ms": load.late_s * 1000,
        "p50_ms": load.percentile_ms(50),
        "p99_ms": load.percentile_ms(99),
        "cpu_us_a_call": used.cpu_s / len(planned) * 1e6,
    }


def _while_waiting(config: Path, cold: Iterator[Planned], count: int) -> dict[str, Any]:
    """How much larger the server is while `count` calls wait."""
    gather_s = count / GATHER_PER_S
    with _slow_server(config, cold, gather_s + 2) as ours:
        resting_kib = ours.process.rss_kib()
        samples: list[tuple[int, int]] = []
        planned = list(itertools.islice(cold, count))
        run(
            iter(planned),
            ours.port,
            Open(GATHER_PER_S),
            gather_s,
            on_tick=lambda n: samples.append((n, ours.process.rss_kib())),
        )
    waiting, kib = max(samples)
    return {
        "waiting": waiting,
        "resting_rss_mib": resting_kib / 1024,
        "kib_a_waiting_call": (kib - resting_kib) / max(1, waiting),
    }


@contextmanager
def _slow_server(config: Path, cold: Iterator[Planned], latency_s: float) -> Iterator[Subject]:
    """Started and warmed up."""
    with serving(config, "agi_lookup.bench.slow_server", str(latency_s), str(WARM_UP_CALLS), str(config)) as ours:
        run(itertools.islice(cold, WARM_UP_CALLS), ours.port, Open(GATHER_PER_S), WARM_UP_CALLS)
        yield ours
