"""The report: all scenarios in one, as JSON, as a table, and held against the goals."""

from __future__ import annotations

import os
import platform
import resource
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from agi_lookup import __version__
from agi_lookup.bench import disk, hits, slow

Report = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and how hard."""

    hits: hits.Effort
    slow: slow.Effort
    disk: disk.Effort
    is_long: bool = True  # enough for times and memory to be held against their goals


def plan(*, duration_s: float, repeat: int, concurrency: int) -> Plan:
    return Plan(
        hits.Effort(duration_s=duration_s, repeat=repeat, concurrency=concurrency, numbers=300),
        slow.Effort(calls_per_s=2500, duration_s=4, latency_s=2, waiting=2000),
        disk.Effort(on_disk=1_000_000, in_memory=100_000),
    )


def quick_plan() -> Plan:
    """A few seconds: does it work, and are the counts right? Its times mean little."""
    return Plan(
        hits.Effort(duration_s=0.3, repeat=1, concurrency=8, numbers=30),
        slow.Effort(calls_per_s=100, duration_s=0.5, latency_s=0.3, waiting=100),
        disk.Effort(on_disk=3000, in_memory=300),
        is_long=False,
    )


def measure(wanted: Plan, say: Callable[[str], None]) -> Report:
    """Run everything; `say` is told what is going on. Raises `OutsideError` when a server does not start or cannot be filled."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="agi-lookup-bench-") as name:
        folders = (Path(name) / part for part in ("hits", "slow", "disk"))
        for folder in (where := list(folders)):
            folder.mkdir()
        say(f"cache hits beside a constant responder and pyst2, {wanted.hits.repeat} rounds")
        found: Report = {"machine": _machine(), "hits": hits.side_by_side(where[0], wanted.hits)}
        say(f"slow lookups, {wanted.slow.calls_per_s:g} calls/s that take {wanted.slow.latency_s:g} s")
        found["slow_lookup"] = slow.slow_lookups(where[1], wanted.slow)
        say(f"a cache of {wanted.disk.on_disk:,} numbers on disk and {wanted.disk.in_memory:,} in memory")
        found["full_cache"] = disk.full_cache(where[2], wanted.disk)
    found["goals"] = [asdict(goal) for goal in goals(found) if wanted.is_long or not goal.needs_time]
    rounded: Report = _rounded(found)
    return rounded


def _machine() -> dict[str, Any]:
    return {
        "agi_lookup": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "cpus": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
    }


@dataclass(frozen=True, slots=True)
class Goal:
    what: str
    measured: float
    bound: float
    met: bool
    needs_time: bool  # a short run cannot judge it


WAKE_UP_BYTES: Final = 8
"""Threads wake the event loop through an eventfd, now and then; a row of the cache would be a hundred bytes and more."""


def goals(found: Report) -> list[Goal]:
    """What we promise. CPU is judged by the median of the closed loop's rounds."""
    report = found["hits"]
    io = report["no_io_of_ours"]
    constant, pyst2 = (report["ratios"][f"ours_to_{side}"]["closed"]["cpu_us_a_call"]["median"] for side in REFERENCES)
    every_round = [report["sides"]["ours"][pace] for pace in ("closed", "open")]
    lookup, cache = found["slow_lookup"], found["full_cache"]
    return [
        _at_most("CPU of a hit to the constant responder's", constant, 2.5, needs_time=True),
        _at_most("CPU of a hit to pyst2's ten SETs", pyst2, 1 / 3, needs_time=True),
        _at_most("AGI commands of a hit", max(side["commands_a_call"]["high"] for side in every_round), 1),
        _at_most("early bytes", sum(side["early_bytes"] for side in every_round) + lookup["early_bytes"], 0),
        _at_most("wrong or failed hits", sum(side["wrong"] + side["failed"] for side in every_round), 0),
        _at_most("provider requests during the hits", io["provider_requests"], 0),
        _at_most("bytes read a hit beyond the conversation", io["other_read_bytes_a_call"], WAKE_UP_BYTES),
        _at_most("bytes written a hit beyond conversation and log", io["other_written_bytes_a_call"], WAKE_UP_BYTES),
        _at_least("slow lookups served, percent", lookup["served_percent"], 98),
        _at_most("slow lookups p99, ms", lookup["p99_ms"], lookup["latency_s"] * 1000 + 100, needs_time=True),
        _at_most("KiB a waiting call", lookup["kib_a_waiting_call"], 8, needs_time=True),
        _at_most("RSS with a full memory cache, MiB", cache["rss_mib"], 150),
        _at_most("first answer after start with a full disk, s", cache["first_answer_s"], 1.5, needs_time=True),
    ]


REFERENCES: Final = ("constant", "pyst2")


def _at_most(what: str, measured: float, bound: float, *, needs_time: bool = False) -> Goal:
    return Goal(what, measured, bound, measured <= bound, needs_time)


def _at_least(what: str, measured: float, bound: float) -> Goal:
    return Goal(what, measured, bound, measured >= bound, needs_time=False)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


COLUMNS: Final = (
    ("calls/s", "calls_per_s", "{:.0f}"),
    ("generator", "generator_busy", "{:.0%}"),
    ("p50 ms", "p50_ms", "{:.2f}"),
    ("p99 ms", "p99_ms", "{:.2f}"),
    ("p99.9 ms", "p999_ms", "{:.2f}"),
    ("CPU us/call", "cpu_us_a_call", "{:.0f}"),
    ("commands", "commands_a_call", "{:.0f}"),
    ("RSS MiB", "rss_mib", "{:.0f}"),
)


def as_text(found: Report) -> str:
    return "\n".join([*_sides(found["hits"]), "", *_ratios(found["hits"]), "", *_goals(found["goals"])])


def _sides(report: Report) -> Iterator[str]:
    yield (
        f"{'medians of the rounds':<22}"
        + "".join(f"{title:>13}" for title, _, _ in COLUMNS)
        + f"{'wrong':>8}{'early':>8}"
    )
    for side, paces in report["sides"].items():
        for pace, measured in paces.items():
            cells = "".join(f"{form.format(measured[name]['median']):>13}" for _, name, form in COLUMNS)
            wrong = measured["wrong"] + measured["failed"]
            yield f"{side + ', ' + pace + ' loop':<22}{cells}{wrong:>8}{measured['early_bytes']:>8}"


def _ratios(report: Report) -> Iterator[str]:
    for pair, paces in report["ratios"].items():
        for pace, measured in paces.items():
            cpu, rate = measured["cpu_us_a_call"], measured["calls_per_s"]
            yield (
                f"{pair.replace('_', ' ')}, {pace} loop: CPU {cpu['median']:.2f} ({cpu['low']:.2f} to {cpu['high']:.2f}),"
                f" calls/s {rate['median']:.2f} ({rate['low']:.2f} to {rate['high']:.2f})"
            )


def _goals(reached: list[dict[str, Any]]) -> Iterator[str]:
    for goal in reached:
        yield f"{'met' if goal['met'] else 'MISSED':<8}{goal['what']}: {goal['measured']:.4g} (bound {goal['bound']:.4g})"
