"""For processes that do one thing and end: a config, and a way to look numbers up with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agi_lookup import config as configuration
from agi_lookup import wiring
from agi_lookup.cache.sqlite import Mode
from agi_lookup.cache.sqlite.lock import server_pid
from agi_lookup.config import Config
from agi_lookup.lookup.resolver import FLIGHT_S
from agi_lookup.metrics import Metrics
from agi_lookup.wiring import CACHE_FILE, Core, Generation


def read_config(named: Path | None) -> Config:
    """Raises `ConfigError`."""
    return configuration.read(configuration.find(named))


def server_runs(config: Config) -> bool:
    """Does another process hold the cache's write lock for as long as it lives?"""
    return config.cache.disk and server_pid(config.state_dir / CACHE_FILE) is not None


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[tuple[Core, Generation]]:
    """Cache, chain and policy of a config, for one command. On leaving, what is paid for is waited for and kept."""
    core = await wiring.open_core(config, Metrics(), Mode.TOOL)
    try:
        generation = wiring.build(config, core)
        try:
            yield core, generation
        finally:
            await core.flights.drain(FLIGHT_S)
            await generation.close()
    finally:
        await core.close(0.0)
