"""Tiers on a temporary file, with an ear for what they count and alarm, and a check that no thread outlives them."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from agi_lookup.cache.sqlite import Limits, Mode, SqliteTier
from agi_lookup.cache.sqlite.reader import Reader
from agi_lookup.cache.valkey.options import SharedOptions
from agi_lookup.cache.valkey.tier import Limits as ValkeyLimits
from agi_lookup.cache.valkey.tier import ValkeyTier
from tests.cache.entries import NOW
from tests.cache.servers import Server, valkey_server
from tests.fakes import Clock


class Heard:
    """What a tier said."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.alarms: list[tuple[str, str]] = []

    def count(self, word: str) -> None:
        self.counts[word] += 1

    def alarm(self, code: str, detail: str) -> None:
        self.alarms.append((code, detail))

    @property
    def codes(self) -> list[str]:
        return [code for code, _ in self.alarms]


class OpenTier(Protocol):
    def __call__(
        self, path: Path = ..., *, mode: Mode = ..., max_rows: int = ..., limits: Limits = ...
    ) -> Awaitable[SqliteTier]: ...


OpenReader = Callable[[float], Awaitable[Reader]]

PATIENT = Limits(read_timeout_s=5.0, line_s=5.0, lock_wait_s=30.0)
"""No test depends on how busy the machine is."""
PATIENCE_S = 30.0


@pytest.fixture(autouse=True, scope="module")
def patience() -> Iterator[None]:
    """Nor on the limits that are no options."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteTier.flush, "__defaults__", (PATIENCE_S,))
        for limit in (
            "cache.sqlite.tier.OPEN_S",
            "cache.sqlite.reader.OPEN_S",
            "cache.valkey.reader.OPEN_S",
            "cluster.member.BEHIND_S",
            "cluster.claims.CLOSE_S",
        ):
            patch.setattr(f"agi_lookup.{limit}", PATIENCE_S)
        yield


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "cache.sqlite"


@pytest.fixture
async def open_tier(path: Path, clock: Clock, heard: Heard) -> AsyncIterator[OpenTier]:
    """Opens tiers, and closes them in the end. Every thread that they start must end with them."""
    tiers: list[SqliteTier] = []
    default = path

    async def open_(
        path: Path = default,
        *,
        mode: Mode = Mode.SERVER,
        max_rows: int = 5_000_000,
        limits: Limits = PATIENT,
    ) -> SqliteTier:
        tier = await SqliteTier.open(
            path, mode=mode, max_rows=max_rows, limits=limits, clock=clock, on_alarm=heard.alarm, count=heard.count
        )
        tiers.append(tier)
        return tier

    yield open_
    for tier in tiers:
        await tier.close()
    await until(
        lambda: not [t for t in threading.enumerate() if "aiosqlite" in t.name or "_connection_worker" in t.name]
    )


@pytest.fixture
async def open_reader(path: Path, heard: Heard) -> AsyncIterator[OpenReader]:
    """Opens the reading half alone, with a time-out in seconds."""
    readers: list[Reader] = []

    async def open_(timeout_s: float) -> Reader:
        readers.append(Reader(path, timeout_s=timeout_s, on_damage=lambda why: None, count=heard.count))
        await readers[-1].open()
        return readers[-1]

    yield open_
    for reader in readers:
        await reader.close()


@pytest.fixture
def valkey() -> Iterator[Server]:
    with valkey_server() as server:
        yield server


AMPLE = ValkeyLimits(write_s=20.0)


class OpenShared(Protocol):
    def __call__(self, url: str = ..., *, limits: ValkeyLimits = ..., **options: object) -> Awaitable[ValkeyTier]: ...


@pytest.fixture
async def open_shared(valkey: Server, clock: Clock, heard: Heard) -> AsyncIterator[OpenShared]:
    """Opens shared tiers on one server, that patient calls read from; closes them in the end."""
    tiers: list[ValkeyTier] = []

    async def open_(url: str = "", *, limits: ValkeyLimits = AMPLE, **options: object) -> ValkeyTier:
        given = SharedOptions.model_validate({"url": url or valkey.url, "timeout_ms": 10_000} | options)
        tier = await ValkeyTier.open(given, clock=clock, on_alarm=heard.alarm, count=heard.count, limits=limits)
        tiers.append(tier)
        return tier

    yield open_
    for tier in tiers:
        await tier.close()


async def until(true: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait for a condition that background work brings about."""
    async with asyncio.timeout(timeout_s):
        while not true():
            await asyncio.sleep(0.005)
