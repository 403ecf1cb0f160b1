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
    from agi_lookup.domain.errors import ConfigError

    path = configuration.find(named)
    try:
        config = configuration.read(path)
        asyncio.run(_build(config))
    except ConfigError as error:
        if not as_json:
            raise
        click.echo(json.dumps({"file": str(path), "ok": False, "problems": str(error).splitlines()}))
        sys.exit(2)
    if as_json:
        click.echo(json.dumps({"file": str(path), "ok": True, "problems": []}))
    else:
        click.echo(f"{path}: good ({len(config.profiles)} profiles, {len(config.providers)} providers)")


async def _build(config: Config) -> None:
    """Build all that the config names (tables, providers), with a cache in memory."""
    from agi_lookup import wiring
    from agi_lookup.cache.sqlite import Mode
    from agi_lookup.metrics import Metrics

    memory_only = config.model_copy(update={"cache": config.cache.model_copy(update={"disk": False})})
    core = await wiring.open_core(memory_only, Metrics(), Mode.TOOL)
    generation = wiring.build(memory_only, core)
    await generation.close()
    await core.close(0.0)
