"""The report: all scenarios in one, as JSON, as a table, and held against the goals."""

from __future__ import annotations

import itertools
import os
import platform
import resource
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from agi_lookup import __version__
from agi_lookup.bench import disk, hits, imports, limits, new_rates, published, routes, slow

Report = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, and how hard."""

    hits: hits.Effort
    slow: slow.Effort
    disk: disk.Effort
    limits: tuple[published.Case, ...]
    routes: tuple[routes.Effort, ...]
    imports: imports.Effort
    new_rates: new_rates.Effort
    is_long: bool = True  # enough for times and memory to be held against their goals


def plan(*, duration_s: float, repeat: int, concurrency: int) -> Plan:
    return Plan(
        hits.Effort(duration_s=duration_s, repeat=repeat, concurrency=concurrency, numbers=300),
        slow.Effort(calls_per_s=2500, duration_s=4, latency_s=2, waiting=2000),
        disk.Effort(on_disk=1_000_000, in_memory=100_000),
        published.as_published(),
        (
            routes.Effort(prefixes=50_000, probes=20_000, with_dict=True),
            routes.Effort(prefixes=1_000_000, probes=20_000, with_dict=False),
        ),
        imports.Effort(rows=1_000_000, rounds=3),
        new_rates.Effort(rates=1_000_000, calls_per_s=200, rounds=3),
    )


def quick_plan() -> Plan:
    """A few seconds: does it work, and are the counts right? Its times mean little."""
    return Plan(
        hits.Effort(duration_s=0.3, repeat=1, concurrency=8, numbers=30),
        slow.Effort(calls_per_s=100, duration_s=0.5, latency_s=0.3, waiting=100),
        disk.Effort(on_disk=3000, in_memory=300),
        published.in_short(),
        (routes.Effort(prefixes=1000, probes=20, with_dict=True),),
        imports.Effort(rows=20_000, rounds=1),
        new_rates.Effort(rates=1000, calls_per_s=50, rounds=1),
        is_long=False,
    )


def measure(wanted: Plan, say: Callable[[str], None]) -> Report:
    """Run everything; `say` is told what is going on. Raises `OutsideError` when a server does not start or cannot be filled."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="agi-lookup-bench-") as name:
        root = Path(name)
        say(f"cache hits beside a constant responder and pyst2, {wanted.hits.repeat} rounds")
        found: Report = {"machine": _machine(), "hits": hits.side_by_side(_made(root / "hits"), wanted.hits)}
        say(f"slow lookups, {wanted.slow.calls_per_s:g} calls/s that take {wanted.slow.latency_s:g} s")
        constant_us = found["hits"]["sides"]["constant"]["closed"]["cpu_us_a_call"]["median"]
        found["slow_lookup"] = slow.slow_lookups(_made(root / "slow"), wanted.slow, constant_us)
        say(f"a cache of {wanted.disk.on_disk:,} numbers on disk and {wanted.disk.in_memory:,} in memory")
        found["full_cache"] = disk.full_cache(_made(root / "disk"), wanted.disk)
        say(f"published limits of {', '.join(case.title for case in wanted.limits)}")
        found["limits"] = limits.used_limits(_made(root / "limits"), wanted.limits)
        for effort in wanted.routes:
            say(f"routes by {effort.title}, beside brute force{' and a dict' if effort.with_dict else ''}")
            with tempfile.TemporaryDirectory(dir=root) as folder:
                found.setdefault("routes", []).append(routes.ranked_routes(Path(folder), effort))
        say(f"a deck of {wanted.imports.rows:,} rates from a CSV file")
        found["imports"] = imports.imported(_made(root / "imports"), wanted.imports)
        say(f"{wanted.new_rates.calls_per_s:g} calls/s while {wanted.new_rates.rates:,} rates are made live")
        found["new_rates"] = new_rates.new_rates(_made(root / "new_rates"), wanted.new_rates)
    found["goals"] = [asdict(goal) for goal in goals(found) if wanted.is_long or not goal.needs_time]
    rounded: Report = _rounded(found)
    return rounded


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


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
        *scaled_goals(lookup["scaled"]),
        _at_most("KiB a waiting call", lookup["kib_a_waiting_call"], 8, needs_time=True),
        _at_most("RSS with a full memory cache, MiB", cache["rss_mib"], 150),
        _at_most("first answer after start with a full disk, s", cache["first_answer_s"], 1.5, needs_time=True),
        *itertools.chain.from_iterable(map(limit_goals, found["limits"])),
        *itertools.chain.from_iterable(map(route_goals, found["routes"])),
        import_goal(found["imports"]),
        _at_most("calls without their routes while rates are made live", found["new_rates"]["wrong"], 0),
        _at_most("p99 then to p99 before", found["new_rates"]["p99_ratio"], 2, needs_time=True),
    ]


def scaled_goals(lookup: Report) -> Iterator[Goal]:
    """Of slow lookups, by the speed of this machine."""
    title = f"slow lookups, {lookup['calls_per_s']:.0f} calls/s"
    yield _at_least(f"{title}: served, percent", lookup["served_percent"], 98)
    yield _at_most(f"{title}: p99, ms", lookup["p99_ms"], lookup["latency_s"] * 1000 + 100, needs_time=True)


def route_goals(used: Report) -> Iterator[Goal]:
    """Of one size of the book of rates."""
    ours, title = used["sides"]["ours"], used["title"]
    yield _at_most(f"{title}: match, cost and sort p99, us", ours["rank_p99_us"], 30, needs_time=True)
    yield _at_most(f"{title}: RSS, MiB", ours["rss_mib"], 1536)
    yield _at_most(f"{title}: sides that disagree", int(not used["agree"]), 0)


def import_goal(used: Report) -> Goal:
    return _at_least("rows imported a second", used["import_rows_per_s"], 200_000, needs_time=True)


def limit_goals(used: Report) -> Iterator[Goal]:
    """Of one vendor's published limit."""
    yield _at_least(f"published limit of {used['title']}, percent used", used["used_percent"], 95, needs_time=True)
    yield _at_most(f"requests that {used['title']} refused", used["refused"], 0)


REFERENCES: Final = ("constant", "pyst2")


def _at_most(what: str, measured: float, bound: float, *, needs_time: bool = False) -> Goal:
    return Goal(what, measured, bound, measured <= bound, needs_time)


def _at_least(what: str, measured: float, bound: float, *, needs_time: bool = False) -> Goal:
    return Goal(what, measured, bound, measured >= bound, needs_time)


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
    parts = (
        _sides(found["hits"]),
        _ratios(found["hits"]),
        _limits(found["limits"]),
        _routes(found["routes"]),
        _imports(found["imports"]),
        _goals(found["goals"]),
    )
    return "\n\n".join("\n".join(part) for part in parts)


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


LIMIT_COLUMNS: Final[tuple[tuple[str, Callable[[Report], str]], ...]] = (
    ("limit", lambda used: _words(used["limit"])),
    ("used", lambda used: f"{used['used_percent']:.1f} %"),
    ("by window", lambda used: "{low:.1f} to {high:.1f}".format(**used["used_percent_by_window"])),
    ("numbers/s", lambda used: f"{used['numbers_per_s']:.0f}"),
    ("of", lambda used: "-" if (most := used["limit"]["numbers_per_s"]) is None else f"{most:.0f}"),
    ("answers/s", lambda used: f"{used['answers_per_s']:.0f}"),
    ("webhooks/s", lambda used: f"{used['webhooks_per_s']:.0f}"),
    ("refused", lambda used: str(used["refused"])),
    ("failed", lambda used: str(used["failed"])),
)


def _limits(report: list[Report]) -> Iterator[str]:
    yield f"{'published limits':<32}" + "".join(f"{title:>15}" for title, _ in LIMIT_COLUMNS)
    for used in report:
        yield f"{used['title']:<32}" + "".join(f"{show(used):>15}" for _, show in LIMIT_COLUMNS)


ROUTE_COLUMNS: Final = (
    ("rank p50 us", "rank_p50_us", "{:.1f}"),
    ("rank p99 us", "rank_p99_us", "{:.1f}"),
    ("match p99 us", "match_p99_us", "{:.1f}"),
    ("call p50 us", "route_p50_us", "{:.1f}"),  # all of it: `Router.rank`
    ("call p99 us", "route_p99_us", "{:.1f}"),
    ("RSS MiB", "rss_mib", "{:.0f}"),
)


def _routes(report: list[Report]) -> Iterator[str]:
    yield f"{'routes':<32}" + "".join(f"{title:>15}" for title, _, _ in ROUTE_COLUMNS)
    for used in report:
        for side, measured in used["sides"].items():
            cells = (form.format(measured[name]) if name in measured else "-" for _, name, form in ROUTE_COLUMNS)
            yield f"{used['title'] + ', ' + side:<32}" + "".join(f"{cell:>15}" for cell in cells)


def _imports(report: Report) -> Iterator[str]:
    clock, cpu = report["import_rows_per_s"], report["import_rows_per_cpu_s"]
    yield f"import of a CSV file, {report['rows']:,} rows: {clock:,.0f} rows/s, {cpu:,.0f} a second of CPU"


def _words(limit: Report) -> str:
    """`210 x 80`: requests at once and numbers in each."""
    requests = limit["at_once"] or (f"{limit['per_minute']}/min" if limit["per_minute"] else "")
    return f"{requests} x {limit['numbers']}".strip()


def _goals(reached: list[dict[str, Any]]) -> Iterator[str]:
    for goal in reached:
        yield f"{'met' if goal['met'] else 'MISSED':<8}{goal['what']}: {goal['measured']:.4g} (bound {goal['bound']:.4g})"
