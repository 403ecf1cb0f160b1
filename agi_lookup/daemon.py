"""`agi-lookup serve`: start, reload on SIGHUP, drain on SIGTERM. One process, one event loop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from agi_lookup import answered, learned, routes, wiring
from agi_lookup import config as configuration
from agi_lookup.cache.sqlite import Mode
from agi_lookup.cache.tiered import TieredCache
from agi_lookup.call import CallRequest
from agi_lookup.calls.records import record_of
from agi_lookup.config import Config
from agi_lookup.domain.errors import ConfigError, OutsideError
from agi_lookup.domain.model import CallResult, Decision, Number
from agi_lookup.domain.reading import international
from agi_lookup.feedback import Feedback, Rechecks
from agi_lookup.guarantee import GUARD_S
from agi_lookup.lag import TICK_S, LagMeter
from agi_lookup.lookup.balances import Account, Watch
from agi_lookup.memory_limit import MemoryLimit
from agi_lookup.metrics import Metrics
from agi_lookup.policy import rules
from agi_lookup.policy.history import Answered
from agi_lookup.policy.rules import Rule
from agi_lookup.routes import Rates, Sources
from agi_lookup.routing.column_file import DeckError
from agi_lookup.routing.memory import Memory
from agi_lookup.server import Limits, Server
from agi_lookup.sources import MakeDriver, open_driver
from agi_lookup.systemd import Notifier
from agi_lookup.web.app import Web

log: structlog.stdlib.BoundLogger = structlog.get_logger()

COLLECT_AFTER: Final = (20_000, 20, 20)
"""gc thresholds: Python's 700 would make a young collection every few calls."""
RETIRE_S: Final = 3600.0
"""How long a webhook may be waited for, and so the most that a flight can need its connections."""
RATES_EVERY_S: Final = 2.0
"""How often a newer book of rates is looked for."""
REFUSED_S: Final = 60.0
"""How long a book that could not be opened is not tried again."""
LEARNED_EVERY_S: Final = 300.0
RENEW_IDS_EVERY_S: Final = 3600.0
SHED_NUMBERS: Final = 10_000
"""At once, while memory is short: 20 ms, and more a second than calls can bring."""
SHORT_ALARM_EVERY_S: Final = 300.0
EXPIRE_S: Final = 1.0
"""How often the memory tier sheds a slice of what has expired."""


async def serve(
    path: Path,
    config: Config,
    metrics: Metrics,
    *,
    on_ready: Callable[[str], None] = lambda _address: None,
    make_driver: MakeDriver = open_driver,
) -> None:
    """Serve until SIGTERM or SIGINT; `on_ready` is told `HOST:PORT` once calls are answered.

    Raises `OSError` when a port cannot be had; then nothing is left half started.
    """
    _refuse_taken(config)
    async with AsyncExitStack() as stack:
        notifier = Notifier()
        stack.callback(notifier.close)
        core = await wiring.open_core(config, metrics, Mode.SERVER)
        stack.push_async_callback(core.close, 0.0)
        lag = LagMeter(_Ticker(metrics, core.cache, notifier))
        daemon = Daemon(path, core, lag, make_driver)
        daemon.generation = generation = daemon.build(config)
        stack.push_async_callback(daemon.close)
        await generation.open_purse(core)
        server = Server(
            generation.kit,
            generation.access,
            _limits(config),
            metrics,
            lag,
            daemon.feedback(),
            daemon.note,
            core.number_ids,
        )
        daemon.attach(server)
        port = await server.start(config.server.host, config.server.port)
        stack.push_async_callback(server.stop, 0.0)
        web = Web(daemon)
        stack.push_async_callback(web.stop)
        where = await web.start()
        lag.start()
        stack.callback(lag.stop)
        _tune_collector()
        watch = Watch(daemon.accounts, metrics, time.time)
        for work in (watch.run(), daemon.watch_rates(), daemon.keep_learned(), daemon.renew_ids()):
            stack.callback(asyncio.create_task(work).cancel)
        daemon.ready = True
        notifier.send("READY=1")
        on_ready(f"{config.server.host}:{port}")
        log.info("serving", agi=f"{config.server.host}:{port}", **where)
        await daemon.until_stopped()
        daemon.ready = False
        notifier.send("STOPPING=1")
        ended = await server.stop(config.server.drain_s)
        log.info("stopped", sessions_ended=ended)


def _refuse_taken(config: Config) -> None:
    """Before anything is opened. Raises `OSError`, whose file is HOST:PORT, for a port that another process has."""
    wanted = [(config.server.host, config.server.port)]
    if config.http.enabled:
        wanted.append((config.http.host, config.http.port))
    if config.hooks.port is not None:
        wanted.append((config.hooks.host, config.hooks.port))
    for host, port in wanted:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        try:
            socket.create_server(address[:2], family=family).close()
        except OSError as error:
            code = error.errno or 0
            raise OSError(code, os.strerror(code), f"{host}:{port}") from None


def _tune_collector() -> None:
    """What was made so far stays: the collector need not walk it for every few calls. A call leaves no cycles behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


class _Ticker:
    """Every tick: the lag into the metrics, a sign of life to systemd twice in the time that it asks for, house-keeping."""

    def __init__(self, metrics: Metrics, cache: TieredCache, notifier: Notifier) -> None:
        self._metrics = metrics
        self._notifier = notifier
        self._cache = cache
        self._memory = MemoryLimit()
        self._quiet_until = 0.0
        self._silent_s = 0.0
        self._until_expire_s = EXPIRE_S

    def __call__(self, lag_s: float) -> None:
        self._metrics.tick(lag_s)
        self._until_expire_s -= TICK_S
        if self._until_expire_s <= 0:
            self._until_expire_s = EXPIRE_S
            self._cache.expire(time.time())
            if self._memory.is_near():
                self._shed()
        self._silent_s += TICK_S + lag_s
        if self._notifier.watchdog_s and self._silent_s >= self._notifier.watchdog_s / 2:
            self._silent_s = 0.0
            self._notifier.send("WATCHDOG=1")

    def _shed(self) -> None:
        """Memory is short: what is cached can be had again, a process that is killed cannot answer."""
        self._metrics.event("memory_short")
        self._cache.shed(SHED_NUMBERS)
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + SHORT_ALARM_EVERY_S
            self._metrics.alarm("memory_short", "less than a tenth of a limit is left: the cache in memory shrinks")


class Daemon:
    """What signals act on: the server and the generation that it serves."""

    server: Server
    generation: wiring.Generation

    def __init__(self, path: Path, core: wiring.Core, lag: LagMeter, make_driver: MakeDriver) -> None:
        self.core = core
        self.ready = False  # from the moment that both listeners are up until the drain begins
        self._path = path
        self._lag = lag
        self._make_driver = make_driver
        self._stopping = asyncio.Event()
        self._retiring: set[asyncio.Task[None]] = set()
        self._reloading: asyncio.Task[None] | None = None
        self._checked: Sources | None = None  # rates that were read whole

    def accounts(self) -> list[Account]:
        return self.generation.accounts()

    def feedback(self) -> Feedback:
        """Who learns from how calls went."""
        core = self.core
        return Feedback(
            memory=core.memory,
            histories=core.histories,
            governor=core.governor,
            rechecks=Rechecks(),
            recheck=self._recheck,
            note=core.calls.result if core.calls is not None else _unnoted,
            count=core.metrics.event,
            clock=time.time,
        )

    def note(self, request: CallRequest, decision: Decision, seconds: float) -> None:
        """For people to look at, and into the call log."""
        self.core.recent.add(request, decision, time.time(), seconds)
        profile = self.generation.kit.profiles.get(request.profile)  # gone, where a reload took it from a running call
        if profile is not None and seconds > (request.timeout_s or profile.timeout_s) + GUARD_S:
            self.core.metrics.late()
        if self.core.calls is not None:
            book = self.generation.sources.book
            self.core.calls.decided(record_of(request, decision, time.time(), book.name if book else ""))

    def _recheck(self, e164: str, profile: str = "default") -> None:
        """Once a day."""
        number = international(e164[1:])
        if not isinstance(number, Number) or e164 in self.core.rechecked:
            return
        if self.generation.resolvers[profile].recheck(number, profile):
            self.core.rechecked[e164] = True

    def attach(self, server: Server) -> None:
        self.server = server

    def build(self, config: Config, block_rules: tuple[Rule, ...] | None = None) -> wiring.Generation:
        late_s, half_s = config.server.shed_lag_s, min(p.deadline_ms for p in config.profiles.values()) / 2000
        return wiring.build(
            config,
            self.core,
            overloaded=lambda: self._lag.now_s > late_s or self._lag.backlog_s > half_s,
            make_driver=self._make_driver,
            block_rules=block_rules,
        )

    async def until_stopped(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        await self._stopping.wait()

    def reload(self) -> None:
        """Read the config again and swap the generation whole; a bad file keeps the old one and says so."""
        before = self._reloading
        self._reloading = asyncio.get_running_loop().create_task(self._reload(before))

    async def _reload(self, before: asyncio.Task[None] | None) -> None:
        """One after the other. Files are read in a thread: a list of a million prefixes takes a second."""
        if before is not None:
            await asyncio.wait([before])
        try:
            config = await asyncio.to_thread(configuration.read, self._path)
            generation = self.build(config, await asyncio.to_thread(rules.build, config.policy))
        except ConfigError as error:
            self.core.metrics.reloaded(ok=False)
            for line in str(error).splitlines():
                log.error("reload failed, the old config stays", problem=line)  # noqa: TRY400
            return
        old, self.generation = self.generation, generation
        self.server.kit, self.server.access = generation.kit, generation.access
        self.core.metrics.reloaded(ok=True)
        log.info("reloaded", needs_restart=restart_needed(old.config, config))
        for work in (self._retire(old), generation.open_purse(self.core)):
            task = asyncio.get_running_loop().create_task(work)
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def watch_rates(self) -> None:
        """Route by a newer book or newer exchange rates as soon as they are there. What cannot be used leaves the old ones."""
        refused: tuple[Sources, float] | None = None
        while True:
            await asyncio.sleep(RATES_EVERY_S)
            generation, now = self.generation, time.monotonic()
            try:
                sources = await asyncio.to_thread(Sources.of, generation.config)
                if sources != generation.sources and (refused is None or sources != refused[0] or now >= refused[1]):
                    refused = sources, now + REFUSED_S
                    await self._take_rates(generation, sources)
                await self._check_rates()
            except (ConfigError, OutsideError, OSError) as error:
                self.core.metrics.alarm("book_unusable", f"{error}: calls go on with the rates before")
            except Exception:
                self.core.metrics.bug("watch_rates")
                log.exception("a bug while looking for new rates; calls go on with those before")

    async def _take_rates(self, generation: wiring.Generation, sources: Sources) -> None:
        rates = await asyncio.to_thread(_checked_rates, generation, sources, self.core.memory)
        if self.generation is generation:  # else a reload has opened them
            self._checked = sources
            self._route_by(rates, sources)
            log.info("new rates", book=sources.book.name if sources.book else "")

    async def _check_rates(self) -> None:
        """Once, those that a start or a reload has opened without reading them whole."""
        generation = self.generation
        if generation.sources == self._checked:
            return
        self._checked = generation.sources
        try:
            await asyncio.to_thread(routes.check, generation.sources)
        except DeckError as error:
            if self.generation is generation:
                self._route_by(Rates(), generation.sources)
            self.core.metrics.alarm("book_unusable", f"{error}: calls get no routes")

    def _route_by(self, rates: Rates, sources: Sources) -> None:
        self.generation = self.generation.with_rates(rates, sources)
        self.server.kit = self.generation.kit

    async def keep_learned(self) -> None:
        """Every so often, and when we stop: what a crash loses is learned anew."""
        try:
            while True:
                await asyncio.sleep(LEARNED_EVERY_S)
                await asyncio.to_thread(self._save, *self._learned())
        finally:
            self._save(*self._learned())

    def _learned(self) -> tuple[dict[str, Any], Answered]:
        return learned.snapshot(self.core.memory, self.core.governor), self.core.histories.answered()

    async def renew_ids(self) -> None:
        """Once a month, or when somebody deleted their key."""
        while True:
            await asyncio.sleep(RENEW_IDS_EVERY_S)
            try:
                await asyncio.to_thread(self.core.number_ids.renew)
            except OSError:
                self.core.metrics.event("log_key_failed")

    def _save(self, what: dict[str, Any], who: Answered) -> None:
        """Each by itself: the one may be a newer version's, and is left alone then."""
        folder = self.generation.config.state_dir
        saves = (
            partial(learned.save, folder / learned.LEARNED_FILE, what),
            partial(answered.save, folder / answered.ANSWERED_FILE, who),
        )
        for save in saves:
            try:
                save()
            except OSError as error:
                self.core.metrics.alarm("learned_not_saved", os.strerror(error.errno or 0))

    async def _retire(self, generation: wiring.Generation) -> None:
        """Flights that started with the old connections may still use them, after a wait in line or for a webhook."""
        try:
            await asyncio.sleep(1 + sum(options.timeout_s for options in generation.config.providers.values()))
            await self.core.flights.landed(RETIRE_S)  # those of the new generation too: nobody can tell them apart
        finally:
            await generation.close()

    async def close(self) -> None:
        await self.core.flights.drain(self.generation.config.server.drain_s)  # before their connections close
        if self._reloading is not None:
            self._reloading.cancel()
            await asyncio.wait([self._reloading])
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self.generation.close()


def _checked_rates(generation: wiring.Generation, sources: Sources, memory: Memory) -> Rates:
    """Raises `ConfigError`."""
    routes.check(sources)
    return routes.open_rates(generation.config.routing, sources, memory, generation.lookups)


def restart_needed(old: Config, new: Config) -> list[str]:
    """The changed settings that a reload cannot take over."""
    fixed = ("state_dir", "server", "http", "hooks", "cache", "cluster", "calls", "log")
    reloadable = {("server", "token"), ("server", "allow"), ("cache", "lifetimes")}
    changed: list[str] = []
    for name in fixed:
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        if not hasattr(type(before), "model_fields"):
            changed.append(name)
            continue
        fields = [f for f in type(before).model_fields if (name, f) not in reloadable]
        changed += [f"{name}.{f}" for f in fields if getattr(before, f) != getattr(after, f)]
    return changed


def _unnoted(_result: CallResult, _channel: str) -> None:
    """There is no call log."""


def _limits(config: Config) -> Limits:
    options = config.server
    return Limits(
        options.max_connections,
        options.max_connections_per_source,
        options.environment_timeout_s,
        options.reply_timeout_s,
    )
