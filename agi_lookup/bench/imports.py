"""How fast is a vendor's deck imported? The whole command, from its start until the deck is kept: read, check, sort, write."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from agi_lookup.bench import route_decks
from agi_lookup.bench.children import Child
from agi_lookup.bench.subject import CLI, write_config
from agi_lookup.domain.errors import OutsideError
from agi_lookup.routing.rates import NANO

VENDOR: Final = 4  # in USD, at 30/6, prefixes only
HEADER: Final = "Prefix,Rate,Increments,Effective from\n"
FROM: Final = "2026-01-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    rows: int
    rounds: int


def imported(folder: Path, effort: Effort) -> dict[str, Any]:
    """The report's `imports`: medians of the rounds. Each of them imports the same file as another version."""
    config, deck = write_config(folder, ""), folder / "deck.csv"
    with deck.open("w") as file:
        file.write(HEADER)
        file.writelines(lines(effort.rows))
    times_s = [_import(config, deck, effort.rows) for _ in range(effort.rounds)]
    wall_s, cpu_s = map(median, zip(*times_s, strict=True))
    return {
        **asdict(effort),
        "import_rows_per_s": effort.rows / wall_s,
        "import_rows_per_cpu_s": effort.rows / cpu_s,
    }


def lines(rows: int) -> Iterator[str]:
    for rate in route_decks.rates(VENDOR, rows):
        if rate.tariff is not None:
            amount, first_s, next_s = rate.tariff.rate / NANO, rate.tariff.first_s, rate.tariff.next_s
            yield f"{rate.key},{amount:.4f},{first_s}/{next_s},{FROM}\n"


def _import(config: Path, deck: Path, rows: int) -> tuple[float, float]:
    """Seconds on the clock, and of CPU."""
    command = ("--config", str(config), "rates", "import", str(deck), "--vendor", "bench", "--currency", "USD")
    began, cpu_before = time.perf_counter(), _cpu_of_children_s()
    with Child(CLI, *command, "--json") as child:
        said = child.first_line()
        status = child.wait()
    took = time.perf_counter() - began, _cpu_of_children_s() - cpu_before
    if status or json.loads(said)["rows"] != rows:
        raise OutsideError(f"the rates were not imported (exit status {status}); is there room on the disk?")
    return took


def _cpu_of_children_s() -> float:
    """Of those that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
