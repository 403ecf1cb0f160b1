"""Slow lookups: calls for numbers that nobody has asked for, whose lookup takes its time. What does a waiting call cost?"""

from __future__ import annotations

import itertools
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from agi_lookup.bench import calls
from agi_lookup.bench.load import Load, Open, run
from agi_lookup.bench.subject import serving, write_config

DEADLINE_MS: Final = 5000
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
WARM_UP_CALLS: Final = 300
PLATEAU: Final = 0.95
"""The share of the most calls that ever waited from which on memory counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    calls_per_s: float
    duration_s: float
    latency_s: float

    @property
    def calls(self) -> int:
        return int(self.calls_per_s * self.duration_s)


def slow_lookups(folder: Path, effort: Effort) -> dict[str, Any]:
    """The report's `slow_lookup`."""
    config = write_config(folder, PROVIDER, deadline_ms=DEADLINE_MS)
    with serving(config, "agi_lookup.bench.slow_server", str(effort.latency_s), str(config)) as ours:
        cold = (calls.lookup(calls.number(index, block=1), cache="miss") for index in itertools.count())
        run(itertools.islice(cold, WARM_UP_CALLS), ours.port, Open(effort.calls_per_s), effort.duration_s)
        planned = list(itertools.islice(cold, effort.calls))  # made ahead: under load there is no time for it
        resting_kib, before = ours.process.rss_kib(), ours.process.usage()
        samples: list[tuple[int, int]] = []
        load = run(
            iter(planned),
            ours.port,
            Open(effort.calls_per_s),
            effort.duration_s,
            on_tick=lambda waiting: samples.append((waiting, ours.process.rss_kib())),
        )
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
        "resting_rss_mib": resting_kib / 1024,
        "kib_a_waiting_call": _kib_a_waiting_call(samples, resting_kib, load),
    }


def _kib_a_waiting_call(samples: list[tuple[int, int]], resting_kib: int, load: Load) -> float:
    """Over the samples of the plateau."""
    plateau = [(waiting, kib) for waiting, kib in samples if waiting and waiting >= PLATEAU * load.most_waiting]
    return statistics.median((kib - resting_kib) / waiting for waiting, kib in plateau) if plateau else 0.0
