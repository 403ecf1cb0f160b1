"""Who is asked about a number: cache and sources in this process or, where a server runs, that one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol

from agi_lookup.agi.words import NEEDS
from agi_lookup.bulk import rows, run
from agi_lookup.bulk.answers import NO_SERVER, Shown
from agi_lookup.cache.tiered import TieredCache
from agi_lookup.call import CallRequest
from agi_lookup.config import Config, SourceUse
from agi_lookup.domain.errors import CacheError, ConfigError
from agi_lookup.domain.model import Decision, Status
from agi_lookup.oneoff import opened, server_runs
from agi_lookup.providers.base import SourceOptions, WebhookOptions
from agi_lookup.report import look_up_patiently, lookup_json
from agi_lookup.web.asking import Asking

MAX_CONCURRENCY: Final = 1000
OFFLINE_CONCURRENCY: Final = 8
SERVED_CONCURRENCY: Final = 32
"""Half of the connections that the server's HTTP side takes."""
LOOK_S: Final = 1.0
FLUSH_S: Final = 0.5
"""How soon an answer is on disk: nobody else writes behind in this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is wanted of every number. `need` None: as the profile says; `concurrency` None: what the providers can take.

    `deadline_s` is a number's; for `retry_s` busy providers are waited for while nobody answers.
    """

    profile: str
    need: str | None
    fresh: bool
    deadline_s: float
    concurrency: int | None
    retry_s: float


class Kept(rows.Kept, run.Kept, Protocol):
    """What is known of rows: `journal.Journal`."""


@asynccontextmanager
async def started(config: Config, asked: Asked, numbers: rows.Rows, kept: Kept) -> AsyncIterator[run.Run]:
    """A run, ready to go. Raises `ConfigError` or `OutsideError`."""
    served = server_runs(config)
    pace = run.Pace(
        concurrency=at_a_time(config, asked.profile, asked.concurrency, served=served),
        retry_s=asked.retry_s,
        burst_s=_burst_s(config),
        fresh=asked.fresh,
    )
    async with (_there if served else _here)(config, asked) as look:
        made = run.Run(numbers.left(kept), look, kept, pace, numbers.totals)
        giving_way = asyncio.create_task(_give_way(config, made, served=served))
        try:
            yield made
        finally:
            giving_way.cancel()


def at_a_time(config: Config, profile: str, wanted: int | None, *, served: bool) -> int:
    """Numbers: what keeps every connection busy with full batches, and one more batch in line.

    Of a server's providers too: its calls go first all the same. More than it has connections for would only wait here.
    """
    filled = sum((options.max_concurrency + 1) * options.max_batch for options in _sources(config, profile).values())
    if served:
        return min(SERVED_CONCURRENCY, wanted or filled or OFFLINE_CONCURRENCY)
    return wanted or min(MAX_CONCURRENCY, filled) or OFFLINE_CONCURRENCY


def _burst_s(config: Config) -> float:
    """How long the longest spending cap holds that is not a day's."""
    capped = (*config.budget.providers.values(), *config.budget.profiles.values())
    return max((float(caps.burst.seconds) for caps in capped if caps.burst), default=0.0)


@asynccontextmanager
async def _here(config: Config, asked: Asked) -> AsyncIterator[run.Look]:
    """Raises `ConfigError` for sources that only a server can hear."""
    _refuse_webhooks(config, asked.profile)
    async with opened(_for_who_has_time(config)) as (core, generation):

        async def look(text: str) -> Shown:
            facets = NEEDS[asked.need] if asked.need else None
            request = CallRequest(text, asked.profile, facets, asked.deadline_s, asked.fresh)
            return lookup_json(await look_up_patiently(request, generation.kit))

        flushing = asyncio.create_task(_flush(core.cache))
        try:
            yield look
        finally:
            flushing.cancel()


@asynccontextmanager
async def _there(config: Config, asked: Asked) -> AsyncIterator[run.Look]:
    """Raises `ServerUnavailable` when the server's HTTP side is off."""
    query = {"profile": asked.profile, "wait_s": f"{asked.deadline_s:g}"}
    query |= {"need": asked.need} if asked.need else {}
    query |= {"fresh": "yes"} if asked.fresh else {}
    async with Asking(config.http, timeout_s=asked.deadline_s + 10, connections=SERVED_CONCURRENCY) as asking:

        async def look(text: str) -> Shown:
            shown = await asking.get("lookup", text, query)
            return rows.unasked(Decision(Status.DEGRADED, error=NO_SERVER)) if shown is None else shown

        yield look


def _sources(config: Config, profile: str) -> Mapping[str, SourceOptions]:
    """The providers of a profile, by name."""
    uses: Iterable[str | SourceUse] | None = config.profiles[profile].sources
    names = config.providers if uses is None else [u.provider if isinstance(u, SourceUse) else u for u in uses]
    return {name: config.providers[name] for name in names}


def _refuse_webhooks(config: Config, profile: str) -> None:
    for name, options in _sources(config, profile).items():
        if isinstance(options, WebhookOptions) and options.public_url is not None:
            raise ConfigError(
                f"providers.{name} answers by webhook, which only a server hears: start it, then run this again"
            )


def _for_who_has_time(config: Config) -> Config:
    """No calls are served here: what they would not wait for is waited for, and nothing is asked twice to be faster."""
    providers = {name: options.model_copy(update={"in_call": True}) for name, options in config.providers.items()}
    profiles = {name: options.model_copy(update={"hedge": None}) for name, options in config.profiles.items()}
    return config.model_copy(update={"providers": providers, "profiles": profiles})


async def _give_way(config: Config, running: run.Run, *, served: bool) -> None:
    """To a server that comes up: while this process has ledger and cache, no call of its could be looked up for money."""
    while not served:
        await asyncio.sleep(LOOK_S)
        if server_runs(config):
            running.end(run.SERVER_STARTED)
            return


async def _flush(cache: TieredCache) -> None:
    while True:
        await asyncio.sleep(FLUSH_S)
        with suppress(CacheError):
            await cache.flush()
