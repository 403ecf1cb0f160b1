"""`agi-lookup replay`: past calls through other rates or rules, before these go live. Nobody is asked and nothing is paid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import rich_click as click

if TYPE_CHECKING:
    from rich.progress import Progress

    from agi_lookup.calls.cdr import Cdr, Form
    from agi_lookup.calls.past import Past
    from agi_lookup.calls.replay import Configured, Side
    from agi_lookup.config import Config
    from agi_lookup.routing.store import Store

SHOWN_PROBLEMS: Final = 20
PROGRESS_CALLS: Final = 2000
LOGGED: Final = "logged"
LIVE: Final = "live"


@click.command("replay")
@click.argument("file", metavar="CALLS.csv", type=click.File("rb"), required=False)
@click.option("--log", "from_log", is_flag=True, help="The calls of our own log, instead of a file.")
@click.option(
    "--config",
    "new",
    metavar="NEW.yaml",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rules and routing to try; else those of the live config.",
)
@click.option(
    "--deck",
    "decks",
    multiple=True,
    metavar="VENDOR=VERSION",
    help="A version of a vendor's deck to try; without =VERSION the newest.",
)
@click.option(
    "--before",
    type=click.Choice([LOGGED, LIVE]),
    help="Compare with what calls were told, or with the live config and decks. Default: what the calls come with.",
)
@click.option(
    "-o", "--output", metavar="OUT.csv", type=click.Path(dir_okay=False, path_type=Path), help="A row for each call."
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="OURS=THEIRS",
    help="Another name in the header: number=called; or a place: number=3.",
)
@click.option("--delimiter", default=",", show_default=True, help="Between columns; `tab` for a tabulator.")
@click.option("--zone", default="UTC", show_default=True, help="Of the times in the file: Europe/Paris.")
@click.option("--profile", default="default", show_default=True, help="Dial plan and wants of calls in a file.")
@click.option("--no-cache", is_flag=True, help="Do not take networks of numbers in a file from the cache.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    named: Path | None, /, file: IO[bytes] | None, from_log: bool, output: Path | None, as_json: bool, **asked: Any
) -> None:
    """What other rules, routing or decks would have made of past calls: cost, blocks and routes, before and after.

    CALLS.csv is Asterisk's Master.csv, or any CSV with a header that has dst and start; - is standard input. A call counts by the
    rates in force when it was made, and is taken to go by the first of its routes. Exit status 1: lines could not be used, or there
    were no calls.

    Replayed: the dial plan (of a file), the network as the log or the cache has it, costs, strategy, stickiness, hours, networks
    that a trunk takes, the quality that logged results teach, and the rules by their configured mode. Not replayed: lookups, calls
    at once and a second, probes, rules that were returned to shadow, and what the calls before taught about a number: here an
    answered call saves no later one from a rule, and two carriers' causes block none.
    """
    import json
    import os
    import sys

    from agi_lookup import config as configuration
    from agi_lookup.calls import report as reports
    from agi_lookup.calls.output import written
    from agi_lookup.calls.replay import replay
    from agi_lookup.domain.errors import ConfigError

    if (file is None) != from_log:
        raise click.UsageError("name one of CALLS.csv and --log")
    if file and output and output.exists() and os.path.samestat(output.stat(), os.fstat(file.fileno())):
        raise ConfigError(f"{output}: that is the input; choose another output")
    live = configuration.read(configuration.find(named))
    before = asked["before"] or (LOGGED if from_log else LIVE)
    if before == LOGGED and not from_log:
        raise ConfigError("--before logged: a file of calls does not say what they were told; use --log")
    if before == LIVE and not (asked["new"] or asked["decks"]):
        raise ConfigError("nothing is changed: say what to try with --config NEW.yaml or --deck VENDOR=VERSION")
    report, problems = reports.Report(), _Problems(file.name if file else "call log")
    with (
        _sides(live, asked, before, output) as (old, new),
        _calls(live, file, asked, problems) as calls,
        written(output) as write,
    ):
        for one in replay(calls, old, new):
            report.add(one)
            write(one)
    shown = {"compared_with": before, **report.shown(), "bad_rows": problems.count}
    click.echo(json.dumps(shown) if as_json else "\n".join(reports.lines(shown)))
    sys.exit(1 if problems.count or not shown["calls"] else 0)


@contextmanager
def _sides(live: Config, asked: dict[str, Any], before: str, output: Path | None) -> Iterator[tuple[Side, Side]]:
    """The one that the calls are compared with, and the one to try. Decks are those of the live config's state folder."""
    from agi_lookup import config as configuration
    from agi_lookup.calls.replay import AsLogged, usual_s
    from agi_lookup.domain.errors import ConfigError
    from agi_lookup.routes import DECKS
    from agi_lookup.routing.store import Store

    new = configuration.read(asked["new"]) if asked["new"] else live
    store = Store(live.state_dir / DECKS)
    if asked["decks"] and not new.routing.trunks:
        raise ConfigError("--deck: the config has no trunks under routing, so no deck changes anything")
    old = AsLogged(usual_s(live.routing)) if before == LOGGED else _configured(live, store.live_book())
    with _book(store, asked["decks"], output) as book:
        yield old, _configured(new, book)


@contextmanager
def _book(store: Store, named: Iterable[str], output: Path | None) -> Iterator[Path | None]:
    """The live one; with versions named, one of these beside the live versions of all other vendors, until the block is left."""
    from tempfile import TemporaryDirectory

    from agi_lookup.routing.book_file import compile_book

    wanted = dict(name.partition("=")[::2] for name in named)
    if not wanted:
        yield store.live_book()
        return
    versions = {vendor: ids[0] for vendor, ids in store.live().items()}
    versions |= {vendor: version or store.newest(vendor) for vendor, version in wanted.items()}
    with TemporaryDirectory(prefix=".replay-", dir=output.absolute().parent if output else None) as folder:
        book = Path(folder) / "replay.book"
        compile_book(book, [store.open(vendor, version) for vendor, version in sorted(versions.items())])
        yield book


def _configured(config: Config, book: Path | None) -> Configured:
    """Raises `ConfigError`."""
    from agi_lookup.calls.bill import Bill
    from agi_lookup.calls.replay import Configured, usual_s, without_capacity
    from agi_lookup.policy import rules
    from agi_lookup.routes import Sources, open_rates
    from agi_lookup.routing.memory import Memory

    options = without_capacity(config.routing)
    memory = Memory(options)
    rates = open_rates(options, Sources(book, options.fx_file, None), memory)
    return Configured(
        router=rates.router,
        memory=memory,
        rules=rules.build(config.policy),
        bill=Bill(options.currency, rates.fx),
        usual_s=usual_s(options),
    )


@contextmanager
def _calls(
    live: Config, file: IO[bytes] | None, asked: dict[str, Any], problems: _Problems
) -> Iterator[Iterator[Past]]:
    from rich.console import Console
    from rich.progress import Progress

    from agi_lookup.cache.sqlite.file import CACHE_FILE
    from agi_lookup.calls.known import cached_identities
    from agi_lookup.calls.past import recorded

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        if file is None:
            yield _logged(live.state_dir, problems, progress)
            return
        cache = None if asked["no_cache"] else live.state_dir / CACHE_FILE
        plans = {name: profile.dial_plan for name, profile in live.profiles.items()}
        with cached_identities(cache) as known:
            yield recorded(_cdrs(file, live, asked, problems, progress), plans, known)


def _logged(state_dir: Path, problems: _Problems, progress: Progress) -> Iterator[Past]:
    import sqlite3

    from agi_lookup.calls import file, past
    from agi_lookup.domain.errors import CacheError, OutsideError

    path = state_dir / file.CALLS_FILE
    try:
        task = progress.add_task("replaying", total=file.span(path))
        for count, call in enumerate(file.read(path), 1):
            if count % PROGRESS_CALLS == 0:
                progress.update(task, completed=count)
            if call is None:
                problems.add("a call in it does not fit")
            else:
                yield past.logged(call)
    except (sqlite3.Error, CacheError) as error:
        raise OutsideError(f"{path}: cannot be read ({error}); were calls logged (calls.enabled)?") from None


def _cdrs(
    file: IO[bytes], live: Config, asked: dict[str, Any], problems: _Problems, progress: Progress
) -> Iterator[Cdr]:
    """What is not UTF-8 is let pass: names may be in any encoding, and nobody needs them."""
    import io

    from agi_lookup.calls.cdr import Cdr, read
    from agi_lookup.domain.errors import ConfigError

    form = _form(live, asked)
    size = _size(file)
    task = progress.add_task("replaying", total=size)
    with io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="") as text:
        try:
            for count, found in enumerate(read(text, form)):
                if size and count % PROGRESS_CALLS == 0:
                    progress.update(task, completed=file.tell())
                if isinstance(found, Cdr):
                    yield found
                else:
                    problems.add(found.what, found.line)
        except ConfigError as error:
            raise ConfigError(f"{file.name}:{error}") from None


def _form(live: Config, asked: dict[str, Any]) -> Form:
    """Raises `ConfigError`."""
    from zoneinfo import ZoneInfo

    from agi_lookup.calls.cdr import NAMES, Form
    from agi_lookup.domain.errors import ConfigError

    try:
        zone = ZoneInfo(asked["zone"])
    except (OSError, ValueError, KeyError):
        raise ConfigError("--zone: no time zone of this machine; use an IANA name such as Europe/Paris") from None
    delimiter = "\t" if asked["delimiter"] == "tab" else asked["delimiter"]
    if len(delimiter) != 1:
        raise ConfigError("--delimiter: give one character, or `tab`")
    if asked["profile"] not in live.profiles:
        raise ConfigError(f"{asked['profile']!r} is not under profiles; known: {', '.join(live.profiles)}")
    columns = dict(pair.partition("=")[::2] for pair in asked["columns"])
    if not columns.keys() <= NAMES.keys() or "" in columns.values():
        raise ConfigError(f"--column: write OURS=THEIRS, e.g. number=called; ours are {', '.join(NAMES)}")
    return Form(columns, zone, asked["profile"], frozenset(live.profiles), delimiter)


class _Problems:
    """Shows the first ones."""

    def __init__(self, name: str) -> None:
        self.count = 0
        self._name = name

    def add(self, what: str, line: int | None = None) -> None:
        self.count += 1
        if self.count <= SHOWN_PROBLEMS:
            click.echo(f"{self._name}:{line}: {what}" if line else f"{self._name}: {what}", err=True)
        elif self.count == SHOWN_PROBLEMS + 1:
            click.echo("... and more", err=True)


def _size(file: IO[bytes]) -> int | None:
    """None where there is no telling: standard input."""
    import os
    import stat

    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None
