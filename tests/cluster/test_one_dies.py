"""Two servers of which one dies, or stands still, while it asks about a number that both want."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.cache.conftest import until
from tests.cache.servers import Server
from tests.calls import Vendors, dial, reachable, vendors
from tests.cluster.sites import instance
from tests.processes import Process, Site

pytestmark = pytest.mark.usefixtures("untraced")

VENDOR_MS: Final = 3000
"""What the vendor takes for its first answer: longer than any call waits."""
DEADLINE_MS: Final = 1000
TIMEOUT_S: Final = 4.0
"""A claim that nobody ends lasts so long, and a call's deadline more."""
WITHOUT_IT: Final = {"TIMEOUT", "PARTIAL", "DEGRADED"}
"""The last on a starved machine."""
PATIENCE_S: Final = 60.0
NUMBER: Final = reachable(0)


def bought(sim: Vendors) -> int:
    return int(sim.bill()["npl"]["numbers"])


async def answered(site: Site) -> dict[str, str]:
    """What the first call was told that got its answer."""
    async with asyncio.timeout(PATIENCE_S):
        while not (said := await dial(site, NUMBER)) or said["LOOKUP_STATUS"] != "OK":
            await asyncio.sleep(0.1)
    return said


@asynccontextmanager
async def trouble_while_one_asks(
    folder: Path, valkey: Server, trouble: Callable[[Process], object]
) -> AsyncIterator[tuple[Vendors, Site, Site, Process]]:
    """The vendor, who had asked it when `trouble` came, the other one, which has the number by now, and the first one's process."""
    with vendors(folder, "--latency-ms", str(VENDOR_MS)) as sim:
        one, other = (
            instance(
                folder / name,
                sim,
                valkey,
                timeout_ms=DEADLINE_MS,
                deadline_ms=DEADLINE_MS,
                blocks={"timeout_s": TIMEOUT_S},
            )
            for name in ("one", "other")
        )
        with one.serve() as process, other.serve():
            asking = asyncio.create_task(dial(one, NUMBER))
            await until(lambda: bought(sim) == 1, PATIENCE_S)
            assert claimed(valkey)
            waiting = [asyncio.create_task(dial(other, NUMBER)) for _ in range(10)]
            await asyncio.sleep(0.1)
            trouble(process)
            for said in await asyncio.gather(*waiting):
                assert said
                assert said["LOOKUP_STATUS"] in WITHOUT_IT
                assert said["LOOKUP_ACTION"] == "allow"
            so_far = bought(sim)
            assert so_far == 1 or not claimed(valkey), "nobody else asks while it is claimed"
            sim.change(latency_ms=0)
            assert (await answered(other))["LOOKUP_SOURCE"] == "npl"
            assert bought(sim) == 2
            yield sim, one, other, process
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


def claimed(valkey: Server) -> bool:
    keys = valkey.keys()
    return any(":claim:" in key for key in keys)


async def test_a_number_that_was_asked_by_who_died_is_bought_once_more_and_known_to_all(
    tmp_path: Path, valkey: Server
) -> None:
    """C2, C13, G1: kill -9. Calls elsewhere wait no longer than their deadline, then the claim lapses."""
    trouble = trouble_while_one_asks(tmp_path, valkey, lambda process: process.end(signal.SIGKILL))
    async with trouble as (sim, one, other, _):
        with one.serve():
            for site in (one, other):
                assert (await answered(site))["LOOKUP_CACHE"] == "fresh"
        assert bought(sim) == 2


async def test_who_stood_still_and_goes_on_buys_nothing_again_and_spoils_nothing(
    tmp_path: Path, valkey: Server
) -> None:
    """C2, C13, G1: its claim has lapsed, and the number is another's."""
    trouble = trouble_while_one_asks(tmp_path, valkey, lambda process: os.kill(process.pid, signal.SIGSTOP))
    async with trouble as (sim, one, other, process):
        os.kill(process.pid, signal.SIGCONT)
        said: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE_S):
            while said.get("LOOKUP_STATUS", "DEGRADED") == "DEGRADED":  # it sheds until it has caught up
                said = await dial(one, NUMBER) or {}
        assert said["LOOKUP_ACTION"] == "allow"
        assert (await answered(other))["LOOKUP_CACHE"] == "fresh"
        assert bought(sim) == 2
