"""Calls without end, 300 a second as Asterisk makes them, while vendors break: what each was told, and whether that was in time.

No figure is held against the clock of the test: what a call took is the server's own word, `LOOKUP_MS`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from agi_lookup.bench.load import Load, Open, Planned, run
from agi_lookup.guarantee import GIVE_UP_S, GUARD_S
from agi_lookup.sim.asterisk_wire import environment
from tests.calls import call_of, told
from tests.processes import Site
from tests.test_daemon import request

DEADLINE_MS: Final = 1000
CALLS_PER_S: Final = 300
ROUNDING_MS: Final = 5
IN_TIME_MS: Final = DEADLINE_MS + GUARD_S * 1000 + ROUNDING_MS
"""When what was found may still be said."""
LAST_MS: Final = DEADLINE_MS + GIVE_UP_S * 1000 + ROUNDING_MS
"""When anything may still be said."""
BACK_S: Final = 10.0
"""Within which a vendor that is back has to be used again. Held against the calls of so long a time."""
PATIENCE_S: Final = 60.0


class Traffic:
    """Calls in a thread of their own, each with the next number; what each was told, in the order of the answers."""

    def __init__(self, site: Site, numbers: Iterator[str], *options: str) -> None:
        self._site = site
        self._numbers = numbers
        self._options = options
        self._over = threading.Event()
        self._answers: list[tuple[str, Sequence[bytes]]] = []
        self.started = 0

    @asynccontextmanager
    async def flowing(self, calls_per_s: float = CALLS_PER_S, *, outlives: bool = False) -> AsyncIterator[None]:
        """`outlives`: the server ends before the calls do, and can tell nothing of them."""
        running = asyncio.to_thread(run, self._calls(), self._site.agi_port, Open(calls_per_s), float("inf"))
        flow = asyncio.create_task(running)
        try:
            yield
        finally:
            self._over.set()
            self.load: Load = await flow
            self.released = 0 if outlives else refused(self._site)

    @property
    def answers(self) -> int:
        return len(self._answers)

    def statuses(self, start: int = 0) -> list[str]:
        return [said.get("LOOKUP_STATUS", "") for _, said in self.told(start)]

    def told(self, start: int = 0) -> list[tuple[str, dict[str, str]]]:
        """Numbers and the variables that were set for them."""
        return [(number, told(lines)) for number, lines in self._answers[start:]]

    def _calls(self) -> Iterator[Planned]:
        for number in self._numbers:
            if self._over.is_set():
                return
            self.started += 1
            yield Planned(environment(call_of(number, "alice", *self._options)), self._note(number))

    def _note(self, number: str) -> Callable[[Sequence[bytes]], bool]:
        def note(lines: Sequence[bytes]) -> bool:
            self._answers.append((number, lines))
            return len(lines) == 1

        return note


def check_every_call_was_answered(*traffics: Traffic, most_released: float = 0.1) -> None:
    """All that one server was asked. Nobody is left hanging, and nothing is told too late.

    A starved machine may cost some calls their lookup: they are let go, and counted.
    """
    started = sum(traffic.load.started for traffic in traffics)
    calls = [(number, said) for traffic in traffics for number, said in traffic.told() if said]
    released = max(traffic.released for traffic in traffics)
    assert started == len(calls) + released
    assert released <= most_released * started
    assert sum(traffic.load.wrong + traffic.load.early_bytes for traffic in traffics) == 0
    answers = [said for _, said in calls]
    assert {said["LOOKUP_ACTION"] for said in answers} == {"allow"}
    assert {said["LOOKUP_STATUS"] for said in answers} <= {"OK", "PARTIAL", "TIMEOUT", "DEGRADED"}
    assert max(int(s["LOOKUP_MS"]) for s in answers if s["LOOKUP_STATUS"] in {"OK", "PARTIAL"}) <= IN_TIME_MS
    assert max(int(said["LOOKUP_MS"]) for said in answers) <= LAST_MS
    assert all(said["LOOKUP_NUMBER"] == f"+{number}" for number, said in calls if said["LOOKUP_STATUS"] == "OK")


async def calls_until_all_is_well(traffic: Traffic) -> int:
    """How many calls were answered until of the last hundred (nearly) all got what they asked for."""
    start = traffic.answers
    async with asyncio.timeout(PATIENCE_S):
        while traffic.answers < start + 100 or traffic.statuses(traffic.answers - 100).count("OK") < 95:
            await asyncio.sleep(0.05)
    return traffic.answers - start


def metrics(site: Site, name: str) -> dict[str, float]:
    """The samples of one metric, by their labels."""
    _, text = request(f"http://127.0.0.1:{site.http_port}/metrics")
    samples = (line.removeprefix(name).split("} ") for line in text.splitlines() if line.startswith(f"{name}{{"))
    return {labels: float(value) for labels, value in samples}


def refused(site: Site) -> int:
    """Calls that were let go without an answer."""
    return int(sum(metrics(site, "agi_lookup_sessions_refused_total").values()))
