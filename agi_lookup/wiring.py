"""The composition root: from a config to objects that know each other. Nothing else builds them.

A *core* outlives reloads (cache, flights, metrics); a *generation* is what one config makes of it, and is replaced whole.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from cachetools import TTLCache

from agi_lookup import answered, learned, mccmnc, privacy, sources
from agi_lookup.agi.words import NEEDS
from agi_lookup.cache.memory import MemoryTier
from agi_lookup.cache.sqlite import Mode, SqliteTier
from agi_lookup.cache.sqlite.file import CACHE_FILE
from agi_lookup.cache.tiered import Shared, TieredCache
from agi_lookup.cache.valkey.options import SharedOptions
from agi_lookup.call import CallKit, Profile
from agi_lookup.calls.file import CALLS_FILE
from agi_lookup.calls.log import CallLog
from agi_lookup.calls.options import CallLogOptions
from agi_lookup.cluster.claimed import ClaimedLink
from agi_lookup.config import Config, ProfileOptions
from agi_lookup.domain.errors import ConfigError, OutsideError
from agi_lookup.domain.model import LookupAnswer
from agi_lookup.domain.number import preload
from agi_lookup.keyed import ID_KEY_FILE, NumberIds
from agi_lookup.lookup.balances import Account
from agi_lookup.lookup.balances import Driver as AccountDriver
from agi_lookup.lookup.budget import Tariff
from agi_lookup.lookup.chain import Chain, ChainResult, Refusals, new_refusals, unnoted
from agi_lookup.lookup.freshness import supersedes
from agi_lookup.lookup.gates import Gates
from agi_lookup.lookup.hedge import Hedger
from agi_lookup.lookup.keep import Keeper
from agi_lookup.lookup.ledger import Purse
from agi_lookup.lookup.ledger_file import LEDGER_FILE, LedgerFile
from agi_lookup.lookup.line import Line
from agi_lookup.lookup.link import Link
from agi_lookup.lookup.resolver import REFRESH_PAUSE_S, Paying, Resolver
from agi_lookup.lookup.singleflight import SingleFlight
from agi_lookup.metrics import Metrics
from agi_lookup.policy import rules
from agi_lookup.policy.governance import Governor
from agi_lookup.policy.history import Histories
from agi_lookup.policy.interest import look_at
from agi_lookup.policy.rules import Rule
from agi_lookup.providers import loading
from agi_lookup.providers.base import (
    Accountable,
    Notified,
    Provider,
    SourceOptions,
    WebhookOptions,
)
from agi_lookup.providers.loading import Driver
from agi_lookup.providers.notices import Notices
from agi_lookup.providers.numbering_plan import NumberingPlan
from agi_lookup.recent import RecentCalls
from agi_lookup.routes import NO_SOURCES, Lookups, Rates, Sources, open_rates
from agi_lookup.routing.column_file import DeckError
from agi_lookup.routing.homes import Homes
from agi_lookup.routing.memory import Memory
from agi_lookup.routing.worth import Shares
from agi_lookup.scales import Scales
from agi_lookup.server import Access

if TYPE_CHECKING:
    from agi_lookup.cluster.member import Member

MAX_REFRESHED: Final = 50_000
"""Stale numbers refreshed within the pause; beyond it the oldest may be refreshed again."""
RECHECK_PAUSE_S: Final = 86_400.0
MAX_RECHECKED: Final = 50_000


@dataclass(frozen=True, slots=True)
class Core:
    """What outlives a reload."""

    state_dir: Path
    metrics: Metrics
    cache: TieredCache
    flights: SingleFlight[ChainResult]
    refusals: Refusals
    notices: Notices
    purse: Purse
    lines: dict[str, tuple[SourceOptions, Line]]  # by provider, with the options that made them
    hears_webhooks: bool
    memory: Memory
    governor: Governor
    histories: Histories
    shares: Shares
    calls: CallLog | None
    call_options: CallLogOptions
    recent: RecentCalls
    number_ids: NumberIds
    refreshed: TTLCache[str, bool]  # numbers whose identity was looked for anew lately
    rechecked: TTLCache[str, bool]  # numbers that were looked up again for a carrier's word
    member: Member | None = None  # of a cluster

    async def forget(self, number: str) -> dict[str, int]:
        """Erase an E.164 number from all that is kept here. Raises `CacheError` while something still has to erase it."""
        return await privacy.forget(self, number)

    async def close(self, flights_s: float) -> None:
        """Let flights land, then write what is cached and booked."""
        await self.flights.drain(flights_s)
        if self.member is not None:
            await self.member.close()
        await self.purse.close()
        await self.cache.close()
        if self.calls is not None:
            await asyncio.to_thread(self.calls.close)


@dataclass(frozen=True, slots=True)
class Generation:
    """What one config says: what calls need, who may ask, and the connections that go with it."""

    config: Config
    kit: CallKit
    access: Access
    providers: Mapping[str, Provider]
    links: Mapping[str, Link]
    drivers: Mapping[str, Driver]
    resolvers: Mapping[str, Resolver]  # by profile
    sources: Sources  # of rates
    lookups: Lookups
    scales: Scales

    def with_rates(self, rates: Rates, sources: Sources) -> Generation:
        """With newer ones."""
        self.scales.rates = rates
        return replace(self, kit=replace(self.kit, router=rates.router), sources=sources)

    async def open_purse(self, core: Core) -> None:
        """Where something is paid for: until this returns, nothing is."""
        if any(provider.currency for provider in self.providers.values()):
            await core.purse.start()
        if core.member is not None:
            await core.member.lend(core.purse.standing)

    def accounts(self) -> list[Account]:
        """The providers that can be asked for their balance."""
        return [
            Account(name, provider, cast("AccountDriver", self.drivers[name]), self.links[name], options.low_balance)
            for name, options in self.config.providers.items()
            if isinstance(provider := self.providers[name], Accountable)
        ]

    async def close(self) -> None:
        for driver in self.drivers.values():
            await driver.close()


async def open_core(config: Config, metrics: Metrics, mode: Mode) -> Core:
    """Never fails for the cache's sake."""
    cache = await open_cache(config, metrics, mode)
    flights: SingleFlight[ChainResult] = SingleFlight(config.server.max_lookups)
    book = LedgerFile(config.state_dir / LEDGER_FILE, server=mode is Mode.SERVER)
    member = await _open_member(config, metrics) if config.cluster.enabled else None
    purse = Purse(book, config.budget, metrics.alarm, lender=member.leases if member else None)
    memory = Memory(config.routing)
    governor = Governor(config.policy.governance, draw=random.random, on_alarm=metrics.alarm)
    histories = Histories(config.policy.history)
    if mode is Mode.SERVER:
        learned.restore(config.state_dir / learned.LEARNED_FILE, memory, governor, metrics.alarm)
        answered.restore(config.state_dir / answered.ANSWERED_FILE, histories, metrics.alarm, time.time())
        if member is not None:
            member.join(memory, governor)
    return Core(
        state_dir=config.state_dir,
        metrics=metrics,
        cache=cache,
        flights=flights,
        refusals=new_refusals(),
        notices=Notices(config.hooks.late_s),
        purse=purse,
        lines={},
        hears_webhooks=mode is Mode.SERVER,
        memory=memory,
        governor=governor,
        histories=histories,
        shares=Shares(config.routing.worth_lookup.min_samples),
        calls=open_calls(config, metrics) if config.calls.enabled and mode is Mode.SERVER else None,
        call_options=config.calls,
        recent=RecentCalls(config.http.recent_calls if config.http.enabled and mode is Mode.SERVER else 0),
        number_ids=_number_ids(config, metrics, mode),
        refreshed=TTLCache(MAX_REFRESHED, REFRESH_PAUSE_S),
        rechecked=TTLCache(MAX_RECHECKED, RECHECK_PAUSE_S),
        member=member,
    )


def _number_ids(config: Config, metrics: Metrics, mode: Mode) -> NumberIds:
    """A server's are the same after a restart."""
    ids = NumberIds(config.state_dir / ID_KEY_FILE)
    if mode is Mode.SERVER:
        try:
            ids.renew()
        except OSError:
            metrics.event("log_key_failed")  # then they last as long as the process
    return ids


def open_calls(config: Config, metrics: Metrics) -> CallLog:
    return CallLog(config.state_dir / CALLS_FILE, config.calls, on_alarm=metrics.alarm, count=metrics.event)


async def open_cache(config: Config, metrics: Metrics, mode: Mode) -> TieredCache:
    """Never fails for a tier's sake: without disk and shared tier it is memory only, and an alarm says so."""
    shared = await _open_shared(config.cache.shared, metrics) if config.cache.shared else None
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
    return TieredCache(MemoryTier(config.cache.memory_numbers), disk, count=metrics.event, shared=shared)


async def _open_shared(options: SharedOptions, metrics: Metrics) -> Shared:
    """Imported late: redis-py takes a quarter of a second, and most have no shared tier."""
    from agi_lookup.cache.valkey.tier import ValkeyTier  # noqa: PLC0415

    tier = await ValkeyTier.open(options, clock=time.time, on_alarm=metrics.alarm, count=metrics.event)
    return Shared(tier, supersedes, time.time)


async def _open_member(config: Config, metrics: Metrics) -> Member:
    """Imported late, as `_open_shared`."""
    from agi_lookup.cluster.member import Member  # noqa: PLC0415

    server = config.cluster.server or config.cache.shared
    if server is None:
        raise ConfigError("cluster.enabled: it needs cluster.server or cache.shared")
    member = Member(
        server,
        config.cluster,
        config.server.port,
        on_alarm=metrics.alarm,
        count=metrics.event,
        bug=metrics.bug,
    )
    await member.open()
    return member


def build(
    config: Config,
    core: Core,
    *,
    overloaded: Callable[[], bool] = lambda: False,
    make_driver: sources.MakeDriver = sources.open_driver,
    block_rules: tuple[Rule, ...] | None = None,
) -> Generation:
    """Must run inside the event loop. Raises `ConfigError` before anything is opened.

    `block_rules` are those of the config where they were made in a thread: a list of a million prefixes takes a second.
    """
    table = mccmnc.load(config.mccmnc_dir)
    plan = NumberingPlan()
    providers: dict[str, Provider] = {
        name: loading.find(options.kind).Provider(name, options, table.split)
        for name, options in config.providers.items()
    }
    keeper = Keeper(
        cache=core.cache,
        complete=table.complete,
        lifetimes=config.cache.lifetimes,
        clock=time.time,
        spread=lambda: random.uniform(-1, 1),  # noqa: S311
    )
    _check_currencies(config, providers)
    block_rules = rules.build(config.policy) if block_rules is None else block_rules
    lookups = Lookups(Homes(table.countries), core.shares, partial(look_at, block_rules))
    tariffs = {name: Tariff(provider.currency, config.providers[name].price) for name, provider in providers.items()}
    scales = Scales(config.routing, tariffs, time.time, core.metrics.spared)
    rated_by, scales.rates = _rates(config, core, lookups)
    drivers = _open_drivers(config, core, make_driver)
    links = {name: _link(core, providers[name], drivers[name], options) for name, options in config.providers.items()}
    resolvers: dict[str, Resolver] = {}
    note = core.calls.asked if core.calls is not None and links else unnoted

    def profile(name: str, options: ProfileOptions) -> Profile:
        preload(options.dial_plan)
        steps = list(sources.steps_of(options, config, links)) if links else [sources.plan_step(plan)]
        chain = Chain(
            steps,
            core.refusals,
            core.metrics,
            time.time,
            hedger=Hedger(options.hedge) if options.hedge else None,
            adopt=core.flights.adopt,
            keep_late=keeper.keep_late,
            worth=scales,
            note=note,
        )
        free = [
            step for step in steps if links and step.link.is_free
        ]  # what the plan says of any number needs no lookup
        resolver = Resolver(
            cache=core.cache,
            chain=chain,
            free=Chain(free, core.refusals, core.metrics, time.time, note=note),
            flights=core.flights,
            plan=plan.answer,
            keeper=keeper,
            paying=Paying(invalid=options.pay_for_invalid)
            if options.pay_for is None
            else Paying(options.pay_for, options.pay_for_invalid),
            metrics=core.metrics,
            clock=time.time,
            refreshed=core.refreshed,
            overloaded=overloaded,
            hear=lambda answer, country: _hear(core, answer, country),
        )
        resolvers[name] = resolver
        return Profile(name, options.dial_plan, NEEDS[options.need], options.deadline_ms / 1000, resolver)

    kit = CallKit(
        profiles={name: profile(name, options) for name, options in config.profiles.items()},
        rules=block_rules,
        clock=time.time,
        decides_early=rules.decide_early(block_rules),
        governor=core.governor,
        recall=core.histories.recall,
        router=scales.rates.router,
    )
    # From here on nothing fails, and the new config is in force.
    core.memory.adopt(config.routing)
    core.governor.configure(config.policy.governance, block_rules)
    core.histories.configure(config.policy.history, {name: t.vendor for name, t in config.routing.trunks.items()})
    core.notices.on_late = keeper.keep_late
    core.purse.configure(config.budget, tariffs)
    token = config.server.token.get_secret_value() if config.server.token else ""
    access = Access(config.server.allow, token, config.variables.prefix)
    return Generation(config, kit, access, providers, links, drivers, resolvers, rated_by, lookups, scales)


def _rates(config: Config, core: Core, lookups: Lookups) -> tuple[Sources, Rates]:
    """Without routes rather than not at all: the dialplan has trunks of its own. Raises `ConfigError` for exchange rates."""
    rated_by = NO_SOURCES
    try:
        rated_by = Sources.of(config)
        return rated_by, open_rates(config.routing, rated_by, core.memory, lookups)
    except (DeckError, OutsideError) as error:
        core.metrics.alarm("book_unusable", f"{error}: calls get no routes")
        return rated_by, Rates()


def _hear(core: Core, answer: LookupAnswer, country: str | None) -> None:
    if answer.liveness is not None:
        core.governor.hear(answer.provider, country, answer.liveness, time.time())
    if answer.identity is not None and country:
        mcc, mnc = answer.identity.mcc, answer.identity.mnc
        core.shares.observe(country, mcc + mnc if mcc and mnc else None)


def _check_currencies(config: Config, providers: Mapping[str, Provider]) -> None:
    """A cap in a currency that the provider is not paid in would cap nothing. Raises `ConfigError`."""
    for name, caps in config.budget.providers.items():
        paid_in = providers[name].currency
        for amounts in (caps.per_day, caps.burst):
            for currency in amounts.model_dump(include={"credits", "EUR", "USD"}, exclude_none=True) if amounts else ():
                if currency != paid_in:
                    paid = f"paid in {paid_in}" if paid_in else "free"
                    raise ConfigError(
                        f"budget.providers.{name}: the provider is {paid}, so a cap in {currency} caps nothing"
                    )


def _open_drivers(config: Config, core: Core, make_driver: sources.MakeDriver) -> dict[str, Driver]:
    """All or none. Raises `ConfigError`."""
    drivers: dict[str, Driver] = {}
    try:
        for name, options in config.providers.items():
            drivers[name] = make_driver(options)
    except BaseException:
        for driver in drivers.values():
            core.flights.adopt(asyncio.get_running_loop().create_task(driver.close()))
        raise
    return drivers


def _link(core: Core, provider: Provider, driver: Driver, options: SourceOptions) -> Link:
    """What the vendor was found to allow, and what waits for it, outlives a reload that leaves its options alone."""
    held = core.lines.get(provider.name)
    if held is None or held[0] != options:
        gates = Gates(
            max_concurrency=options.max_concurrency,
            max_per_minute=options.max_per_minute,
            balance_known=isinstance(provider, Accountable),
            room_for_calls=core.hears_webhooks,  # none come to a command's own process
            network_of=sources.network_of,
        )
        one_by_one = isinstance(provider, Notified) and not core.hears_webhooks
        held = core.lines[provider.name] = options, Line(gates, 1 if one_by_one else options.max_batch)
    deaf = isinstance(provider, Notified) and provider.always and not core.hears_webhooks
    make: Callable[..., Link] = Link
    if core.member is not None and provider.currency:
        webhook_s = options.wait_s if isinstance(options, WebhookOptions) else 0.0
        make = partial(ClaimedLink, claims=core.member.claims, lives_s=options.timeout_s + webhook_s)
        core.member.leases.share_line(provider.name, held[1], options)
    return make(
        provider,
        sources.DeafDriver() if deaf else driver,
        held[1],
        timeout_s=options.timeout_s,
        purse=core.purse if provider.currency else None,
        notices=core.notices if isinstance(provider, Notified) else None,
    )
