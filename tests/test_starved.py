"""Too little memory, too little CPU: calls are answered or let go, the listener lives, and all is well again afterwards."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, cast

import pytest

from agi_lookup.alarms import ALARMS
from agi_lookup.listening import Listening
from agi_lookup.memory_limit import MemoryLimit
from tests.calls import fresh_numbers
from tests.environments import lookup_environment
from tests.processes import Process, Site, make_site, until
from tests.test_daemon import simulator
from tests.traffic import DEADLINE_MS, LAST_MS, Traffic, calls_until_all_is_well, metrics

pytestmark = [pytest.mark.alone, pytest.mark.usefixtures("untraced")]

NUMBER: Final = "447400123401"


@pytest.fixture
def npl(tmp_path: Path) -> Iterator[str]:
    with simulator(tmp_path) as base:
        yield base


# Memory


def limit_data(server: Process, more: int | None) -> None:
    """Let it have so many bytes more than it has; None: as many as it likes."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    (used,) = (int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData"))
    soft = resource.RLIM_INFINITY if more is None else used + more
    resource.prlimit(server.pid, resource.RLIMIT_DATA, (soft, resource.RLIM_INFINITY))


def held(site: Site) -> int:
    """Numbers in the cache in memory."""
    return int(metrics(site, "agi_lookup_cache_numbers")['{tier="memory"'])


def test_a_cache_is_let_go_before_memory_is_gone(tmp_path: Path, npl: str) -> None:
    """O6: near the limit the cache in memory shrinks, an alarm tells, and calls go on, by what the disk knows."""
    site = make_site(tmp_path, provider=npl)
    with site.serve() as server:
        assert site.call(NUMBER)["LOOKUP_CACHE"] == "miss"
        assert held(site) == 1
        limit_data(server, 4 * 2**20)
        (alarm,) = (one for one in server.wait_for("alarm") if one["code"] == "memory_short")
        until(lambda: held(site) == 0)
        again = site.call(NUMBER)
        limit_data(server, None)
        assert site.call("447400123431")["LOOKUP_STATUS"] == "OK"

    assert alarm["code"] in ALARMS
    assert (again["LOOKUP_STATUS"], again["LOOKUP_CACHE"]) == ("OK", "fresh")


class Forgetful(asyncio.Protocol):
    """Says hello."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(b"hello")
        transport.close()


async def test_a_listener_that_ran_out_of_memory_is_replaced_and_those_in_the_backlog_are_served() -> None:
    """O6: uvloop's own closes without a word, and callers would wait for ever."""
    taken, deaf = 0, 0
    short = True

    def make() -> asyncio.Protocol:
        nonlocal taken
        if short:
            raise MemoryError
        taken += 1
        return Forgetful()

    def on_deaf() -> None:
        nonlocal deaf
        deaf += 1

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _context: None)  # it tells of each MemoryError
    listening = Listening(make, on_deaf)
    port = await listening.start("127.0.0.1", 0)
    clients = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(8)]
    try:
        while listening.waiting() == 0:  # the dead listeners' connections are lost, the others wait
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        left = listening.waiting()
        short = False
        while taken < left:
            listening.look_after(taken, loop.time())
            await asyncio.sleep(0.02)
        assert 0 < left < len(clients)
        assert deaf == 1
        more = socket.create_connection(("127.0.0.1", port), timeout=10)
        more.settimeout(10)
        assert await asyncio.to_thread(more.recv, 10) == b"hello"
        more.close()
    finally:
        listening.stop()
        for client in clients:
            client.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=10)


@pytest.mark.soak
@pytest.mark.skipif(not os.environ.get("SOAK"), reason="long: run by make soak")
@pytest.mark.parametrize("_turn", range(5))
async def test_out_of_memory_a_server_ends_or_answers_again(tmp_path: Path, _turn: int) -> None:
    """O6: with the very last byte gone. What must never be is a server that lives and takes no calls."""
    site = make_site(tmp_path)
    fat = lookup_environment(NUMBER)[:-1] + b"".join(b"agi_arg_%d: %s\n" % (n, b"x" * 7000) for n in range(4, 8))
    with site.serve() as server:
        limit_data(server, 0)
        writers = []
        for _ in range(2000):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", site.agi_port)
            except OSError:
                break
            writer.write(fat)
            writers.append(writer)
        await asyncio.gather(*(call(site) for _ in range(200)))
        for writer in writers:
            writer.close()
        if server.popen.poll() is None:
            limit_data(server, None)
            await asyncio.sleep(3)
            assert set(await asyncio.gather(*(call(site) for _ in range(50)))) == {"PARTIAL"}


async def call(site: Site) -> str:
    """`LOOKUP_STATUS`; empty when nothing was said, or not in time."""
    try:
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", site.agi_port)
            with closing(writer):
                writer.write(lookup_environment(NUMBER))
                line = (await reader.readline()).decode()
                writer.write(b"200 result=1\n")
                await reader.read()
                return line.rstrip('"\n').rpartition(",")[2]
    except (OSError, TimeoutError):
        return ""


@pytest.mark.parametrize(("limit", "near"), [(None, False), (2**50, False), (2**20, True)])
def test_the_limit_of_the_control_group_is_heeded(limit: int | None, near: bool) -> None:
    """O6."""
    assert MemoryLimit(lambda: limit).is_near() is near


# CPU


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Loops that do nothing, as fast as they can."""
    loops = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait(30)


async def test_with_no_cpu_to_spare_each_call_is_answered_or_let_go(tmp_path: Path, npl: str) -> None:
    """O8: twice as much to do as there are processors for. What is late is told nothing, what is shed is counted."""
    site = make_site(tmp_path, provider=npl, deadline_ms=DEADLINE_MS)
    with site.serve():
        traffic = Traffic(site, fresh_numbers())
        async with traffic.flowing(40):
            with busy(2 * (os.cpu_count() or 1)):
                await asyncio.sleep(6)
            await calls_until_all_is_well(traffic)
        errors = metrics(site, "agi_lookup_call_errors_total")

    answers = [said for _, said in traffic.told() if said]
    assert traffic.started == len(answers) + traffic.released
    assert {said["LOOKUP_ACTION"] for said in answers} == {"allow"}
    assert max(int(said["LOOKUP_MS"]) for said in answers) <= LAST_MS
    statuses = [said["LOOKUP_STATUS"] for said in answers]
    assert set(statuses) <= {"OK", "PARTIAL", "TIMEOUT", "DEGRADED"}
    assert sum(errors.values()) >= statuses.count("DEGRADED") + statuses.count("TIMEOUT")
