"""`agi-lookup serve`: start, reload on SIGHUP, drain on SIGTERM. One process, one event loop."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import structlog

from agi_lookup import config as configuration
from agi_lookup import wiring
from agi_lookup.cache.sqlite import Mode
from agi_lookup.cache.tiered import TieredCache
from agi_lookup.config import Config
from agi_lookup.domain.errors import ConfigError
from agi_lookup.lag import TICK_S, LagMeter
from agi_lookup.metrics import Metrics
from agi_lookup.server import Limits, Server
from agi_lookup.systemd import Notifier
from agi_lookup.web.app import Web

log: structlog.stdlib.BoundLogger = structlog.get_logger()

COLLECT_AFTER: Final = (20_000, 20, 20)
"""gc thresholds: Python's 700 would make a young collection every few calls."""
EXPIRE_S: Final = 1.0
"""How often the memory tier sheds a slice of what has expired."""


async def serve(
    path: Path,
    config: Config,
    metrics: Metrics,
    *,
    on_ready: Callable[[str], None] = lambda _address: None,
    make_driver: wiring.MakeDriver = wiring.http_driver,
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
        generation = daemon.build(config)
        stack.push_async_callback(daemon.close)
        server = Server(generation.kit, generation.access, _limits(config), metrics, lag)
        daemon.attach(server, generation)
        port = await server.start(config.server.host, config.server.port)
        stack.push_async_callback(server.stop, 0.0)
        web = Web(daemon)
        stack.push_async_callback(web.stop)
        web_port = await web.start()
        lag.start()
        stack.callback(lag.stop)
        _tune_collector()
        daemon.ready = True
        notifier.send("READY=1")
        on_ready(f"{config.server.host}:{port}")
        log.info("serving", agi=f"{config.server.host}:{port}", http=web_port and f"{config.http.host}:{web_port}")
        await daemon.until_stopped()
        daemon.ready = False
        notifier.send("STOPPING=1")
        ended = await server.stop(config.server.drain_s)
        log.info("stopped", sessions_ended=ended)


def _refuse_taken(config: Config) -> None:
    """Before anything is opened. Raises `OSError` for a port that another process has."""
    wanted = [(config.server.host, config.server.port)]
    if config.http.enabled:
        wanted.append((config.http.host, config.http.port))
    for host, port in wanted:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.create_server(address[:2], family=family):
            pass


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
        self._silent_s = 0.0
        self._until_expire_s = EXPIRE_S

    def __call__(self, lag_s: float) -> None:
        self._metrics.loop_lag.set(lag_s)
        self._until_expire_s -= TICK_S
        if self._until_expire_s <= 0:
            self._until_expire_s = EXPIRE_S
            self._cache.expire(time.time())
        self._silent_s += TICK_S + lag_s
        if self._notifier.watchdog_s and self._silent_s >= self._notifier.watchdog_s / 2:
            self._silent_s = 0.0
            self._notifier.send("WATCHDOG=1")


class Daemon:
    """What signals act on: the server and the generation that it serves."""

    def __init__(self, path: Path, core: wiring.Core, lag: LagMeter, make_driver: wiring.MakeDriver) -> None:
        self.core = core
        self.ready = False  # from the moment that both listeners are up until the drain begins
        self._path = path
        self._lag = lag
        self._make_driver = make_driver
        self._stopping = asyncio.Event()
        self._retiring: set[asyncio.Task[None]] = set()

    def attach(self, server: Server, generation: wiring.Generation) -> None:
        self.server = server
        self.generation = generation

    def build(self, config: Config) -> wiring.Generation:
        limit = config.server.shed_lag_s
        return wiring.build(
            config, self.core, overloaded=lambda: self._lag.now_s > limit, make_driver=self._make_driver
        )

    async def until_stopped(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        await self._stopping.wait()

    def reload(self) -> None:
        """Read the config again and swap the generation whole; a bad file keeps the old one and says so."""
        try:
            config = configuration.read(self._path)
            generation = self.build(config)
        except ConfigError as error:
            self.core.metrics.event("reload_failed")
            for line in str(error).splitlines():
                log.error("reload failed, the old config stays", problem=line)  # noqa: TRY400
            return
        old, self.generation = self.generation, generation
        self.server.kit, self.server.access = generation.kit, generation.access
        self.core.metrics.event("reloaded")
        log.info("reloaded", needs_restart=restart_needed(old.config, config))
        task = asyncio.get_running_loop().create_task(self._retire(old))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retire(self, generation: wiring.Generation) -> None:
        """Flights that started with the old connections may still use them."""
        try:
            await asyncio.sleep(1 + sum(options.timeout_s for options in generation.config.providers.values()))
        finally:
            await generation.close()

    async def close(self) -> None:
        await self.core.flights.drain(self.generation.config.server.drain_s)  # before their connections close
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self.generation.close()


def restart_needed(old: Config, new: Config) -> list[str]:
    """The changed settings that a reload cannot take over."""
    fixed = ("state_dir", "server", "http", "cache", "log")
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


def _limits(config: Config) -> Limits:
    options = config.server
    return Limits(
        options.max_connections,
        options.max_connections_per_source,
        options.environment_timeout_s,
        options.reply_timeout_s,
    )
