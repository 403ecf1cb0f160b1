"""Cache hits, side by side: our server, a constant-answer responder, and pyst2 on threads that sets ten variables one by one.

The rounds are interleaved (A B C, A B C, ...), so that what else happens on the machine meets all three. Ours answers numbers that
it learned from the simulated vendor before; the vendor's bill proves that it asks no more.
"""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from agi_lookup.bench import calls
from agi_lookup.bench.children import Child, Usage
from agi_lookup.bench.figures import Figures, Spread, measure
from agi_lookup.bench.load import Closed, Open, Planned, run
from agi_lookup.bench.subject import Subject, serving, simulated_vendor, write_config
from agi_lookup.domain.errors import OutsideError
from agi_lookup.sim.asterisk import play
from agi_lookup.sim.asterisk_wire import Call

OPEN_CALLS_PER_S: Final = 400.0
"""What all three can do on a small machine."""
TEN: Final = 10
LEARN_AT_ONCE: Final = 4
"""As many connections as the vendor's account allows."""
LEARN_S: Final = 60.0
SETTLE_S: Final = 0.5
"""The log and the disk are written this much behind at the most."""
PROVIDER: Final = """
providers:
  npl:
    kind: numberportabilitylookup
    base_url: {url}/npl
    allow_private: true
    user: sim-user
    password: sim-pass
"""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the three."""

    name: str
    process: Child
    port: int
    plan: tuple[Planned, ...]  # called in turn, for ever


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long and how hard to measure."""

    duration_s: float
    repeat: int
    concurrency: int
    numbers: int

    @property
    def paces(self) -> dict[str, Closed | Open]:
        return {"closed": Closed(self.concurrency), "open": Open(OPEN_CALLS_PER_S)}


def side_by_side(folder: Path, effort: Effort) -> dict[str, Any]:
    """All rounds; the report's `hits`. Raises `OutsideError` when a server does not start or a number cannot be learned."""
    with ExitStack() as stack:
        vendor = stack.enter_context(simulated_vendor())
        config = write_config(folder, PROVIDER.format(url=vendor))
        ours = stack.enter_context(serving(config))
        plan = _learn(ours, effort.numbers)
        sides = [Side("ours", ours.process, ours.port, plan), *_references(stack, _answer(ours), plan[0])]
        before = _touched(vendor, ours)
        rounds = _rounds(sides, effort)
        after = _touched(vendor, ours)
        return {
            **_report(rounds, effort),
            "numbers": effort.numbers,
            "no_io_of_ours": _io(before, after, rounds),
        }


def _learn(ours: Subject, count: int) -> tuple[Planned, ...]:
    """Have the server ask the vendor for every number once, and check that it knows them."""
    numbers = [calls.number(index) for index in range(count)]
    for cache in ("miss", "fresh"):
        asked = iter([calls.lookup(number, cache=cache) for number in numbers])
        load = run(asked, ours.port, Closed(LEARN_AT_ONCE), LEARN_S)
        if load.right != count:
            raise OutsideError(f"the server answered {load.right} of {count} numbers right ({cache}); see its log")
    return tuple(calls.lookup(number, cache="fresh") for number in numbers)


def _answer(ours: Subject) -> str:
    """The line that a hit is answered with."""
    call = Call((calls.number(0), calls.UNIQUEID, "-"), uniqueid=calls.UNIQUEID)
    [line] = asyncio.run(play(call, "127.0.0.1", ours.port)).commands
    return line


def _references(stack: ExitStack, line: str, call: Planned) -> Iterator[Side]:
    """The same bytes as ours; the first ten of the variables for pyst2."""
    constant = stack.enter_context(Child("agi_lookup.bench.peers", "constant", line))
    yield _reference("constant", constant, call, [f"{line}\n".encode()])
    pairs = list(calls.variables(f"{line}\n".encode()).items())[:TEN]
    pyst2 = stack.enter_context(
        Child("agi_lookup.bench.peers", "pyst2", *(f"{n.decode()}={v.decode()}" for n, v in pairs))
    )
    yield _reference("pyst2", pyst2, call, [b'SET VARIABLE "%s" "%s"\n' % pair for pair in pairs])


def _reference(name: str, process: Child, call: Planned, right: list[bytes]) -> Side:
    port = process.first_line()
    if not port:
        raise OutsideError(f"the {name} responder did not start")
    return Side(name, process, int(port), (Planned(call.environment, lambda lines: lines == right),))


Rounds = dict[str, dict[str, list[Figures]]]
"""By side, by pace, in order."""


def _rounds(sides: list[Side], effort: Effort) -> Rounds:
    rounds: Rounds = {side.name: {pace: [] for pace in effort.paces} for side in sides}
    for _ in range(effort.repeat):
        for name, pace in effort.paces.items():
            for side in sides:
                plan = itertools.cycle(side.plan)
                rounds[side.name][name].append(measure(side.process, plan, side.port, pace, effort.duration_s))
    return rounds


def _report(rounds: Rounds, effort: Effort) -> dict[str, Any]:
    return {
        "sides": {
            side: {pace: _together(measured) for pace, measured in paces.items()} for side, paces in rounds.items()
        },
        "ratios": {
            f"ours_to_{side}": {
                pace: {
                    name: asdict(Spread.of_ratios(_each(rounds["ours"][pace], name), _each(rounds[side][pace], name)))
                    for name in ("cpu_us_a_call", "calls_per_s", "p50_ms", "p99_ms")
                }
                for pace in effort.paces
            }
            for side in rounds
            if side != "ours"
        },
    }


def _together(measured: list[Figures]) -> dict[str, Any]:
    """Counts are summed, the rest is spread."""
    counts = ("calls", "wrong", "failed", "early_bytes")
    return {
        field.name: int(sum(_each(measured, field.name)))
        if field.name in counts
        else asdict(Spread.of(_each(measured, field.name)))
        for field in fields(Figures)
    }


def _each(measured: list[Figures], name: str) -> list[float]:
    return [getattr(figures, name) for figures in measured]


@dataclass(frozen=True, slots=True)
class Touched:
    """What our server has done so far to the world outside of its calls, and all that it read and wrote."""

    requests: int
    log_bytes: int
    usage: Usage
    files: frozenset[str]


def _touched(vendor: str, ours: Subject) -> Touched:
    time.sleep(SETTLE_S)
    files = frozenset(path for path in ours.process.open_files() if path.startswith("/"))
    return Touched(_requests(vendor), ours.log.stat().st_size, ours.process.usage(), files)


def _io(before: Touched, after: Touched, rounds: Rounds) -> dict[str, float]:
    """The constant responder reads one environment and one reply and writes one line; what is beyond that, and no log, is ours."""
    used = after.usage.since(before.usage)
    calls_made = sum(figures.calls for measured in rounds["ours"].values() for figures in measured) or 1
    constant = rounds["constant"]["closed"][0]
    logged = (after.log_bytes - before.log_bytes) / calls_made
    return {
        "provider_requests": after.requests - before.requests,
        "files_opened": len(after.files - before.files),
        "log_bytes_a_call": logged,
        "other_read_bytes_a_call": used.read_bytes / calls_made - constant.read_bytes_a_call,
        "other_written_bytes_a_call": used.written_bytes / calls_made - constant.written_bytes_a_call - logged,
    }


def _requests(vendor: str) -> int:
    connection = http.client.HTTPConnection(vendor.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", "/_sim/bill")
        return int(json.load(connection.getresponse())["npl"]["requests"])
    finally:
        connection.close()
