"""The config: good in itself, built as a server would build it, and what in it is no error and yet seldom meant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from agi_lookup import wiring
from agi_lookup.cache.sqlite import Mode
from agi_lookup.config import Config, is_loopback
from agi_lookup.doctor.findings import Finding, fail, ok, warn
from agi_lookup.domain.errors import ConfigError, OutsideError
from agi_lookup.metrics import Metrics
from agi_lookup.routes import Sources, gaps
from agi_lookup.routing.book import open_book
from agi_lookup.wiring import Generation

PREFIX = "LOOKUP_"


@asynccontextmanager
async def built(config: Config) -> AsyncIterator[Generation]:
    """All that the config names (tables, providers), with a cache in memory, alone: no file is made. Raises `ConfigError`."""
    alone = {
        "cache": config.cache.model_copy(update={"disk": False, "shared": None}),
        "cluster": config.cluster.model_copy(update={"enabled": False}),
    }
    memory_only = config.model_copy(update=alone)
    core = await wiring.open_core(memory_only, Metrics(), Mode.TOOL)
    try:
        generation = wiring.build(memory_only, core)
        try:
            yield generation
        finally:
            await generation.close()
    finally:
        await core.close(0.0)


def notes(config: Config) -> list[str]:
    """What is no error, and yet not what anybody wants. Raises `ConfigError`."""
    try:
        return gaps(config.routing, Sources.of(config), datetime.now(UTC).date())
    except OutsideError as error:
        return [str(error)]


def check_routes(config: Config) -> Iterator[Finding]:
    """Decks that are live and how old they are, and trunks that will get no calls."""
    if not config.routing.trunks:
        return
    try:
        found, ages = notes(config), _ages(config)
    except (ConfigError, OutsideError) as error:  # a damaged book is one of these
        yield fail("rates", str(error), "agi-lookup rates show")
        return
    for note in found:
        yield warn("rates", note, "agi-lookup rates show")
    if ages:
        yield ok("rates", f"live decks: {', '.join(ages)}")


def _ages(config: Config) -> list[str]:
    """A version begins with the day of its import."""
    book = Sources.of(config).book
    decks = open_book(book).info.decks if book is not None else ()
    today = datetime.now(UTC).date()
    days = {deck.vendor: (today - datetime.strptime(deck.version[:8], "%Y%m%d").date()).days for deck in decks}  # noqa: DTZ007
    return [f"{vendor} {age} days old" for vendor, age in days.items()]


def check_exposure(config: Config) -> Iterator[Finding]:
    """FastAGI has no authentication of its own, and whoever answers it controls the telephone system."""
    server, http = config.server, config.http
    open_to_all = [str(network) for network in server.allow if network.prefixlen == 0]
    if open_to_all:
        yield fail(
            "access", f"server.allow lets in everybody ({', '.join(open_to_all)})", "name your Asterisk's address"
        )
    if is_loopback(server.host):
        yield ok("access", "FastAGI listens on loopback only")
    elif server.token is None:
        yield warn(
            "access",
            f"FastAGI listens on {server.host} without a token",
            "set server.token, and AGI_LOOKUP_TOKEN in the dialplan",
        )
    else:
        yield ok("access", f"FastAGI listens on {server.host}, with a token")
    if http.enabled and not is_loopback(http.host):
        fix = "put a proxy with TLS before it, or let it listen on 127.0.0.1"
        yield warn("access", f"HTTP listens on {http.host} without TLS: its token can be read on the way", fix)


def check_variables(config: Config) -> Iterator[Finding]:
    if config.variables.prefix != PREFIX:
        fix = f"leave variables.prefix at {PREFIX}, or use a dialplan of your own"
        yield warn(
            "variables",
            f"variables are called {config.variables.prefix}...: the shipped dialplan reads {PREFIX}...",
            fix,
        )
