"""For processes that do one thing and end: a config, and a way to look numbers up with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from agi_lookup import log, wiring
from agi_lookup.cache.sqlite import Mode
from agi_lookup.cache.sqlite.file import CACHE_FILE
from agi_lookup.cache.sqlite.lock import server_pid
from agi_lookup.config import Config
from agi_lookup.lookup.resolver import FLIGHT_S
from agi_lookup.metrics import Metrics
from agi_lookup.wiring import Core, Generation

STANDARD_ERROR: Final = 2


def server_runs(config: Config) -> bool:
    """Does another process hold the cache's write lock for as long as it lives?"""
    return config.cache.disk and server_pid(config.state_dir / CACHE_FILE) is not None


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[tuple[Core, Generation]]:
    """Cache, chain and policy of a config, for one command. On leaving, what is paid for is waited for and kept.

    What is logged meanwhile goes to standard error, as a server logs it: structlog's own way is standard output, where Asterisk may
    listen, with whatever the frames of an exception hold.
    """
    sink = log.configure("warning", fd=STANDARD_ERROR)
    try:
        async with _opened(config) as both:
            yield both
    finally:
        sink.close()


@asynccontextmanager
async def _opened(config: Config) -> AsyncIterator[tuple[Core, Generation]]:
    core = await wiring.open_core(config, Metrics(), Mode.TOOL)
    try:
        generation = wiring.build(config, core)
        try:
            await generation.open_purse(core)
            yield core, generation
        finally:
            await core.flights.drain(FLIGHT_S)
            await generation.close()
    finally:
        await core.close(0.0)
