"""Whoever leaves at whatever moment: the pool stays whole, and every answer stays with its own number."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from agi_lookup import config as configuration
from agi_lookup.bench import calls as bench
from agi_lookup.domain.model import LookupQuery, Tri
from agi_lookup.domain.number import normalise
from agi_lookup.oneoff import opened
from agi_lookup.wiring import Generation
from tests.calls import Vendors, books, site_of, vendors

pytestmark = pytest.mark.usefixtures("untraced")

SOAK: Final = "SOAK" in os.environ


@pytest.mark.parametrize("of", ["callers", "requests"])
async def test_cancellations_at_any_moment_leave_the_pool_whole_and_every_answer_with_its_own_number(
    tmp_path: Path, of: str
) -> None:
    """P17, G17: 20,000 (`SOAK=1`: 200,000) over a pool of ten; of calls that share lookups, and of the very requests."""
    rounds, draw = (100_000 if SOAK else 10_000), random.Random(17)
    with vendors(tmp_path, "--limit", "npl.max_connections=0") as sim:
        site = site_of(tmp_path, sim.blocks("npl", max_concurrency=10))
        async with opened(configuration.read(site.config)) as (core, generation):
            ask = {"callers": ask_resolver, "requests": ask_link}[of]
            new = map(bench.number, itertools.count())
            shared = {"callers": 3, "requests": 1}[of]  # to share lookups is the resolver's part
            numbers = (number for each in new for number in [each] * shared)

            async def leave() -> None:
                for _ in range(rounds // 100):
                    task = asyncio.create_task(ask(generation, next(numbers)))
                    await moment(draw)
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)

            await asyncio.gather(*(leave() for _ in range(100)))
            await core.flights.drain(20)
            health = generation.links["npl"].health()
            assert (health.state, health.under_way, health.waiting, len(core.flights)) == ("ok", 0, 0, 0)
            assert connections(sim) <= 10
            sample = [next(new) for _ in range(100)]
            assert await asyncio.gather(*(ask(generation, number) for number in sample)) == [*map(known, sample)]
        assert connections(sim) == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}
        booked = books(site, sim)
    assert booked.open_requests == 0
    assert booked.known <= booked.billed <= booked.booked
    assert max(booked.billed.values()) == 1


async def moment(draw: random.Random) -> None:
    """From none to some milliseconds, or rounds of the loop."""
    if draw.random() < 0.5:
        await asyncio.sleep(draw.uniform(0, 0.02))
    else:
        for _ in range(draw.randrange(20)):
            await asyncio.sleep(0)


Facts = tuple[str | None, Tri, Tri]
"""Carrier, ported, reachable: they tell one number of the simulator from the next."""


def known(dialled: str) -> Facts:
    said = bench.expected(dialled, cache="miss")
    return said["LOOKUP_CARRIER"], Tri(said["LOOKUP_PORTED"]), Tri(said["LOOKUP_REACHABLE"])


async def ask_resolver(generation: Generation, dialled: str) -> Facts:
    profile = generation.kit.profiles["default"]
    query = LookupQuery(normalise(f"+{dialled}", profile.dial_plan), profile.facets)
    outcome = await profile.resolver.resolve(query, deadline=asyncio.get_running_loop().time() + 20)
    assert outcome.identity is not None
    assert outcome.liveness is not None
    identity, liveness = outcome.identity.value, outcome.liveness.value
    return identity.carrier, identity.ported, liveness.reachable


async def ask_link(generation: Generation, dialled: str) -> Facts:
    profile, until = generation.kit.profiles["default"], asyncio.get_running_loop().time() + 20
    number = normalise(f"+{dialled}", profile.dial_plan)
    answer = await generation.links["npl"].ask(number, time.time(), lambda: until)
    assert answer.number == number.e164
    assert answer.identity is not None
    assert answer.liveness is not None
    return answer.identity.carrier, answer.identity.ported, answer.liveness.reachable


def connections(sim: Vendors) -> int:
    """That this process holds to the vendors."""
    port = f":{urlsplit(sim.url).port:04X}"
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(port) and row[3] == ESTABLISHED for row in rows)


ESTABLISHED: Final = "01"
"""Linux net/tcp_states.h."""
