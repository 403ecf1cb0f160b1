"""Vendors that fail in every way, with calls going on: each is answered in time, nobody is stormed, and all is well again soon."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import statistics
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from agi_lookup.lookup.gates import FIRST_SHUT_S, MAX_SHUT_S
from agi_lookup.sim import npl
from agi_lookup.sim.vendors import Simulator
from tests.calls import dial, fresh_numbers, reachable, site_of, vendors
from tests.processes import Site
from tests.traffic import (
    BACK_S,
    CALLS_PER_S,
    DEADLINE_MS,
    Traffic,
    calls_until_all_is_well,
    check_every_call_was_answered,
    metrics,
)

pytestmark = pytest.mark.usefixtures("untraced")

SOAK: Final = "SOAK" in os.environ
NEARLY_ALL: Final = 0.95
"""A busy machine sheds some calls."""
OUT_OF_ORDER: Final = 1
"""Requests that may reach a vendor before those that left before them."""


@pytest.mark.parametrize("timeout_s", [2.0, 10.0])
async def test_a_provider_that_is_slow_all_at_once_costs_no_call_its_answer_and_is_used_again_soon(
    tmp_path: Path, timeout_s: float
) -> None:
    """P15: from 50 ms to 5 s and back, under 300 calls a second; once with a time-out that trips the breaker, once without."""
    with vendors(tmp_path, "--latency-ms", "50", "--limit", "npl.max_connections=0") as sim:
        blocks = sim.blocks("npl", max_concurrency=40, timeout_s=timeout_s)
        site = site_of(tmp_path, blocks, deadline_ms=DEADLINE_MS)
        with site.serve():
            traffic = Traffic(site, fresh_numbers())
            async with traffic.flowing():
                await calls_until_all_is_well(traffic)
                sim.change(latency_ms=5000)
                await asyncio.sleep(30 if SOAK else 4)
                slow = traffic.answers
                sim.change(latency_ms=50)
                missed = await calls_until_all_is_well(traffic)
    check_every_call_was_answered(traffic)
    assert "TIMEOUT" in traffic.statuses()[:slow]
    assert missed <= BACK_S * CALLS_PER_S


class Gate:
    """A port that takes connections and ends them at once, unread: how often it was tried."""

    def __init__(self) -> None:
        self.tried = 0

    @asynccontextmanager
    async def shut(self, port: int) -> AsyncIterator[None]:
        gate = self

        class Refuse(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                gate.tried += 1
                transport.abort()  # type: ignore[attr-defined]

        server = await asyncio.get_running_loop().create_server(Refuse, "127.0.0.1", port)
        try:
            yield
        finally:
            server.close()


def probes_within(seconds: float) -> int:
    """How often a vendor that never answers well may be tried, at the most."""
    probes, pause_s = 1, FIRST_SHUT_S
    while seconds >= pause_s:
        seconds -= pause_s
        probes, pause_s = probes + 1, min(2 * pause_s, MAX_SHUT_S)
    return probes


async def test_with_every_provider_down_hits_are_hits_and_misses_do_not_wait(tmp_path: Path) -> None:
    """P16, P1, G12: refused first, then connections that are cut; nobody is asked more often than to see whether it is back."""
    names, heard_before = ("npl", "hlrlookup", "numberyo"), [reachable(n, block=1) for n in range(50)]
    loop, gate, rate = asyncio.get_running_loop(), Gate(), 100
    with vendors(tmp_path) as sim:
        port = urlsplit(sim.url).port or 0
        blocks = sim.blocks(*names)
        blocks["numberyo"]["recover"] = False  # else it asks once more what became of a check
        site = site_of(tmp_path, blocks, deadline_ms=DEADLINE_MS)
        with site.serve():
            assert {(await dial(site, number) or {}).get("LOOKUP_STATUS") for number in heard_before} == {"OK"}
            sim.process.end()
            misses = fresh_numbers()
            mixed = (number for pair in zip(misses, itertools.cycle(heard_before)) for number in pair)
            traffic = Traffic(site, mixed)
            async with traffic.flowing(rate):
                while len(shut(site)) < len(names):
                    await asyncio.sleep(0.1)
                async with gate.shut(port):
                    start, began = traffic.answers, loop.time()
                    await asyncio.sleep(600 if SOAK else 8)
                    stop, lasted_s = traffic.answers, loop.time() - began
                with vendors(tmp_path, port=port):
                    missed = await calls_until_all_is_well(traffic)
    check_every_call_was_answered(traffic)
    hits = [said for number, said in traffic.told() if number in heard_before]
    dry = [said for number, said in traffic.told()[start:stop] if said and number not in heard_before]
    took = [int(said["LOOKUP_MS"]) for said in dry]
    assert share(hits, "OK", "fresh") >= NEARLY_ALL
    assert share(dry, "PARTIAL", "miss") >= NEARLY_ALL
    assert statistics.median(took) <= 20
    assert missed <= BACK_S * rate
    assert 0 < gate.tried <= len(names) * probes_within(lasted_s)


def share(calls: list[dict[str, str]], status: str, cache: str) -> float:
    return sum((s.get("LOOKUP_STATUS"), s.get("LOOKUP_CACHE")) == (status, cache) for s in calls) / len(calls)


def shut(site: Site) -> set[str]:
    """The providers whose breakers are shut."""
    asked = metrics(site, "agi_lookup_source_requests_total")
    return {labels.split('"')[1] for labels in asked if 'result="shut"' in labels}


@dataclass(frozen=True)
class Asked:
    """One request that reached a vendor."""

    at: float  # loop seconds
    number: str


class Flapping:
    """Vendors at Number Portability Lookup's manners, each unwell in its own way."""

    def __init__(self, ways: dict[str, Callable[[float], tuple[int, str] | None]]) -> None:
        self.ways = ways
        self.asked: dict[str, list[Asked]] = {name: [] for name in ways}
        self._well = Simulator(npl=npl.Limits(max_connections=0)).vendors[0]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        way, now = request.match_info["way"], asyncio.get_running_loop().time()
        number = str((await request.post()).get("msisdn", ""))
        if number:
            self.asked[way].append(Asked(now, number))
        if number and (said := self.ways[way](now)):
            return web.Response(status=said[0], text=said[1])
        return await self._well.handle(request)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        application = web.Application()
        application.router.add_post("/{way}", self.handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            listener = web.TCPSite(runner, "127.0.0.1", 0)
            await listener.start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


def retries_beside_requests(asked: list[Asked], window_s: float = 10.0) -> Iterator[tuple[int, int]]:
    """When a retry came: the retries of the last ten seconds, this one included, and all requests."""
    seen: set[str] = set()
    window: deque[tuple[float, bool]] = deque()
    for one in asked:
        window.append((one.at, one.number in seen))
        seen.add(one.number)
        while window[0][0] <= one.at - window_s:
            window.popleft()
        if window[-1][1]:
            yield sum(again for _, again in window), len(window)


async def test_a_flapping_provider_gets_few_retries_and_none_of_what_it_may_have_charged(tmp_path: Path) -> None:
    """P14, G6: half of the requests fail, at random or for a second at a time; at most a fifth of any ten seconds are retries."""
    coin = random.Random(14)
    busy, broken = (408, ""), (500, "Internal Server Error")
    flapping = Flapping({
        "coin": lambda _now: busy if coin.random() < 0.5 else None,
        "now-and-then": lambda _now: busy if coin.random() < 0.2 else None,
        "by-the-second": lambda now: busy if int(now) % 2 else None,
        "charging": lambda _now: broken if coin.random() < 0.5 else None,
    })  # fmt: skip
    async with flapping.serving() as url:
        account = {"kind": npl.KIND, "user": npl.USER, "password": npl.PASSWORD, "allow_private": True, "max_batch": 1}
        providers = {way: {**account, "base_url": f"{url}/{way}", "max_concurrency": 20} for way in flapping.ways}
        site = site_of(tmp_path, providers, deadline_ms=DEADLINE_MS)
        site.data["profiles"] |= {
            way: {"dial_plan": {"country": "GB"}, "deadline_ms": DEADLINE_MS, "sources": [way]} for way in flapping.ways
        }
        site.write()
        with site.serve():
            traffics = []
            async with AsyncExitStack() as stack:
                for block, way in enumerate(flapping.ways):
                    traffics.append(Traffic(site, fresh_numbers(block), f"profile={way}"))
                    await stack.enter_async_context(traffics[-1].flowing(50))
                await asyncio.sleep(120 if SOAK else 15)
    check_every_call_was_answered(*traffics)
    for way in ("coin", "now-and-then", "by-the-second"):
        shares = list(retries_beside_requests(flapping.asked[way]))
        assert shares, "nothing was tried again: the test shows nothing"
        assert all(retries <= 0.2 * requests + OUT_OF_ORDER for retries, requests in shares)
    assert max(Counter(one.number for one in flapping.asked["charging"]).values()) == 1


async def test_a_refused_key_is_one_login_attempt_and_a_new_one_is_used_at_once(tmp_path: Path) -> None:
    """P11: beside the one look at the balance when the server starts. The other provider answers."""
    with vendors(tmp_path) as sim:
        site = site_of(tmp_path, sim.blocks("npl", "hlrlookup"), deadline_ms=9000)
        site.data["providers"]["npl"]["password"] = "wrong"
        site.write()
        with site.serve() as server:
            first = await dial(site, reachable(0))
            others = await asyncio.gather(*(dial(site, reachable(n)) for n in range(1, 100)))
            refused = sim.bill()["npl"]
            alarms = [alarm["code"] for alarm in server.wait_for("alarm")]
            site.data["providers"]["npl"]["password"] = "sim-pass"
            site.write()
            server.popen.send_signal(signal.SIGHUP)
            server.wait_for("reloaded")
            mended = await dial(site, reachable(100))
    assert {said and (said["LOOKUP_STATUS"], said["LOOKUP_SOURCE"]) for said in (first, *others)} == {
        ("OK", "hlrlookup")
    }
    assert (refused["requests"], refused["numbers"]) == (2, 0)
    assert alarms == ["provider_auth"]
    assert mended
    assert (mended["LOOKUP_STATUS"], mended["LOOKUP_SOURCE"]) == ("OK", "npl")


async def test_many_who_call_at_once_try_a_refused_key_no_more_often_than_there_are_connections(tmp_path: Path) -> None:
    """P11."""
    with vendors(tmp_path, "--latency-ms", "100") as sim:
        site = site_of(tmp_path, sim.blocks("npl", password="wrong", max_concurrency=3, max_batch=1))
        with site.serve():
            await asyncio.gather(*(dial(site, reachable(n)) for n in range(300)))
            await asyncio.gather(*(dial(site, reachable(n)) for n in range(300)))
        assert sim.bill()["npl"]["requests"] <= 1 + 3


HASTE: Final = """
import runpy, sys
from agi_lookup.lookup import balances
balances.EMPTY_S = 0.5
sys.argv = sys.argv[3:]
runpy.run_module("agi_lookup.cli.main", run_name="__main__", alter_sys=True)
"""
"""The command behind it, with an empty account looked at twice a second instead of once a minute."""


async def test_an_empty_account_is_left_alone_until_its_balance_says_otherwise(tmp_path: Path) -> None:
    """P12: one refusal; the other provider answers; credit that is given back is noticed without a paid request."""
    with vendors(tmp_path, "--limit", "npl.credit=5") as sim:
        site = site_of(tmp_path, sim.blocks("npl", "hlrlookup"), deadline_ms=9000)
        numbers = fresh_numbers()
        with site.serve(wrap=[sys.executable, "-c", HASTE]) as server:
            said = [await dial(site, next(numbers)) for _ in range(40)]
            sources = Counter((one or {}).get("LOOKUP_SOURCE") for one in said)
            refusals = [entry for entry in sim.journal("npl") if entry["result"] == "FAIL Insufficient credit"]
            alarms = [alarm["code"] for alarm in server.wait_for("alarm")]
            sim.reset()
            async with asyncio.timeout(60):
                while (await dial(site, next(numbers)) or {}).get("LOOKUP_SOURCE") != "npl":
                    await asyncio.sleep(0.1)
        results = [entry["result"] for entry in sim.journal("npl") if entry["numbers"]]
    assert sources == {"npl": 5, "hlrlookup": 35}
    assert len(refusals) == 1
    assert alarms == ["provider_out_of_credit"]
    assert results == ["answered"], "the first that was asked again was answered"
