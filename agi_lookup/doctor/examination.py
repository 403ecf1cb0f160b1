"""All checks, one after the other. One that breaks is a finding, and does not hide the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agi_lookup import config as configuration
from agi_lookup import strict_yaml
from agi_lookup.config import Config
from agi_lookup.doctor import clock, dialplan, process, secrecy, settings, storage, vendors
from agi_lookup.doctor.clock import Stopwatch
from agi_lookup.doctor.findings import Finding, Findings, fail, ok
from agi_lookup.domain.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Manager:
    """Where Asterisk's manager interface is, and who asks it."""

    host: str
    port: int
    user: str
    secret: str


@dataclass(frozen=True, slots=True)
class Examined:
    """`readable` is false when the config cannot be used, and so only the machine was looked at."""

    findings: list[Finding]
    readable: bool


def examine(path: Path, asterisk_conf: Path, manager: Manager | None) -> Examined:
    """Blocks, for some seconds at most where nothing answers. Raises nothing for what it finds."""
    began = Stopwatch()
    try:
        config, document = configuration.read(path), strict_yaml.load(path)
    except ConfigError as error:
        lines = str(error).splitlines()
        return Examined([fail("config", line, "agi-lookup check") for line in lines] + _of(process.check_loop), False)
    running = process.find_running(config)
    dates = vendors.Dates()
    findings = [
        *_of(process.check_loop),
        *_of(lambda: asyncio.run(_built(path, config, dates))),
        *_of(lambda: secrecy.check_files(path, document)),
        *_of(lambda: process.check_server(running)),
        *_of(lambda: asyncio.run(process.check_agi(config, running))),
        *_of(lambda: process.check_ports(config, running)),
        *_of(lambda: process.check_descriptors(config, running)),
        *_of(lambda: settings.check_exposure(config)),
        *_of(lambda: settings.check_variables(config)),
        *_of(lambda: storage.check_folder(config)),
        *_of(lambda: storage.check_disk(config)),
        *_of(lambda: storage.check_databases(config)),
        *_of(lambda: settings.check_routes(config)),
        *_of(lambda: vendors.check_trust(list(config.providers.values()))),
        *_of(lambda: asyncio.run(_shared(config))),
        *_of(lambda: clock.check_clock(began, Stopwatch(), clock.kernel_synchronised())),
        *_of(lambda: clock.check_skew(dates.skews)),
        *_of(lambda: dialplan.check_dialplan(asterisk_conf, config)),
    ]
    if manager is not None:
        findings += _of(lambda: _asterisk(config, manager))
    return Examined(findings, True)


def _of(check: Callable[[], Findings]) -> list[Finding]:
    try:
        return list(check())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is said; its text may hold a secret
        return [fail("doctor", f"a check broke off: {type(error).__name__}", "please report it")]


async def _built(path: Path, config: Config, dates: vendors.Dates) -> list[Finding]:
    try:
        async with settings.built(config) as generation:
            return [
                ok("config", f"{path}: {len(config.profiles)} profiles, {len(config.providers)} providers"),
                *await vendors.check_names(config),
                *await vendors.check_accounts(generation, dates),
                *vendors.check_webhooks(generation),
                *vendors.check_budgets(generation),
            ]
    except ConfigError as error:
        return [fail("config", line, "agi-lookup check") for line in str(error).splitlines()]


async def _shared(config: Config) -> list[Finding]:
    servers = {"shared cache": config.cache.shared}
    if config.cluster.enabled:
        servers["cluster"] = config.cluster.server
    return [await vendors.check_shared(name, options) for name, options in servers.items() if options is not None]


def _asterisk(config: Config, manager: Manager) -> Findings:
    from agi_lookup.doctor.telephony import check_asterisk  # noqa: PLC0415 - pyst2 is needed here alone

    return check_asterisk(config, manager.host, manager.port, manager.user, manager.secret)
