"""`agi-lookup league`: which provider is worth its money. Only reads, beside a running server or without."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import rich_click as click

if TYPE_CHECKING:
    from agi_lookup.calls.league import League
    from agi_lookup.calls.standings import Spent
    from agi_lookup.config import Config

SORTS: Final = (
    "cost", "useful", "in_time", "p95", "errors", "false_dead", "false_absent", "false_reachable", "disputed", "asked",
)  # fmt: skip


@click.command("league")
@click.option(
    "--by", type=click.Choice(["country", "type", "network"]), help="Apart for each; else all numbers together."
)
@click.option(
    "--sort",
    default="cost",
    show_default=True,
    type=click.Choice(SORTS),
    help="The best first. `cost` is that of a useful answer.",
)
@click.option(
    "--days", type=click.IntRange(1, 3650), default=30, show_default=True, help="Today (UTC) and the days before it."
)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="From this day (UTC) on, instead of --days.")
@click.option(
    "--min-samples",
    type=click.IntRange(1),
    default=30,
    show_default=True,
    help="A share of fewer is not shown, and nobody is ranked by it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    named: Path | None, by: str | None, sort: str, days: int, since: datetime | None, min_samples: int, as_json: bool
) -> None:
    """How fast, how useful, how often right and how dear each provider is, by the call log (`calls.enabled`) and the ledger.

    False dead, absent: a call was answered within the hour, though it said that nobody is there. False reachable: two vendors said
    "no such number", though it said yes. Network disputed: another provider, or it itself later, named another network. Per lookup:
    by the ledger, or with --by as its answers said. Spared: calls that the cache answered, at the price of a lookup. Exit status 1:
    nobody was asked in that time.
    """
    import json
    import sys

    from agi_lookup.calls import standings
    from agi_lookup.calls.league import By
    from agi_lookup.config import read_config

    config = read_config(named)
    day = _first_day(days, since)
    league, unfit = _league(config, day, By(by) if by else None)
    spent = None if by else _spent(config, day)
    table = standings.ranked(standings.rows(league, spent, min_samples), sort)
    shown = {
        "since": _date(day),
        "by": by,
        "sort": sort,
        "min_samples": min_samples,
        "unfit_rows": unfit,
        "rows": table,
    }
    click.echo(json.dumps(shown) if as_json else "\n".join(_text(shown, by)))
    sys.exit(0 if table else 1)


def _first_day(days: int, since: datetime | None) -> int:
    """As days since 1970."""
    import time
    from datetime import date

    from agi_lookup.calls.file import DAY_S

    if since is not None:
        return since.toordinal() - date(1970, 1, 1).toordinal()
    return int(time.time() // DAY_S) - days + 1


def _league(config: Config, day: int, by: Any) -> tuple[League, int]:
    """Raises `OutsideError`."""
    import sqlite3

    from agi_lookup.calls import by_number, league
    from agi_lookup.calls.file import CALLS_FILE, DAY_S
    from agi_lookup.domain.errors import CacheError, OutsideError

    path = config.state_dir / CALLS_FILE
    vendors = {name: trunk.vendor for name, trunk in config.routing.trunks.items()}
    found, unfit = league.new(), 0
    try:
        for number in by_number.read(path, day * DAY_S):
            league.merge(found, league.judge(number.lookups, number.calls, lambda trunk: vendors.get(trunk, trunk), by))
            unfit += number.unfit
    except (sqlite3.Error, CacheError) as error:
        raise OutsideError(f"{path}: cannot be read ({error}); were calls logged (calls.enabled)?") from None
    return found, unfit


def _spent(config: Config, day: int) -> dict[str, dict[str, Spent]]:
    """By provider and currency; nothing where nothing was ever paid. Raises `OutsideError`."""
    from decimal import Decimal

    from agi_lookup.cache.sqlite.writer import TROUBLE
    from agi_lookup.calls.standings import Spent
    from agi_lookup.domain.errors import OutsideError
    from agi_lookup.lookup.ledger_file import LEDGER_FILE, read

    path = config.state_dir / LEDGER_FILE
    try:
        lines = read(path, day, 0.0)[1] if path.exists() else []
    except TROUBLE as error:
        raise OutsideError(f"{path}: {error}") from None
    spent: dict[str, dict[str, Spent]] = {}
    for line in lines:
        of_provider = spent.setdefault(line.provider, {})
        held = of_provider.get(line.currency, Spent(0, Decimal(0)))
        of_provider[line.currency] = Spent(held.numbers + line.numbers, held.charged + line.charged)
    return spent


def _text(shown: dict[str, Any], by: str | None) -> list[str]:
    from agi_lookup.calls.standings import lines

    text = list(lines(shown["rows"], by)) or [f"nobody was asked since {shown['since']}"]
    if shown["unfit_rows"]:
        text.append(f"{shown['unfit_rows']} rows of the log do not fit, and are left out")
    return text


def _date(day: int) -> str:
    from datetime import date

    return date.fromordinal(date(1970, 1, 1).toordinal() + day).isoformat()
