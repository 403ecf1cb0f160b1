"""`agi-lookup mccmnc`: your own table of networks over the shipped one."""

from __future__ import annotations

from pathlib import Path

import rich_click as click


@click.group("mccmnc")
def command() -> None:
    """Which network an MCC and MNC belong to."""


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def import_(named: Path | None, file: Path, as_json: bool) -> None:
    """Check FILE (mcc,mnc,country,brand,operator,status) and put it into `mccmnc_dir`, where it wins over the shipped table."""
    import dataclasses
    import json

    from agi_lookup.config import read_config
    from agi_lookup.domain.errors import ConfigError
    from agi_lookup.mccmnc import import_csv

    folder = read_config(named).mccmnc_dir
    if folder is None:
        raise ConfigError("mccmnc_dir is not set in the config: name the folder that imported tables go into")
    folder.mkdir(parents=True, exist_ok=True)
    counts = import_csv(file, folder / f"{file.stem}.csv")
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(counts)))
    else:
        click.echo(
            f"{counts.rows} networks: {counts.added} new, {counts.changed} changed, {counts.removed} gone; reload to use"
        )
