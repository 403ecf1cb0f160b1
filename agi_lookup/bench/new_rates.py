"""New rates under calls: is every call routed, and is it slower, while a deck is made live and the server takes it over?"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from agi_lookup.bench import calls, route_decks
from agi_lookup.bench.children import Child
from agi_lookup.bench.load import Check, Load, Open, Planned, run
from agi_lookup.bench.subject import CLI, Subject, serving, write_config
from agi_lookup.domain.errors import OutsideError
from agi_lookup.routes import DECKS
from agi_lookup.routing import deck_file
from agi_lookup.routing.store import Store, version_id
from agi_lookup.sim.asterisk_wire import Call, environment

VENDOR: Final = "vendor03"
ROUTING: Final = f"""
routing:
  currency: EUR
  trunks: {{one: {{vendor: {VENDOR}, dial: "PJSIP/{{number}}@one"}}}}
"""
WINDOW_S: Final = 4.0
PATIENCE_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    rates: int
    calls_per_s: float
    rounds: int


def new_rates(folder: Path, effort: Effort) -> dict[str, Any]:
    """The report's `new_rates`: windows with and without a deck that is made live, in turn."""
    config = write_config(folder, ROUTING)
    store = Store(folder / "state" / DECKS)
    versions = [_import(store, effort.rates) for _ in range(2)]
    store.activate(VENDOR, versions[0], time.time())
    with serving(config) as ours:
        _calls(ours, effort.calls_per_s, WINDOW_S)
        rounds = [_round(ours, effort, config, versions[turn % 2]) for turn in range(1, effort.rounds + 1)]
    loads = [load for pair in rounds for load in pair]
    quiet, renewing = (median(pair[side].percentile_ms(99) for pair in rounds) for side in (0, 1))
    return {
        **asdict(effort),
        "calls": sum(load.started for load in loads),
        "wrong": sum(load.wrong + load.failed for load in loads),
        "p99_ms": quiet,
        "p99_ms_renewing": renewing,
        "p99_ratio": renewing / quiet,
    }


def _import(store: Store, rates: int) -> str:
    """A version of the deck, which is the same each time."""
    now = time.time()
    version = version_id(now, f"{time.time_ns() & 0xFFFFFFFF:08x}")
    with store.staging(now) as staged:
        deck_file.write(staged / "deck", VENDOR, version, route_decks.rates(3, rates))
        store.add(staged / "deck", VENDOR, version)
    return version


def _round(ours: Subject, effort: Effort, config: Path, version: str) -> tuple[Load, Load]:
    """Without, then with a deck that is made live: until it is taken over, and a little longer."""
    quiet = _calls(ours, effort.calls_per_s, WINDOW_S)
    before = _taken_over(ours)
    with Child(CLI, "--config", str(config), "rates", "activate", VENDOR, version):
        renewing = _calls(ours, effort.calls_per_s, PATIENCE_S, until=lambda: _taken_over(ours) > before)
    if _taken_over(ours) == before:
        raise OutsideError("the server did not take the new rates over")
    return quiet, renewing


def _taken_over(ours: Subject) -> int:
    return ours.log.read_text().count('"new rates"')


def _calls(ours: Subject, calls_per_s: float, seconds: float, until: Callable[[], bool] = lambda: False) -> Load:
    """For so long, or until that and a second."""
    left: list[Planned] = []
    over = False

    def look(_waiting: int) -> None:
        nonlocal over
        if not over and until():
            over = True
            left.extend(itertools.islice(_planned(), int(calls_per_s)))

    def planned() -> Iterator[Planned]:
        for call in itertools.islice(_planned(), int(calls_per_s * seconds)):
            if over:
                break
            yield call
        yield from left

    return run(planned(), ours.port, Open(calls_per_s), seconds, on_tick=look)


def _planned() -> Iterator[Planned]:
    for index in itertools.count():
        dialled = calls.number(index)
        call = Call((dialled, calls.UNIQUEID, "-"), uniqueid=calls.UNIQUEID)
        yield Planned(environment(call), _routed(dialled))


def _routed(dialled: str) -> Check:
    right = {b"LCR_COUNT": b"1", b"LCR_1_TRUNK": b"one", b"LCR_1_DIAL": f"PJSIP/{dialled}@one".encode()}

    def is_right(lines: Sequence[bytes]) -> bool:
        return len(lines) == 1 and right.items() <= calls.variables(lines[0]).items()

    return is_right
