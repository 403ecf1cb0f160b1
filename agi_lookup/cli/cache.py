"""`agi-lookup cache`: what is remembered. While a server runs, it is asked to forget: memory is its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import rich_click as click

if TYPE_CHECKING:
    from agi_lookup.cache.sqlite import SqliteTier
    from agi_lookup.config import Config

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
profile_option = click.option(
    "--profile", default="default", show_default=True, help="Dial plan that reads the number."
)


@click.group("cache")
def command() -> None:
    """What is remembered: figures, one number, moving house."""


@command.command("stats")
@as_json_option
@click.pass_obj
def stats(named: Path | None, as_json: bool) -> None:
    """Figures of the cache on disk."""
    import asyncio
    import json

    from agi_lookup.oneoff import read_config

    config = read_config(named)
    figures = asyncio.run(_stats(config))
    if as_json:
        click.echo(json.dumps(figures))
    else:
        width = max(map(len, figures))
        click.echo("\n".join(f"{name:<{width}}  {value}" for name, value in figures.items()))


@command.command("get")
@click.argument("number")
@profile_option
@as_json_option
@click.pass_obj
def get(named: Path | None, number: str, profile: str, as_json: bool) -> None:
    """What is remembered of a number. Exit status 1 when nothing is."""
    import asyncio
    import json
    import sys

    from agi_lookup.oneoff import read_config

    config = read_config(named)
    entries = asyncio.run(_get(config, _e164(config, number, profile)))
    if as_json:
        click.echo(json.dumps({"entries": entries}))
    for entry in () if as_json else entries:
        click.echo("\n".join(f"{name:<12} {value}" for name, value in entry.items()) + "\n")
    sys.exit(0 if entries else 1)


@command.command("forget")
@click.argument("number")
@profile_option
@as_json_option
@click.pass_obj
def forget(named: Path | None, number: str, profile: str, as_json: bool) -> None:
    """Erase a number everywhere. Exit status 1 when nothing was known of it."""
    import asyncio
    import json
    import sys

    from agi_lookup.oneoff import read_config, server_runs
    from agi_lookup.web.client import ask

    config = read_config(named)
    e164 = _e164(config, number, profile)
    if server_runs(config):
        gone = int(ask(config.http, "DELETE", "cache", e164, timeout_s=10.0)["forgotten"])
    else:
        gone = asyncio.run(_forget(config, e164))
    click.echo(json.dumps({"forgotten": gone}) if as_json else f"{gone} entries forgotten")
    sys.exit(0 if gone else 1)


@command.command("export")
@click.argument("file", type=click.File("wb", lazy=True, atomic=True))
@click.pass_obj
def export(named: Path | None, file: IO[bytes]) -> None:
    """Write everything as JSON lines to FILE (- for standard output)."""
    import asyncio

    from agi_lookup.oneoff import read_config

    count = asyncio.run(_export(read_config(named), file))
    click.echo(f"{count} entries exported", err=True)


@command.command("import")
@click.argument("file", type=click.File("rb"))
@as_json_option
@click.pass_obj
def import_(named: Path | None, file: IO[bytes], as_json: bool) -> None:
    """Read JSON lines from FILE; the newer observation of a number wins. Stop the server first."""
    import asyncio
    import json

    from agi_lookup.domain.errors import OutsideError
    from agi_lookup.oneoff import read_config, server_runs

    config = read_config(named)
    if server_runs(config):
        raise OutsideError("a server is running on this cache; stop it, import, and start it again")
    done = asyncio.run(_import(config, file))
    shown = {"lines": done.lines, "kept": done.kept}
    click.echo(json.dumps(shown) if as_json else f"{done.lines} entries read, {done.kept} of them new or newer")


def _e164(config: Config, number: str, profile: str) -> str:
    """Raises `ConfigError` for a number or profile that is none."""
    from agi_lookup.domain.errors import ConfigError, NumberError
    from agi_lookup.domain.number import normalise

    if profile not in config.profiles:
        raise ConfigError(f"{profile!r} is not under profiles; known: {', '.join(config.profiles)}")
    try:
        e164 = normalise(number, config.profiles[profile].dial_plan).e164
    except NumberError as error:
        raise ConfigError(f"the number cannot be read: {error.code}") from None
    if not e164:
        raise ConfigError("a short code or extension is never looked up and never remembered")
    return e164


@asynccontextmanager
async def _disk(config: Config) -> AsyncIterator[SqliteTier]:
    """The cache on disk, with its trouble as `OutsideError`."""
    import time

    from agi_lookup.cache.sqlite import Mode, SqliteTier
    from agi_lookup.domain.errors import CacheError, ConfigError, OutsideError
    from agi_lookup.wiring import CACHE_FILE

    if not config.cache.disk:
        raise ConfigError("cache.disk is off: nothing is remembered between processes")
    path = config.state_dir / CACHE_FILE
    alarms: list[str] = []
    tier = await SqliteTier.open(
        path,
        mode=Mode.TOOL,
        max_rows=config.cache.disk_rows,
        clock=time.time,
        on_alarm=lambda code, detail: alarms.append(f"{code}: {detail}"),
        count=lambda _word: None,
    )
    try:
        yield tier
    except CacheError as error:
        raise OutsideError(f"{path}: {'; '.join([str(error), *alarms])}") from None
    finally:
        await tier.close()


async def _stats(config: Config) -> dict[str, Any]:
    async with _disk(config) as disk:
        return dict(await disk.stats())


async def _get(config: Config, e164: str) -> list[dict[str, Any]]:
    import json

    from agi_lookup.cache.codec import to_line

    async with _disk(config) as disk:
        return [json.loads(to_line(entry)) for entry in (await disk.get(e164)).values()]


async def _forget(config: Config, e164: str) -> int:
    async with _disk(config) as disk:
        return await disk.forget(e164)


async def _export(config: Config, file: IO[bytes]) -> int:
    from agi_lookup.cache.transfer import export_lines

    count = 0
    async with _disk(config) as disk:
        async for line in export_lines(disk):
            file.write(line)
            count += 1
    return count


async def _import(config: Config, file: IO[bytes]) -> Any:
    from agi_lookup.cache.transfer import import_lines

    async with _disk(config) as disk:
        return await import_lines(disk, file)
