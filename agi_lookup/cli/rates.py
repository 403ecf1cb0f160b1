"""`agi-lookup rates`: vendors' decks, from a file to what calls are routed by. A running server takes a new book up by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import rich_click as click

from agi_lookup.domain.wording import counted

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from agi_lookup.routing.columns import Format
    from agi_lookup.routing.deck_import import Report
    from agi_lookup.routing.store import Activated, Store

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
GIVES_WAY: Final = 10
"""Niceness: a million rates take seconds of a core, and calls go first."""
FILE_OPTIONS: Final = (
    click.argument("file", type=click.File("rb")),
    click.option("--vendor", required=True, metavar="NAME", help="Whose deck it is, as trunks name it."),
    click.option("--map", "columns", multiple=True, metavar="OURS=THEIRS", help="A column: rate=Price; - for none."),
    click.option("--set", "fixed", multiple=True, metavar="OURS=VALUE", help="For all lines: increments=60/60."),
    click.option("--currency", metavar="CODE", help="Short for --set currency=CODE."),
    click.option("--delimiter", metavar="CHARACTER", help="Between columns, `tab` for a tabulator; else by the header."),
    click.option("--encoding", metavar="NAME", help="Else UTF-8, or what a byte order mark says."),
    click.option("--decimal", metavar="MARK", help="Before decimals: . (the default) or ,"),
    click.option("--zone", metavar="NAME", help="Of the dates: Europe/Paris; else UTC."),
    click.option("--date-format", metavar="FORMAT", help="Of the dates: %d/%m/%Y; else ISO 8601 or 31-Jan-2026."),
    click.option("--last-day", metavar="WORD", help="The day in `to`: included (the default) or excluded."),
    click.option("--sheet", metavar="NAME", help="Of an XLSX file."),
    click.option(
        "--max-shrink", type=click.FloatRange(0, 100), default=20.0, show_default=True,
        help="Percent of the live deck's destinations that may be gone before a warning.",
    ),
    click.option(
        "--max-jump", type=click.FloatRange(0), default=50.0, show_default=True,
        help="Percent by which a rate may move before a warning.",
    ),
)  # fmt: skip


def file_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(FILE_OPTIONS):
        function = option(function)
    return function


@click.group("rates")
def command() -> None:
    """What vendors charge: decks are imported, compared, and made live all at once."""
    os.setpriority(os.PRIO_PROCESS, 0, max(GIVES_WAY, os.getpriority(os.PRIO_PROCESS, 0)))


@command.command("import")
@file_options
@click.option("--save", is_flag=True, help="Remember for this vendor how the file was to be read.")
@as_json_option
@click.pass_obj
def import_(named: Path | None, /, file: IO[bytes], vendor: str, save: bool, as_json: bool, **asked: Any) -> None:
    """Read FILE (CSV or XLSX, - for standard input) as a new version of a vendor's deck. Calls go on by the live one.

    Columns: prefix ("44;4477-4479" too; with country_code where that stands apart), or mccmnc, group, ocn, lrn; rate a minute,
    connect fee, increments (60/60) or first and next, currency, from, to, blocked. All or nothing: a deck with errors is not taken.
    """
    from agi_lookup.domain.errors import ConfigError

    store = _store(named)
    with _staged(store, file, vendor, asked) as staged:
        _show(file.name, staged.report, as_json)
        if count := staged.report.errors.count:
            raise ConfigError(f"{file.name}: {counted(count, 'error')}; nothing is imported")
        store.add(staged.path, vendor, staged.report.info.version)
    if save:
        store.save_format(vendor, staged.form)
    if not as_json:
        click.echo(
            f"imported as {staged.report.info.version}; next: agi-lookup rates diff {vendor}, rates activate {vendor}"
        )


@command.command("check")
@file_options
@as_json_option
@click.pass_obj
def check(named: Path | None, /, file: IO[bytes], vendor: str, as_json: bool, **asked: Any) -> None:
    """Read FILE as `import` would, and keep nothing of it. Exit status 1 when it has errors."""
    import sys

    with _staged(_store(named), file, vendor, asked) as staged:
        _show(file.name, staged.report, as_json)
    sys.exit(1 if staged.report.errors.count else 0)


@command.command("diff")
@click.argument("vendor")
@click.argument("version", required=False)
@click.option(
    "--at", metavar="TIME", help="Compare the rates in force then (ISO 8601, else in UTC), not those to come."
)
@click.option(
    "--top", type=click.IntRange(0, 1000), default=20, show_default=True, help="How many of the biggest changes."
)
@as_json_option
@click.pass_obj
def diff(named: Path | None, vendor: str, version: str | None, at: str | None, top: int, as_json: bool) -> None:
    """What VERSION (else the newest) changes against the live deck of a vendor."""
    import time

    from agi_lookup.routing import deck_report
    from agi_lookup.routing.deck_diff import compare

    store = _store(named)
    version = version or store.newest(vendor)
    live, *_ = [*store.live().get(vendor, []), None]
    old = store.open(vendor, live) if live else None
    found = compare(old, store.open(vendor, version), time.time(), _moment(at), shown=top)
    shown = {"vendor": vendor, "live": live, "version": version, **deck_report.differences(found)}
    lines = (f"{vendor}: {version} against {live or 'nothing live'}", *deck_report.difference_lines(found))
    _print(shown, lines, as_json)


@command.command("activate")
@click.argument("vendor")
@click.argument("version", required=False)
@as_json_option
@click.pass_obj
def activate(named: Path | None, vendor: str, version: str | None, as_json: bool) -> None:
    """Make VERSION (else the newest) of a vendor's deck live, beside the live decks of all others."""
    import time

    _show_activated(_store(named).activate(vendor, version, time.time()), as_json)


@command.command("rollback")
@click.argument("vendor")
@as_json_option
@click.pass_obj
def rollback(named: Path | None, vendor: str, as_json: bool) -> None:
    """Make live again what was live before. Exit status 1 when nothing was."""
    import sys
    import time

    from agi_lookup.routing.store import NothingBefore

    try:
        _show_activated(_store(named).rollback(vendor, time.time()), as_json)
    except NothingBefore as error:
        click.echo(error, err=True)
        sys.exit(1)


@command.command("show")
@click.argument("vendor", required=False)
@as_json_option
@click.pass_obj
def show(named: Path | None, vendor: str | None, as_json: bool) -> None:
    """All versions of all vendors, or of one. Exit status 1 when there is none."""
    import sys

    from agi_lookup.routing import deck_report

    store = _store(named)
    found = {name: deck_report.versions(store, name) for name in ([vendor] if vendor else store.vendors())}
    book = store.live_book()
    shown = {
        "book": str(book) if book else None,
        "vendors": [{"vendor": name, "versions": ids} for name, ids in found.items()],
    }
    lines = (deck_report.version_line(name, version) for name, versions in found.items() for version in versions)
    _print(shown, [*lines, *(() if book else ("nothing is live",))], as_json)
    sys.exit(0 if any(found.values()) else 1)


class Staged(NamedTuple):
    path: Path
    report: Report
    form: Format


@contextmanager
def _staged(store: Store, file: IO[bytes], vendor: str, asked: dict[str, Any]) -> Iterator[Staged]:
    """A deck of the file, checked, until the block is left."""
    import time

    from agi_lookup.domain.errors import ConfigError
    from agi_lookup.routing.deck_check import Limits
    from agi_lookup.routing.deck_import import check_deck
    from agi_lookup.routing.deck_rows import Problem

    now = time.time()
    form = _form(store.read_format(vendor), asked)
    live = store.live().get(vendor)
    with store.staging(now) as folder:
        path = folder / "deck"
        try:
            report = _read(path, file, vendor, form, now)
        except ConfigError as error:
            raise ConfigError(f"{file.name}: {error}") from None
        try:
            old = store.open(vendor, live[0]) if live else None
        except ConfigError as error:  # a new deck is the way out
            old = None
            report.warnings.add(Problem(0, f"not compared with the live deck: {error}"))
        check_deck(path, report, old, now, Limits(asked["max_shrink"], asked["max_jump"]))
        yield Staged(path, report, form)


def _read(path: Path, file: IO[bytes], vendor: str, form: Format, now: float) -> Report:
    from rich.console import Console
    from rich.progress import Progress

    from agi_lookup.routing.deck_import import Source, digest, read_deck, seekable
    from agi_lookup.routing.store import version_id

    console = Console(stderr=True)
    with seekable(file) as whole, Progress(console=console, disable=not console.is_terminal) as progress:
        size = whole.seek(0, os.SEEK_END)
        source = digest(whole)
        task = progress.add_task("reading", total=size)
        watched = progress.wrap_file(whole, task_id=task)
        return read_deck(
            path, Source(watched, vendor, version_id(now, source), source, form), lambda: _sorting(progress, task, size)
        )


def _sorting(progress: Progress, task: TaskID, size: int) -> None:
    progress.update(task, completed=size)
    progress.add_task("sorting", total=None)


def _form(saved: dict[str, Any], asked: dict[str, Any]) -> Format:
    """Raises `ConfigError`."""
    from agi_lookup.routing.columns import SETTINGS, told

    said = {name: asked[name] for name in SETTINGS if asked[name] is not None}
    if said.get("delimiter") == "tab":
        said["delimiter"] = "\t"
    currency = {"currency": asked["currency"]} if asked["currency"] else {}
    fixed = _pairs("--set", asked["fixed"]) | currency
    return told(saved, said | {"columns": _pairs("--map", asked["columns"]), "fixed": fixed})


def _pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    from agi_lookup.domain.errors import ConfigError

    pairs = dict(pair.partition("=")[::2] for pair in given)
    if "" in pairs or "" in pairs.values():
        raise ConfigError(f"{option}: write OURS=THEIRS, e.g. {option} rate=Price")
    return pairs


def _show(name: str, found: Report, as_json: bool) -> None:
    """Problems go to standard error, in JSON and without."""
    from agi_lookup.routing import deck_report

    _print(deck_report.report(name, found), deck_report.report_lines(found), as_json)
    for line in deck_report.problem_lines(name, found.errors, "errors"):
        click.echo(line, err=True)
    for line in deck_report.problem_lines(name, found.warnings, "warnings"):
        click.echo(f"warning: {line}", err=True)


def _show_activated(found: Activated, as_json: bool) -> None:
    from agi_lookup.routing import deck_report

    _print(deck_report.activated(found), [deck_report.activated_line(found)], as_json)


def _print(shown: dict[str, Any], lines: Iterable[str], as_json: bool) -> None:
    import json

    click.echo(json.dumps(shown) if as_json else "\n".join(lines))


def _moment(text: str | None) -> float | None:
    """Unix seconds. Raises `ConfigError`."""
    from datetime import UTC, datetime

    from agi_lookup.domain.errors import ConfigError

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError("--at: write a date or time such as 2026-02-01 or 2026-02-01T12:00+01:00") from None
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def _store(named: Path | None) -> Store:
    from agi_lookup.config import read_config
    from agi_lookup.routing.store import Store

    return Store(read_config(named).state_dir / "decks")
