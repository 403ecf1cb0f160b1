"""`agi-lookup spend`: what lookups have cost, and what the caps leave. Only reads, beside a running server or without."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import rich_click as click

WORDS: Final = {"day", "provider", "currency", "of", "name"}
"""The other columns are figures, and stand to the right."""


@click.command("spend")
@click.option(
    "--days", type=click.IntRange(1, 36_500), default=7, show_default=True, help="Today and the days before it."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(named: Path | None, days: int, as_json: bool) -> None:
    """What was spent, by day (UTC), provider and currency, and what is left of the caps.

    `unknown` counts numbers whose outcome nobody knows, or not yet: they count as charged in full.
    """
    import json
    import time

    from agi_lookup.config import read_config
    from agi_lookup.lookup.budget import Budget
    from agi_lookup.spend import read_ledger, spend_json

    config = read_config(named)
    now = time.time()
    snapshot, lines = read_ledger(config.state_dir, days, now, config.budget.memory_s)
    budget = Budget(config.budget, lambda _code, _detail: None)
    budget.restore(snapshot)
    shown = spend_json(lines, budget.standing(max(now, snapshot.last_at)), stopped=config.budget.stop)
    click.echo(json.dumps(shown) if as_json else _table(shown))


def _table(shown: dict[str, Any]) -> str:
    parts = [_columns(shown["days"]) or "nothing was spent", _columns(shown["caps"]) or "no caps"]
    if shown["stopped"]:
        parts.append("budget.stop is set: nothing is paid for")
    return "\n\n".join(parts)


def _columns(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    aligns = ["<" if name in WORDS else ">" for name in rows[0]]
    lines = (zip(line, aligns, widths, strict=True) for line in cells)
    return "\n".join("  ".join(f"{cell:{align}{width}}" for cell, align, width in line) for line in lines)
