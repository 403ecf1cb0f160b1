"""`agi-lookup check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

if TYPE_CHECKING:
    from agi_lookup.config import Config


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(named: Path | None, as_json: bool) -> None:
    """Validate the config, and what it names, without starting anything."""
    import asyncio
    import json
    import sys

    from agi_lookup import config as configuration
    from agi_lookup.doctor import settings
    from agi_lookup.domain.errors import ConfigError

    path = configuration.find(named)
    try:
        config = configuration.read(path)
        asyncio.run(_build(config))
        notes = settings.notes(config)
    except ConfigError as error:
        if not as_json:
            raise
        click.echo(json.dumps({"file": str(path), "ok": False, "problems": str(error).splitlines()}))
        sys.exit(2)
    if as_json:
        click.echo(json.dumps({"file": str(path), "ok": True, "problems": [], "notes": notes}))
    else:
        for note in notes:
            click.echo(f"note: {note}", err=True)
        click.echo(f"{path}: good ({len(config.profiles)} profiles, {len(config.providers)} providers)")


async def _build(config: Config) -> None:
    """Raises `ConfigError`."""
    from agi_lookup.doctor.settings import built

    async with built(config):
        pass
