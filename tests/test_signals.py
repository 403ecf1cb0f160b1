"""Signals to a server while calls flow through it: whatever is read, swapped or ended, each call gets its answer."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.calls import Vendors, dial, fresh_numbers, reachable, site_of, vendors
from tests.processes import Site
from tests.traffic import Traffic

pytestmark = pytest.mark.usefixtures("untraced")

CALLS_PER_S: Final = 30
DEADLINE_MS: Final = 10_000
"""The longest that may be configured: a busy machine is no reason to let a call go."""
PATIENCE_S: Final = 60.0
RELOADS: Final = 20
ERRORS: Final = {"", "timeout", "overload"}
"""What a busy machine may bring about. No request is broken off."""
STATUSES: Final = {"OK", "PARTIAL", "TIMEOUT", "DEGRADED"}
BROKEN: Final = ("profiles: [", "", "nonsense: 1", "providers: {npl: {kind: nobody}}", "a: 1\na: 2")


def patient_site(folder: Path, sim: Vendors) -> Site:
    site = site_of(folder, sim.blocks("npl", max_concurrency=500, timeout_s=10), deadline_ms=DEADLINE_MS)
    site.data["server"]["drain_s"] = 60
    site.write()
    return site


async def more_answers(traffic: Traffic, count: int) -> None:
    start = traffic.answers
    async with asyncio.timeout(PATIENCE_S):
        while traffic.answers < start + count:
            await asyncio.sleep(0.01)


def check_all_were_told(answers: Sequence[dict[str, str] | None]) -> None:
    """What a call was told is empty where it was let go, and None where nobody listened."""
    told = [(said or {}).get("LOOKUP_STATUS", "") for said in answers]
    assert "OK" in told
    assert set(told) <= STATUSES
    assert {said["LOOKUP_ERROR"] for said in answers if said} <= ERRORS


async def test_no_call_is_lost_while_the_config_is_read_anew_good_and_broken(tmp_path: Path) -> None:
    """O4, A1: each good one replaces the provider's connections, under the calls that use them."""
    with vendors(tmp_path, "--latency-ms", "100", "--limit", "npl.max_connections=0") as sim:
        site = patient_site(tmp_path, sim)
        with site.serve() as server:
            traffic = Traffic(site, fresh_numbers())
            async with traffic.flowing(CALLS_PER_S):
                for turn in range(RELOADS):
                    await more_answers(traffic, 5)
                    if turn % 2:
                        site.data["providers"]["npl"]["timeout_s"] = 11 + turn
                        site.write()
                    else:
                        site.config.write_text(BROKEN[turn // 2 % len(BROKEN)])
                    told = "reloaded" if turn % 2 else "reload failed, the old config stays"
                    before = len(server.lines(told))
                    server.popen.send_signal(signal.SIGHUP)
                    await asyncio.to_thread(server.wait_for, told, before + 1)
                await more_answers(traffic, 30)
            assert server.end(within_s=PATIENCE_S) == 0
            text = server.log.read_text()

    assert traffic.load.started == traffic.answers
    assert (traffic.load.failed, traffic.load.wrong, traffic.load.early_bytes, traffic.released) == (0, 0, 0, 0)
    check_all_were_told([said for _, said in traffic.told()])
    assert len(server.lines("reloaded")) == RELOADS / 2
    assert '"a bug' not in text


async def test_a_stop_while_calls_flow_answers_those_under_way_and_takes_no_more(tmp_path: Path) -> None:
    """O3: the vendor is slow, so that many calls wait for it when the signal comes."""
    waiting = [reachable(n, block=1) for n in range(20)]
    with vendors(tmp_path, "--latency-ms", "2000", "--limit", "npl.max_connections=0") as sim:
        site = patient_site(tmp_path, sim)
        with site.serve() as server:
            traffic = Traffic(site, fresh_numbers())
            async with traffic.flowing(CALLS_PER_S, outlives=True):
                await more_answers(traffic, 10)
                under_way = [asyncio.create_task(dial(site, number)) for number in waiting]
                async with asyncio.timeout(PATIENCE_S):
                    while not set(waiting) <= (await asyncio.to_thread(sim.asked)).keys():
                        await asyncio.sleep(0.05)
                server.popen.send_signal(signal.SIGTERM)
                answered = await asyncio.gather(*under_way)
                assert await asyncio.to_thread(server.popen.wait, PATIENCE_S) == 0
                ended = traffic.started
                async with asyncio.timeout(PATIENCE_S):
                    while traffic.started < ended + 10:  # these find nobody
                        await asyncio.sleep(0.01)
            text = server.log.read_text()
        with socket.socket() as late:
            assert late.connect_ex(("127.0.0.1", site.agi_port)) != 0

    check_all_were_told(answered)
    assert traffic.load.started == traffic.answers + traffic.load.failed
    assert traffic.load.failed >= 10
    assert (traffic.load.wrong, traffic.load.early_bytes) == (0, 0)
    check_all_were_told([said for _, said in traffic.told()])
    assert [line["sessions_ended"] for line in server.lines("stopped")] == [0]
    assert '"a bug' not in text
