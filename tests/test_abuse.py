"""The server under abuse, as a process of its own: live calls are unaffected, and nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.environments import lookup_environment
from tests.processes import Process, Site, make_site
from tests.test_daemon import bought, simulator

pytestmark = [pytest.mark.alone, pytest.mark.usefixtures("untraced")]


@pytest.fixture
def npl(tmp_path: Path) -> Iterator[str]:
    with simulator(tmp_path, "--latency-ms", "300") as base:
        yield base


@pytest.fixture
def site(tmp_path: Path, npl: str) -> Site:
    return make_site(tmp_path, provider=npl)


async def call(port: int, number: str, *, leave_after_s: float | None = None) -> str:
    """One call's `LOOKUP_STATUS`; empty when the caller left."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(lookup_environment(number))
        async with asyncio.timeout(leave_after_s if leave_after_s is not None else 20):
            line = (await reader.readline()).decode()
            writer.write(b"200 result=1\n")
            await reader.read()
        return line.rstrip('"\n').rpartition(",")[2]
    except TimeoutError:
        if leave_after_s is None:
            raise
        return ""
    finally:
        writer.close()


@asynccontextmanager
async def idle(port: int, count: int) -> AsyncIterator[list[socket.socket]]:
    clients = []
    loop = asyncio.get_running_loop()
    for _ in range(count):
        client = socket.socket()
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        clients.append(client)
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


def descriptors(process: Process) -> int:
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def rss_kib(process: Process) -> int:
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


async def back_to(process: Process, base: int) -> None:
    for _ in range(3000):
        if descriptors(process) <= base + 5:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{descriptors(process)} descriptors, {base} at first")


async def test_a_thousand_sessions_for_one_cold_number_make_one_request(site: Site, npl: str) -> None:
    """C1."""
    with site.serve():
        statuses = await asyncio.gather(*(call(site.agi_port, "447400123401") for _ in range(1000)))

    assert statuses == ["OK"] * 1000
    assert bought(npl) == 1


async def test_hangups_at_random_moments_lose_and_double_nothing(site: Site, npl: str) -> None:
    """F13: 300 calls to 20 numbers, half of the callers leave; each number is bought once and known afterwards."""
    chance = random.Random(3)
    numbers = [f"4474001{n:03d}01" for n in range(20)]
    with site.serve():
        await asyncio.gather(
            *(
                call(
                    site.agi_port,
                    chance.choice(numbers),
                    leave_after_s=chance.uniform(0, 0.3) if chance.random() < 0.5 else None,
                )
                for _ in range(300)
            )
        )
        await asyncio.sleep(1.0)
        statuses = await asyncio.gather(*(call(site.agi_port, number) for number in numbers))

    assert statuses == ["OK"] * 20
    assert bought(npl) == 20


async def test_ten_thousand_idle_connections_hurt_nobody_and_go_away(site: Site) -> None:
    """F1."""
    count = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1000)
    site.data["server"]["environment_timeout_s"] = 4.0
    site.write()
    with site.serve() as server:
        assert await call(site.agi_port, "447400123401") == "OK"
        base = descriptors(server)
        async with idle(site.agi_port, count):
            statuses = await asyncio.gather(*(call(site.agi_port, "447400123401") for _ in range(50)))
            assert statuses == ["OK"] * 50
            assert rss_kib(server) < 250 * 1024
            await asyncio.sleep(4.0)
            await back_to(server, base)
        assert await call(site.agi_port, "447400123401") == "OK"


async def test_a_port_scan_hurts_nobody_and_costs_little(site: Site) -> None:
    """F2."""
    with site.serve() as server:
        assert await call(site.agi_port, "447400123401") == "OK"
        base = descriptors(server)
        for _ in range(1000):
            socket.create_connection(("127.0.0.1", site.agi_port)).close()
        assert await call(site.agi_port, "447400123401") == "OK"
        await back_to(server, base)
        before = cpu_ticks(server)
        await asyncio.sleep(1.0)
        assert cpu_ticks(server) - before < 30, "it spins: a third of a second of work in one of nothing to do"


def cpu_ticks(process: Process) -> int:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


async def test_byte_by_byte_environments_are_served_beside_others(site: Site) -> None:
    """F4."""

    async def drip() -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.agi_port)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in lookup_environment("447400123401"):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.0005)
        line = (await reader.readline()).decode()
        writer.close()
        return line.rstrip('"\n').rpartition(",")[2]

    with site.serve():
        assert await call(site.agi_port, "447400123401") == "OK"
        assert await asyncio.gather(*(drip() for _ in range(30))) == ["OK"] * 30


async def test_few_descriptors_shed_calls_and_never_leave_one_hanging(site: Site) -> None:
    """F21: with 256 descriptors, 400 idle connections; each surplus one is told FAILURE at once."""
    wrapped = ["prlimit", "--nofile=256:256"]
    with site.serve(wrap=wrapped):
        async with idle(site.agi_port, 400) as clients:
            told = 0
            async with asyncio.timeout(60):
                while told < 400 - 256:
                    told += sum(1 for client in clients if said(client) == b"FAILURE\n")
                    await asyncio.sleep(0.05)
    assert told < 400


def said(client: socket.socket) -> bytes:
    try:
        return client.recv(100)
    except (BlockingIOError, ConnectionResetError):
        return b""
