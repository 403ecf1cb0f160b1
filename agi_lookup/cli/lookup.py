"""`agi-lookup lookup`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import rich_click as click

if TYPE_CHECKING:
    from agi_lookup.config import Config
    from agi_lookup.wiring import Core, Generation


NEGATIVE: Final = frozenset({"BADNUMBER", "TIMEOUT", "DEGRADED"})
"""Statuses that make the exit status 1."""


@click.command("lookup")
@click.argument("numbers", nargs=-1, required=True, metavar="NUMBER...")
@click.option("--fresh", is_flag=True, help="Pass by the cache.")
@click.option("--provider", help="Ask only this one.")
@click.option(
    "--need", type=click.Choice(["identity", "liveness", "identity+liveness"]), help="Default: as the profile says."
)
@click.option("--profile", default="default", show_default=True, help="Dial plan and wants.")
@click.option("--timeout-ms", type=click.IntRange(10, 10_000), default=10_000, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a number.")
@click.pass_obj
def command(named: Path | None, /, numbers: tuple[str, ...], as_json: bool, **asked: Any) -> None:
    """Look numbers up through cache and sources. A running server is asked, so that one cache serves both."""
    import asyncio
    import json
    import sys

    from agi_lookup.config import read_config

    config = read_config(named)
    options = {"profile": asked["profile"], "timeout_ms": str(asked["timeout_ms"])}
    if asked["need"]:
        options["need"] = asked["need"]
    if asked["fresh"] or asked["provider"]:
        options["fresh"] = "yes"
    answered = True
    for shown in asyncio.run(look_all_up(config, numbers, options, asked["provider"], "lookup")):
        answered = answered and shown["status"] not in NEGATIVE
        click.echo(json.dumps(shown) if as_json else as_text(shown))
    sys.exit(0 if answered else 1)


async def look_all_up(
    config: Config, numbers: tuple[str, ...], options: dict[str, str], provider: str | None, what: str
) -> list[dict[str, Any]]:
    """`what` is `lookup` or `explain`. Raises `ConfigError` for options that the config does not know."""
    import asyncio

    from agi_lookup.domain.errors import ConfigError
    from agi_lookup.oneoff import opened, server_runs
    from agi_lookup.web.client import ask

    if provider is not None and provider not in config.providers:
        raise ConfigError(f"{provider!r} is not under providers; known: {', '.join(config.providers) or 'none'}")
    if options["profile"] not in config.profiles:
        raise ConfigError(f"{options['profile']!r} is not under profiles; known: {', '.join(config.profiles)}")
    if server_runs(config):
        query = {**options, "provider": provider} if provider else options
        return [
            await asyncio.to_thread(ask, config.http, "GET", what, number, timeout_s=15.0, **query)
            for number in numbers
        ]
    async with opened(config) as (core, generation):
        return await asyncio.gather(*(_look_up(core, generation, n, options, provider, what) for n in numbers))


async def _look_up(
    core: Core, generation: Generation, number: str, options: dict[str, str], provider: str | None, what: str
) -> dict[str, Any]:
    from agi_lookup.agi.request import parse_options
    from agi_lookup.call import CallRequest
    from agi_lookup.explain import explained
    from agi_lookup.report import look_up, lookup_json

    fields = parse_options([f"{key}={value}" for key, value in options.items()], generation.kit.profiles)
    request = CallRequest(number, provider=provider, **fields)
    if what == "explain":
        return await explained(request, core, generation)
    return lookup_json(await look_up(request, generation.kit))


def as_text(shown: dict[str, Any]) -> str:
    """The JSON as aligned lines, nested names joined by a dot."""
    rows: list[tuple[str, str]] = []
    for key, value in shown.items():
        if isinstance(value, dict):
            rows += [(f"{key}.{inner}", _text(v)) for inner, v in value.items()]
        elif not isinstance(value, list):
            rows.append((key, _text(value)))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _text(value: Any) -> str:
    return "" if value is None else str(value)
