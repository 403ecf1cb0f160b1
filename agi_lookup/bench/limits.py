"""Published limits of vendors: how much of each does our side use, and is it ever refused, while more numbers come than may pass?

The vendor is our simulator, in a process of its own; it refuses whatever is beyond the limit. Our side is what a config makes of it
(`wiring.build`): a source's line, its gates, the ledger on disk, the provider, HTTP, and the listener for its webhooks. Left out is
what no vendor limits: the call, the cache, the flights. Callers ask for ever new numbers, so that a line of them always waits.

What counts is what the vendor saw, by its own clock, once all of the limit is in use:

- At once: its requests under way on average, against those that may be. So a reply that we are slow to follow up counts against us.
- A minute: how fast its requests came, from the first to the last of them. The first few go at once, before we measure, and the
  rest is spread so that the minutes of both clocks fit: 345 of 360 a minute, 95.9 %. The run is longer than a minute, because any
  60 s are what the simulator counts: nothing could be refused before.
- Numbers: those in a request on average, against those that may be.

Where a vendor has published several, their shares are multiplied: so many of the numbers were looked up that could have been.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import uvloop

from agi_lookup.bench.children import Child
from agi_lookup.bench.demand import ANSWER, Demand, OurSide, demand_for, our_side
from agi_lookup.bench.figures import Spread
from agi_lookup.bench.gauged_vendor import Gauge
from agi_lookup.bench.published import Case
from agi_lookup.domain.errors import OutsideError
from agi_lookup.sim.vendors import Simulator


def used_limits(folder: Path, cases: Iterable[Case]) -> list[dict[str, Any]]:
    """The report's `limits`, one vendor after the other. Raises `OutsideError` when a vendor does not start."""
    return [uvloop.run(measured(case, folder / str(place))) for place, case in enumerate(cases)]


async def measured(case: Case, folder: Path) -> dict[str, Any]:
    (folder / "state").mkdir(parents=True)
    async with (
        _vendor(case) as vendor,
        our_side(case, folder, vendor.block) as ours,
        demand_for(case, ours.link) as demand,
    ):
        await asyncio.sleep(case.warm_up_s)
        demand.least_waiting = ours.link.health().waiting
        looks = [await vendor.look(ours, demand)]
        for _ in range(case.windows):
            await asyncio.sleep(case.window_s)
            looks.append(await vendor.look(ours, demand))
        return _report(case, looks, demand)


@dataclass(frozen=True, slots=True)
class Look:
    """Both sides at one moment. Counts are since the start."""

    gauge: Gauge
    answers: int
    webhooks: int
    cpu_s: float  # ours, the callers' included


@dataclass(frozen=True, slots=True)
class Vendor:
    """`block` is that of the config that points to it."""

    url: str
    block: Mapping[str, str]
    session: aiohttp.ClientSession

    async def look(self, ours: OurSide, demand: Demand) -> Look:
        async with self.session.get(f"{self.url}/_sim/gauge") as response:
            gauge = msgspec.json.decode(await response.read(), type=Gauge)
        return Look(gauge, demand.results[ANSWER], ours.webhooks, time.process_time())


@asynccontextmanager
async def _vendor(case: Case) -> AsyncIterator[Vendor]:
    limits = [f"{case.vendor}.{name}={value}" for name, value in case.account.items()]
    with Child("agi_lookup.bench.gauged_vendor", case.vendor, str(case.latency_s), *limits) as process:
        url = await asyncio.to_thread(process.first_line)
        if not url:
            raise OutsideError(f"the simulated {case.title} did not start")
        block = next(vendor.config(url) for vendor in Simulator().vendors if vendor.name == case.vendor)
        async with aiohttp.ClientSession() as session:
            yield Vendor(url, block, session)


def _report(case: Case, looks: Sequence[Look], demand: Demand) -> dict[str, Any]:
    first, last = looks[0], looks[-1]
    shares = shares_of(case, first.gauge, last.gauge)
    windows = [prod(shares_of(case, a.gauge, b.gauge).values()) for a, b in itertools.pairwise(looks)]
    seconds = last.gauge.at - first.gauge.at
    numbers = last.gauge.numbers - first.gauge.numbers
    return {
        "title": case.title,
        "limit": {
            name: getattr(case, name) for name in ("at_once", "per_minute", "numbers", "latency_s", "numbers_per_s")
        },
        "seconds": seconds,
        "used_percent": 100 * prod(shares.values()),
        "used_percent_by_window": asdict(Spread.of(100 * window for window in windows)),
        "shares_percent": {name: 100 * share for name, share in shares.items()},
        "requests": last.gauge.taken - first.gauge.taken,
        "numbers_per_s": numbers / seconds,
        "answers_per_s": (last.answers - first.answers) / seconds,
        "webhooks_per_s": (last.webhooks - first.webhooks) / seconds,
        "cpu_us_a_number": (last.cpu_s - first.cpu_s) / max(1, numbers) * 1e6,
        "least_waiting": demand.least_waiting,  # 0: it was our demand that was too small
        # From the start on:
        "most_at_once": last.gauge.most,
        "refused": last.gauge.refused,
        "failed": demand.results.total() - demand.results[ANSWER],
        "results": dict(demand.results),
    }


def shares_of(case: Case, before: Gauge, after: Gauge) -> dict[str, float]:
    """What was used of each part of the limit; 1 is all of it."""
    shares = {"numbers": (after.numbers - before.numbers) / max(1, after.taken - before.taken) / case.numbers}
    if case.at_once is not None:
        shares["at_once"] = (after.under_way_s - before.under_way_s) / (after.at - before.at) / case.at_once
    if case.per_minute is not None:
        came, seconds = after.came - before.came, after.came_at - before.came_at
        shares["per_minute"] = came / seconds * 60 / case.per_minute if came else 0.0
    return shares
