"""`agi-lookup privacy`: what is kept of a number, shown to whom it belongs to, or erased."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from agi_lookup.cli.cache import as_e164, as_json_option, forgotten, profile_option

if TYPE_CHECKING:
    from agi_lookup.config import Config


@click.group("privacy")
def command() -> None:
    """What is kept of a number: show it, or erase it."""


@command.command("export")
@click.argument("number")
@profile_option
@as_json_option
@click.pass_obj
def export(named: Path | None, number: str, profile: str, as_json: bool) -> None:
    """All that is kept of a number, as JSON (with --json on one line). Exit status 1: nothing is."""
    import asyncio
    import json
    import sys

    from agi_lookup.config import read_config
    from agi_lookup.oneoff import server_runs
    from agi_lookup.web.client import ask

    config = read_config(named)
    e164 = as_e164(config, number, profile)
    served = server_runs(config)
    kept = ask(config.http, "GET", "privacy", e164, timeout_s=60.0) if served else asyncio.run(_export(config, e164))
    click.echo(json.dumps(kept) if as_json else json.dumps(kept, indent=2, ensure_ascii=False))
    parts = ("cache", "calls", "lookups", "ledger", "recent")
    sys.exit(0 if any(kept.get(part) for part in parts) or any(kept.get("learned", {}).values()) else 1)


@command.command("forget")
@click.argument("number")
@profile_option
@as_json_option
@click.pass_obj
def forget(named: Path | None, number: str, profile: str, as_json: bool) -> None:
    """What `cache forget` does, and says which files may still hold the number. Exit status 1: nothing was kept of it."""
    import json
    import sys

    from agi_lookup.config import read_config
    from agi_lookup.privacy import ASIDE

    config = read_config(named)
    e164 = as_e164(config, number, profile)
    gone = forgotten(config, e164)
    aside = sorted(path.name for path in config.state_dir.glob(ASIDE))
    if as_json:
        click.echo(json.dumps({**gone, "put_aside": aside}))
    else:
        click.echo("\n".join(f"{name:<10} {count}" for name, count in gone.items()))
    for name in () if as_json else aside:
        click.echo(f"{config.state_dir / name} was put aside damaged and may hold the number: delete it", err=True)
    sys.exit(0 if any(gone.values()) else 1)


async def _export(config: Config, e164: str) -> dict[str, Any]:
    """From the files, while no server runs."""
    import msgspec

    from agi_lookup import privacy, wiring
    from agi_lookup.cache.sqlite import Mode
    from agi_lookup.domain.errors import CacheError, OutsideError
    from agi_lookup.domain.model import Facet
    from agi_lookup.metrics import Metrics

    cache = await wiring.open_cache(config, Metrics(), Mode.TOOL)
    try:
        cached = await cache.get(e164, frozenset(Facet))
        entries = [msgspec.to_builtins(entry) for entry in cached.values()]
        return {"number": e164, "cache": entries, **privacy.in_files(config.state_dir, e164)}
    except CacheError as error:
        raise OutsideError(str(error)) from None
    finally:
        await cache.close()
