"""The composition root: from a config to objects that know each other. Nothing else builds them.

A *core* outlives reloads (cache, flights, metrics); a *generation* is what one config makes of it, and is replaced whole.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from cachetools import TTLCache

from agi_lookup import mccmnc
from agi_lookup.agi.request import NEEDS
from agi_lookup.cache.memory import MemoryTier
from agi_lookup.cache.sqlite import Mode, SqliteTier
from agi_lookup.cache.tiered import TieredCache
from agi_lookup.call import CallKit, Profile
from agi_lookup.config import Config, ProfileOptions
from agi_lookup.domain.number import preload
from agi_lookup.lookup.chain import Chain, ChainResult, Link, Refusals, new_refusals
from agi_lookup.lookup.resolver import REFRESH_PAUSE_S, Paying, Resolver
from agi_lookup.lookup.singleflight import SingleFlight
from agi_lookup.metrics import Metrics
from agi_lookup.policy import rules
from agi_lookup.providers import loading
from agi_lookup.providers.base import Lookup, NumberResult, ProviderOptions
from agi_lookup.providers.numbering_plan import NumberingPlan
from agi_lookup.server import Access

CACHE_FILE: Final = "cache.sqlite"
MAX_REFRESHED: Final = 50_000
"""Stale numbers refreshed within the pause; beyond it the oldest may be refreshed again."""


class Driver(Protocol):
    """See `lookup.chain.Driver`; this one also has connections to close."""

    async def run(self, lookup: Lookup, *, timeout_s: float) -> Mapping[str, NumberResult]: ...
    async def close(self) -> None: ...


MakeDriver = Callable[[ProviderOptions], Driver]


def http_driver(options: ProviderOptions) -> Driver:
    """Imported late: a config without providers needs no HTTP client."""
    from agi_lookup.providers.http import HttpDriver  # noqa: PLC0415

    return HttpDriver(options)


class OfflineDriver:
    """Runs a source that asks nobody."""

    async def run(self, lookup: Lookup, *, timeout_s: float) -> Mapping[str, NumberResult]:
        try:
            next(lookup)
        except StopIteration as done:
            result: Mapping[str, NumberResult] = done.value
            return result
        raise AssertionError("an offline source sends nothing")


@dataclass(frozen=True, slots=True)
class Core:
    """What outlives a reload."""

    metrics: Metrics
    cache: TieredCache
    flights: SingleFlight[ChainResult]
    refusals: Refusals

    async def close(self, flights_s: float) -> None:
        """Let flights land, then write what is cached."""
        await self.flights.drain(flights_s)
        await self.cache.close()


@dataclass(frozen=True, slots=True)
class Generation:
    """What one config says: what calls need, who may ask, and the connections that go with it."""

    config: Config
    kit: CallKit
    access: Access
    drivers: Sequence[Driver]

    async def close(self) -> None:
        for driver in self.drivers:
            await driver.close()


async def open_core(config: Config, metrics: Metrics, mode: Mode) -> Core:
    """Never fails for the disk's sake: without one, the cache is memory only, and an alarm says so."""
    memory = MemoryTier(config.cache.memory_numbers)
    disk = None
    if config.cache.disk:
        disk = await SqliteTier.open(
            config.state_dir / CACHE_FILE,
            mode=mode,
            max_rows=config.cache.disk_rows,
            clock=time.time,
            on_alarm=metrics.alarm,
            count=metrics.event,
        )
    cache = TieredCache(memory, disk, count=metrics.event)
    return Core(metrics, cache, SingleFlight(config.server.max_lookups), new_refusals())


def build(
    config: Config,
    core: Core,
    *,
    overloaded: Callable[[], bool] = lambda: False,
    make_driver: MakeDriver = http_driver,
) -> Generation:
    """Must run inside the event loop. Raises `ConfigError` for a bad MCC/MNC override, before anything is opened."""
    table = mccmnc.load(config.mccmnc_dir)
    plan = NumberingPlan()
    plan_link = Link(plan, OfflineDriver(), timeout_s=1.0, max_concurrency=1_000_000)
    refreshed: TTLCache[str, bool] = TTLCache(MAX_REFRESHED, REFRESH_PAUSE_S)
    providers = {
        name: loading.find(options.kind).Provider(name, options, table.split)
        for name, options in config.providers.items()
    }
    drivers = {name: make_driver(options) for name, options in config.providers.items()}
    links = {
        name: Link(providers[name], drivers[name], timeout_s=o.timeout_s, max_concurrency=o.max_concurrency)
        for name, o in config.providers.items()
    }

    def profile(name: str, options: ProfileOptions) -> Profile:
        preload(options.dial_plan)
        chosen = [links[source] for source in (options.sources if options.sources is not None else links)]
        resolver = Resolver(
            cache=core.cache,
            chain=Chain(chosen if links else [plan_link], core.refusals, core.metrics, time.time),
            flights=core.flights,
            plan=plan.answer,
            complete=table.complete,
            lifetimes=config.cache.lifetimes,
            paying=Paying(invalid=options.pay_for_invalid)
            if options.pay_for is None
            else Paying(options.pay_for, options.pay_for_invalid),
            metrics=core.metrics,
            clock=time.time,
            spread=lambda: random.uniform(-1, 1),  # noqa: S311
            refreshed=refreshed,
            overloaded=overloaded,
        )
        return Profile(name, options.dial_plan, NEEDS[options.need], options.deadline_ms / 1000, resolver)

    kit = CallKit(
        profiles={name: profile(name, options) for name, options in config.profiles.items()},
        rules=rules.build(config.policy),
    )
    token = config.server.token.get_secret_value() if config.server.token else ""
    return Generation(config, kit, Access(config.server.allow, token, config.variables.prefix), tuple(drivers.values()))
