"""`agi-lookup bulk`: a file of numbers. What it shares with `cache warm` is here too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import rich_click as click

if TYPE_CHECKING:
    from agi_lookup.bulk.asking import Asked, Kept
    from agi_lookup.bulk.numbers import Numbers
    from agi_lookup.bulk.rows import Rows, Totals
    from agi_lookup.config import Config

Command = TypeVar("Command", bound=Callable[..., Any])

SHOW_EVERY_S: Final = 0.2
INTERRUPTED: Final = "interrupted"
SERVER_STARTED: Final = "server_started"
OVER_BUDGET: Final = "over_budget"
EXIT_OUTSIDE: Final = 3

_WHY: Final = {
    INTERRUPTED: "interrupted",
    SERVER_STARTED: "a server has started, which has to be asked from now on",
    OVER_BUDGET: "a spending cap is reached (see `agi-lookup spend`)",
    "out_of_credit": "an account at a provider is empty (see `agi-lookup balance`)",
    "auth": "a provider refuses its credentials",
    "not_booked": "the ledger of spending cannot be written, or another process holds it",
}
_COUNTS: Final = {"earlier": "done earlier", "duplicates": "duplicates", "open": "open", "left": "not asked"}

_OPTIONS: Final = (
    click.argument("file", metavar="IN.csv", type=click.Path(exists=True, dir_okay=False, path_type=Path)),
    click.option("--column", help="Which column holds the numbers. Default: `number`, or the only one."),
    click.option("--delimiter", default=",", show_default=True, help="Between columns; `tab` for a tabulator."),
    click.option("--profile", default="default", show_default=True, help="Dial plan and wants."),
    click.option(
        "--need", type=click.Choice(["identity", "liveness", "identity+liveness"]), help="Default: as the profile says."
    ),
    click.option(
        "--concurrency", type=click.IntRange(1, 5000), help="Numbers at a time. Default: as the providers can take."
    ),
    click.option("--deadline-s", type=click.FloatRange(1, 3600), default=60, show_default=True, help="For a number."),
    click.option(
        "--retry-s", type=click.FloatRange(0, 3600), default=60, show_default=True,
        help="How long busy providers are waited for while nobody answers.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON."),
)  # fmt: skip


def asked_options(command: Command) -> Command:
    """What bulk lookups can be told."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("bulk")
@asked_options
@click.option(
    "-o", "--output", metavar="OUT.csv", required=True, type=click.Path(dir_okay=False, path_type=Path),
    help="Where the input goes, with what was found beside it.",
)  # fmt: skip
@click.option("--fresh", is_flag=True, help="Pass by the cache.")
@click.pass_obj
def command(named: Path | None, /, file: Path, output: Path, as_json: bool, **asked: Any) -> None:
    """Look up every number of IN.csv, each once. A running server is asked, with regard for its calls.

    What is known is kept row by row in OUT.csv.part: after Ctrl-C, a crash or an exhausted budget the same command goes on where it
    ended. OUT.csv appears when all rows were asked. Exit status 1: rows are open, and the same command asks for those alone.
    """
    import json
    import sys

    from agi_lookup.bulk import output as outputs
    from agi_lookup.bulk.journal import Heading, Journal
    from agi_lookup.config import read_config
    from agi_lookup.domain.errors import ConfigError

    config = read_config(named)
    numbers = scan(file, asked)
    if output.exists() and output.samefile(file):
        raise ConfigError(f"{output}: that is the input; choose another output")
    rows = rows_of(config, numbers, asked["profile"])
    options = {name: str(asked[name] or "") for name in ("column", "delimiter", "profile", "need", "fresh")}
    part = output.with_name(f"{output.name}.part")
    heading = Heading(input=numbers.digest, rows=numbers.count, options=options)
    journal = Journal.open(part, heading, rows.done_earlier)
    try:
        stopped = look_all_up(config, rows, journal, asked)
        if not stopped:
            outputs.write(output, numbers, journal)
        if not (stopped or rows.totals.open):
            journal.remove()
    finally:
        journal.close()
    shown = summary(rows.totals, stopped) | {"output": None if stopped else str(output)}
    click.echo(json.dumps(shown) if as_json else as_text(shown))
    sys.exit(outcome(rows.totals, stopped, f"what is done is kept in {part}"))


def scan(file: Path, asked: dict[str, Any]) -> Numbers:
    """Raises `ConfigError`."""
    from agi_lookup.bulk import numbers
    from agi_lookup.domain.errors import ConfigError

    delimiter = {"tab": "\t"}.get(asked["delimiter"], asked["delimiter"])
    if len(delimiter) != 1:
        raise ConfigError("--delimiter: give one character, or `tab`")
    return numbers.scan(file, asked["column"], delimiter)


def rows_of(config: Config, numbers: Numbers, profile: str) -> Rows:
    """Raises `ConfigError`."""
    from agi_lookup.bulk.rows import Rows
    from agi_lookup.domain.errors import ConfigError

    if profile not in config.profiles:
        raise ConfigError(f"{profile!r} is not under profiles; known: {', '.join(config.profiles)}")
    return Rows(numbers, config.profiles[profile].dial_plan)


def look_all_up(config: Config, rows: Rows, kept: Kept, asked: dict[str, Any]) -> str:
    """Returns why it stopped early, if it did: as `bulk.run.Run` says. Raises `ConfigError` or `OutsideError`."""
    import asyncio

    from agi_lookup.bulk.asking import Asked

    names = ("profile", "need", "fresh", "deadline_s", "concurrency", "retry_s")
    return asyncio.run(_run(config, Asked(**{name: asked[name] for name in names}), rows, kept))


async def _run(config: Config, asked: Asked, rows: Rows, kept: Kept) -> str:
    from agi_lookup.bulk.asking import started

    async with started(config, asked, rows, kept) as run, _ended_by_signals(run.interrupt), _shown(rows.totals):
        await run.run()
    return run.stopped


@asynccontextmanager
async def _ended_by_signals(interrupt: Callable[[], None]) -> AsyncIterator[None]:
    import asyncio
    import signal

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@asynccontextmanager
async def _shown(totals: Totals) -> AsyncIterator[None]:
    """A progress bar, where there is a terminal to show it."""
    import asyncio

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[spent]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=totals.rows, completed=totals.passed, rate="", spent="")

        def show() -> None:
            speed = progress.tasks[0].speed
            rate = f"{speed:.0f}/s" if speed else ""
            progress.update(bar, completed=totals.passed, rate=rate, spent=_money(totals.spent))

        async def keep_showing() -> None:
            while True:
                show()
                await asyncio.sleep(SHOW_EVERY_S)

        showing = asyncio.create_task(keep_showing())
        try:
            yield
        finally:
            showing.cancel()
            show()


def summary(totals: Totals, stopped: str) -> dict[str, Any]:
    """`done` and `open` count rows of this run, `earlier` those that another run had done; `left` were not asked."""
    return {
        "rows": totals.rows,
        "earlier": totals.earlier,
        "done": totals.done,
        "bad": totals.bad,
        "duplicates": totals.duplicates,
        "open": totals.open,
        "left": totals.rows - totals.passed,
        "asked": totals.asked,
        "spent": {currency: f"{amount:f}" for currency, amount in totals.spent.items()},
        "stopped": stopped or None,
    }


def as_text(shown: dict[str, Any]) -> str:
    """In one line."""
    counts = [f"{shown['rows']} rows", f"{shown['done']} done ({shown['bad']} of them no numbers)"]
    counts += [f"{shown[name]} {what}" for name, what in _COUNTS.items() if shown[name]]
    return f"{', '.join(counts)}; spent: {_money(shown['spent']) or 'nothing'}"


def _money(spent: Mapping[str, object]) -> str:
    return ", ".join(f"{amount} {currency}" for currency, amount in spent.items())


def outcome(totals: Totals, stopped: str, kept: str) -> int:
    """The exit status. Says how to go on when it is not 0."""
    if not stopped and not totals.open:
        return 0
    why = _WHY.get(stopped, f"nobody answers any more ({stopped})") if stopped else "some providers failed"
    left = totals.open + totals.rows - totals.passed
    click.echo(f"{why}: {left} rows are open; {kept}, run the same command again to go on", err=True)
    return 1 if stopped in ("", INTERRUPTED, SERVER_STARTED, OVER_BUDGET) else EXIT_OUTSIDE
