"""`agi-lookup ports`: the table of ported numbers on this machine. A running server sees an import at once, and whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import rich_click as click

if TYPE_CHECKING:
    from io import TextIOWrapper

    from rich.progress import Progress, TaskID

    from agi_lookup.config import Config
    from agi_lookup.providers.ported_csv import Line, Problem
    from agi_lookup.providers.ported_import import Imported

SHOWN_PROBLEMS: Final = 20
SHOWN_RUNS: Final = 5
PROGRESS_LINES: Final = 5_000

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
provider_option = click.option("--provider", metavar="NAME", help="Which table, where the config names several.")


@click.group("ports")
def command() -> None:
    """Ported numbers from files of your own, asked before anybody is paid."""


@command.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--replace", is_flag=True, help="FILE is the whole table: what it does not name is gone.")
@click.option(
    "--column", "columns", multiple=True, metavar="OURS=THEIRS", help="Another name in the header: number=MSISDN."
)
@click.option(
    "--set", "fixed", multiple=True, metavar="OURS=VALUE", help="The same in every line: ported=yes, mcc=208."
)
@click.option("--delimiter", default=",", show_default=True, help="Between columns; `tab` for a tabulator.")
@click.option("--encoding", default="utf-8", show_default=True)
@click.option(
    "--max-errors", type=click.IntRange(min=0), default=0, show_default=True, help="Malformed lines to put up with."
)
@provider_option
@as_json_option
@click.pass_obj
def import_(named: Path | None, /, file: IO[bytes], provider: str | None, as_json: bool, **asked: Any) -> None:
    """Read FILE (CSV with a header; - for standard input) into the table; a number's later `ported_at` wins, else the later line.

    Columns: number, or from and to, or prefix; carrier, mcc and mnc (or mccmnc), ported (yes or no), ported_at (ISO 8601), type,
    lrn, ocn, removed (yes: what the table said of it ends). A number wins over blocks, a narrow block over a wide one. All or
    nothing: too many malformed lines change nothing.
    """
    import dataclasses
    import json

    from agi_lookup.config import read_config

    config = read_config(named)
    done = _import(config, _table(config, provider), file, asked)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(done)))
    else:
        click.echo(
            f"{done.lines} lines, {done.malformed} malformed, {done.written} new or newer;"
            f" the table holds {done.numbers} numbers and {done.blocks} blocks"
        )


@command.command("show")
@click.argument("number")
@click.option("--profile", default="default", show_default=True, help="Dial plan that reads the number.")
@provider_option
@as_json_option
@click.pass_obj
def show(named: Path | None, number: str, profile: str, provider: str | None, as_json: bool) -> None:
    """What the table says of a number. Exit status 1 when it says nothing."""
    import dataclasses
    import json
    import sys

    from agi_lookup.cli.cache import as_e164
    from agi_lookup.config import read_config
    from agi_lookup.domain.errors import OutsideError
    from agi_lookup.providers.ported_numbers import TableUnusable
    from agi_lookup.providers.ported_table import Reader

    config = read_config(named)
    table = _table(config, provider)
    e164 = as_e164(config, number, profile)
    try:
        row = Reader(table).read((e164,)).rows.get(e164)
    except TableUnusable as error:
        raise OutsideError(f"{table}: {error}") from None
    shown = dataclasses.asdict(row) | {"imported_at": _time(row.imported_at)} if row else {}
    if as_json:
        click.echo(json.dumps({"number": e164, "found": row is not None, **shown}))
    else:
        click.echo("\n".join(f"{name:<12} {value}" for name, value in shown.items()) or "not in the table")
    sys.exit(0 if row else 1)


@command.command("stats")
@provider_option
@as_json_option
@click.pass_obj
def stats(named: Path | None, provider: str | None, as_json: bool) -> None:
    """How much the table holds, and where it comes from."""
    import json
    import sqlite3
    from contextlib import closing

    from agi_lookup.config import read_config
    from agi_lookup.domain.errors import OutsideError
    from agi_lookup.providers.ported_table import NotATable, counts, last_runs, open_reader

    table = _table(read_config(named), provider)
    try:
        with closing(open_reader(table)) as connection:
            numbers, blocks = counts(connection)
            runs = last_runs(connection, SHOWN_RUNS)
    except (sqlite3.Error, NotATable) as error:
        raise OutsideError(f"{table}: cannot be read ({error}); has anything been imported?") from None
    imports = [
        {"at": _time(run.at), "source": run.source, "lines": run.lines, "replaced": run.replaced} for run in runs
    ]
    if as_json:
        click.echo(json.dumps({"table": str(table), "numbers": numbers, "blocks": blocks, "imports": imports}))
        return
    click.echo(f"{table}: {numbers} numbers, {blocks} blocks")
    for run in imports:
        click.echo(
            f"{run['at']}  {run['source']}: {run['lines']} lines{', the whole table' if run['replaced'] else ''}"
        )


def _table(config: Config, provider: str | None) -> Path:
    from agi_lookup.domain.errors import ConfigError
    from agi_lookup.providers.ported_numbers import Options

    tables = {name: options.table for name, options in config.providers.items() if isinstance(options, Options)}
    if not tables:
        raise ConfigError(
            "no provider of kind ported_numbers in the config: add one, its `table` is what is imported into"
        )
    if provider is None and len(tables) > 1:
        raise ConfigError(f"name one of {', '.join(tables)} with --provider")
    if provider is not None and provider not in tables:
        raise ConfigError(f"{provider!r} is no provider of kind ported_numbers; there are {', '.join(tables)}")
    return tables[provider or next(iter(tables))]


def _import(config: Config, table: Path, file: IO[bytes], asked: dict[str, Any]) -> Imported:
    import time

    from rich.console import Console
    from rich.progress import Progress

    from agi_lookup.domain.errors import ConfigError
    from agi_lookup.providers.ported_import import Terms, import_lines

    terms = Terms(Path(file.name).name, time.time(), asked["replace"], asked["max_errors"])
    console = Console(stderr=True)
    size = _size(file)
    with _text(file, asked["encoding"]) as text, Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading", total=size)
        lines = _watched(_lines(config, text, asked), lambda: progress.update(task, completed=size and file.tell()))
        try:
            return import_lines(
                table,
                lines,
                terms,
                on_problem=_Problems(file.name),
                on_merge=lambda: _merging(progress, task, size),
            )
        except ConfigError as error:
            raise ConfigError(f"{file.name}: {error}") from None


def _merging(progress: Progress, task: TaskID, size: int | None) -> None:
    progress.update(task, completed=size)
    progress.add_task("sorting in", total=None)


def _text(file: IO[bytes], encoding: str) -> TextIOWrapper:
    """What is not in the encoding comes as surrogates: it spoils its line, not the file."""
    import io

    from agi_lookup.domain.errors import ConfigError

    try:
        named = "utf-8-sig" if encoding == "utf-8" else encoding
        return io.TextIOWrapper(file, named, errors="surrogateescape", newline="")
    except LookupError:
        raise ConfigError(f"--encoding {encoding}: no such encoding") from None


def _lines(config: Config, text: TextIOWrapper, asked: dict[str, Any]) -> Iterator[Line | Problem]:
    from agi_lookup import mccmnc
    from agi_lookup.domain.errors import ConfigError
    from agi_lookup.providers.ported_csv import read

    delimiter = "\t" if asked["delimiter"] == "tab" else asked["delimiter"]
    if len(delimiter) != 1:
        raise ConfigError("--delimiter: give one character, or `tab`")
    return read(
        text,
        split=mccmnc.load(config.mccmnc_dir).split,
        columns=_pairs("--column", asked["columns"]),
        fixed=_pairs("--set", asked["fixed"]),
        delimiter=delimiter,
    )


def _watched(lines: Iterator[Line | Problem], on_progress: Any) -> Iterator[Line | Problem]:
    for count, line in enumerate(lines):
        if count % PROGRESS_LINES == 0:
            on_progress()
        yield line


class _Problems:
    """Shows the first ones."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._count = 0

    def __call__(self, problem: Problem) -> None:
        self._count += 1
        if self._count <= SHOWN_PROBLEMS:
            click.echo(f"{self._file}:{problem.line}: {problem.what}", err=True)
        elif self._count == SHOWN_PROBLEMS + 1:
            click.echo("... and more", err=True)


def _pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    from agi_lookup.domain.errors import ConfigError

    pairs = dict(pair.partition("=")[::2] for pair in given)
    if "" in pairs or "" in pairs.values():
        raise ConfigError(f"{option}: write OURS=THEIRS, e.g. {option} mcc=208")
    return pairs


def _size(file: IO[bytes]) -> int | None:
    """None where there is no telling: standard input."""
    import os
    import stat

    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _time(at: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC).isoformat()
