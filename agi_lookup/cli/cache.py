"""`agi-lookup cache`: what is remembered. While a server runs, it is asked to forget: memory is its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import rich_click as click

from agi_lookup.cli.bulk import as_text, asked_options, look_all_up, outcome, rows_of, scan, summary
from agi_lookup.domain.wording import counted

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

    from agi_lookup.config import read_config

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

    from agi_lookup.config import read_config

    config = read_config(named)
    entries = asyncio.run(_get(config, as_e164(config, number, profile)))
    if as_json:
        click.echo(json.dumps({"entries": entries}))
    for entry in () if as_json else entries:
        click.echo("\n".join(_entry_lines(entry)) + "\n")
    sys.exit(0 if entries else 1)


@command.command("forget")
@click.argument("number")
@profile_option
@as_json_option
@click.pass_obj
def forget(named: Path | None, number: str, profile: str, as_json: bool) -> None:
    """Erase a number from cache, shared tier and call log; other instances are to be asked, too. Exit status 1: none was known."""
    import json
    import sys

    from agi_lookup.config import read_config

    config = read_config(named)
    e164 = as_e164(config, number, profile)
    gone = forgotten(config, e164)
    calls = f", {counted(gone['calls'], 'call')}" if "calls" in gone else ""
    entries = counted(gone["forgotten"], "entry", "entries")
    click.echo(json.dumps(gone) if as_json else f"{entries} forgotten{calls}")
    sys.exit(0 if any(gone.values()) else 1)


@command.command("export")
@click.argument("file", type=click.File("wb", lazy=True, atomic=True))
@click.pass_obj
def export(named: Path | None, file: IO[bytes]) -> None:
    """Write everything as JSON lines to FILE (- for standard output)."""
    import asyncio

    from agi_lookup.config import read_config

    count = asyncio.run(_export(read_config(named), file))
    click.echo(f"{counted(count, 'entry', 'entries')} exported", err=True)


@command.command("import")
@click.argument("file", type=click.File("rb"))
@as_json_option
@click.pass_obj
def import_(named: Path | None, file: IO[bytes], as_json: bool) -> None:
    """Read JSON lines from FILE; the newer observation of a number wins. Stop the server first."""
    import asyncio
    import json

    from agi_lookup.config import read_config
    from agi_lookup.domain.errors import OutsideError
    from agi_lookup.oneoff import server_runs

    config = read_config(named)
    if server_runs(config):
        raise OutsideError("a server is running on this cache; stop it, import, and start it again")
    done = asyncio.run(_import(config, file))
    shown = {"lines": done.lines, "kept": done.kept}
    click.echo(json.dumps(shown) if as_json else f"{done.lines} entries read, {done.kept} of them new or newer")


@command.command("warm")
@asked_options
@click.pass_obj
def warm(named: Path | None, /, file: Path, as_json: bool, **asked: Any) -> None:
    """Look up what the cache does not know of the numbers in IN.csv, so that calls find it there.

    May be ended and started again at any time: what the cache holds by then is not asked for. Exit status 1: rows are open.
    """
    import json
    import sys

    from agi_lookup.bulk.rows import Unkept
    from agi_lookup.config import read_config

    config = read_config(named)
    rows = rows_of(config, scan(file, asked), asked["profile"])
    stopped = look_all_up(config, rows, Unkept(), asked | {"fresh": False})
    shown = summary(rows.totals, stopped)
    click.echo(json.dumps(shown) if as_json else as_text(shown))
    sys.exit(outcome(rows.totals, stopped, "what is known is cached"))


def as_e164(config: Config, number: str, profile: str) -> str:
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


def _entry_lines(entry: dict[str, Any]) -> Iterator[str]:
    """Times for people, and of what was said only what is known."""
    from datetime import UTC, datetime

    for name, value in entry.items():
        if name.endswith(("_at", "_until")):
            yield f"{name:<12} {datetime.fromtimestamp(value, UTC).strftime('%Y-%m-%d %H:%M:%SZ')}"
        elif name != "body":
            yield f"{name:<12} {value}"
    for name, value in entry["body"].items():
        if value not in (None, "unknown"):
            yield f"{name:<12} {value}"


@asynccontextmanager
async def _disk(config: Config) -> AsyncIterator[SqliteTier]:
    """The cache on disk, with its trouble as `OutsideError`."""
    import time

    from agi_lookup.cache.sqlite import Mode, SqliteTier
    from agi_lookup.cache.sqlite.file import CACHE_FILE
    from agi_lookup.domain.errors import CacheError, ConfigError, OutsideError

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


def forgotten(config: Config, e164: str) -> dict[str, int]:
    """Erase a number, by the server where one runs; how much there was, by where."""
    import asyncio

    from agi_lookup.oneoff import server_runs
    from agi_lookup.web.client import ask

    if server_runs(config):
        gone: dict[str, int] = ask(config.http, "DELETE", "cache", e164, timeout_s=10.0)
        return gone
    return asyncio.run(_forget_in_files(config, e164))


async def _forget_in_files(config: Config, e164: str) -> dict[str, int]:
    """On disk, in the shared tier, and in the call log."""
    import asyncio

    from agi_lookup import wiring
    from agi_lookup.cache.sqlite import Mode
    from agi_lookup.calls.file import CALLS_FILE
    from agi_lookup.domain.errors import CacheError, ConfigError, OutsideError
    from agi_lookup.metrics import Metrics

    if not config.cache.disk and config.cache.shared is None:
        raise ConfigError("cache.disk is off: nothing is remembered between processes")
    alarms: list[str] = []
    metrics = Metrics(lambda code, detail: alarms.append(f"{code}: {detail}"))
    cache = await wiring.open_cache(config, metrics, Mode.TOOL)
    calls = wiring.open_calls(config, metrics) if (config.state_dir / CALLS_FILE).exists() else None
    try:
        gone = {"forgotten": await cache.forget(e164)}
        return gone | ({"calls": await asyncio.to_thread(calls.forget, e164)} if calls is not None else {})
    except CacheError as error:
        raise OutsideError("; ".join([str(error), *alarms])) from None
    finally:
        await cache.close()
        if calls is not None:
            calls.close()


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
