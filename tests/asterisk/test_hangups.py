"""Who leaves in the middle of a lookup: a caller, and Asterisk itself. What is paid for is kept, and nothing stays behind."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Final

from tests.asterisk.invite import Invite, send
from tests.asterisk.lab import NOTHING, Asterisk
from tests.asterisk.test_lookups import PATIENT, distinct, expected, fast_site, times_bought, url
from tests.processes import Site
from tests.test_abuse import call as other_call
from tests.test_daemon import request, simulator

LATENCY_MS: Final = 300


LISTEN: Final = "0A"
"""Linux net/tcp_states.h."""


def sessions(site: Site) -> int:
    """Connections for which the server holds a descriptor: the kernel's own, that wait for an end, have inode 0."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{site.agi_port:04X}") and row[3] != LISTEN and row[9] != "0" for row in rows)


NONE_UNDER_WAY: Final = "\nagi_lookup_lookups_under_way 0.0\n"


def metrics(site: Site) -> str:
    return request(f"http://127.0.0.1:{site.http_port}/metrics")[1]


async def until(count: int, site: Site) -> None:
    """Wait until so many sessions are open."""
    async with asyncio.timeout(30):
        while sessions(site) != count:
            await asyncio.sleep(0.01)


async def leave(asterisk: Asterisk, site: Site, number: str, after_s: float) -> int | None:
    """Call, and CANCEL; the SIP status that ended the call."""
    headers: dict[str, str | bytes] = {"X-Lab-Id": "left", "X-Lab-Url": url(site), "X-Lab-Context": "patient"}
    return await send(Invite(number, headers=headers), asterisk.sip_port, cancel_after_s=after_s)


async def test_callers_who_cancel_at_random_moments_lose_and_double_nothing(asterisk: Asterisk, tmp_path: Path) -> None:
    """F13: 100 numbers, some with callers who all leave; what was asked for them is bought once and known afterwards."""
    asterisk.load_dialplan(PATIENT)
    chance = random.Random(13)
    numbers = distinct(100)
    stayers = numbers[:20]
    with simulator(tmp_path, "--latency-ms", str(LATENCY_MS), "--limit", "npl.max_connections=0") as npl:
        site = fast_site(tmp_path, npl, deadline_ms=5000)
        with site.serve():

            async def leaver(number: str) -> int | None:
                await asyncio.sleep(chance.uniform(0, 0.8))
                return await leave(asterisk, site, number, chance.uniform(0, 1.5 * LATENCY_MS / 1000))

            async def stayer(number: str) -> dict[str, str]:
                await asyncio.sleep(chance.uniform(0, 0.8))
                _, call = await asterisk.sip_call(Invite(number), url(site), context="patient")
                return call.facts

            left, stayed = await asyncio.gather(
                asyncio.gather(*(leaver(chance.choice(numbers)) for _ in range(240))),
                asyncio.gather(*(stayer(number) for number in stayers)),
            )
            await until(0, site)
            while NONE_UNDER_WAY not in metrics(site):  # those that nobody waits for land too
                await asyncio.sleep(0.05)
            asked = times_bought(npl)
            again = await asyncio.gather(*(asterisk.call(number, AGI_LOOKUP_URL=url(site)) for number in numbers))
            times = times_bought(npl)
    assert stayed == [expected(number) for number in stayers]
    assert set(left) == {487, 403}, "some left in time, some too late"
    assert left.count(487) > 60
    assert [call.facts for call in again] == [expected(number) for number in numbers]
    assert dict.fromkeys(numbers, 1) == times
    assert {n for n, call in zip(numbers, again, strict=True) if call.route["LOOKUP_CACHE"] == "fresh"} == set(asked)


async def test_stopped_asterisk_holds_nothing_of_the_server_and_loses_no_call(
    asterisk: Asterisk, tmp_path: Path
) -> None:
    """F17: the server gives up on answers that nobody reads; the calls go on when Asterisk does, with a right answer or none."""
    numbers = distinct(20)
    with simulator(tmp_path, "--latency-ms", "3000", "--limit", "npl.max_connections=0") as npl:
        site = fast_site(tmp_path, npl)
        site.data["server"]["reply_timeout_s"] = 1.0
        site.write()
        with site.serve():
            calling = [
                asyncio.create_task(asterisk.call(number, AGI_LOOKUP_URL=url(site), AGI_LOOKUP_WATCHDOG_S=20))
                for number in numbers
            ]
            await until(len(numbers), site)
            asterisk.pause()
            try:
                assert await other_call(site.agi_port, "447400123401") == "OK"
                await until(0, site)
                then = metrics(site)
            finally:
                asterisk.resume()
            calls = await asyncio.gather(*calling)
            again = await asyncio.gather(*(asterisk.call(number, AGI_LOOKUP_URL=url(site)) for number in numbers))
        assert set(times_bought(npl).values()) == {1}
    assert f'agi_lookup_sessions_refused_total{{why="reply_timeout"}} {len(numbers)}.0' in then
    assert all(call.facts in (NOTHING, expected(number)) for call, number in zip(calls, numbers, strict=True))
    assert [call.facts for call in again] == [expected(number) for number in numbers]
