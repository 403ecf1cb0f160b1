"""`agi-lookup bench`."""

from __future__ import annotations

import rich_click as click


@click.command("bench")
@click.option("--duration", "duration_s", type=click.FloatRange(0.1, 600), default=3, show_default=True, metavar="S")
@click.option("--repeat", type=click.IntRange(1, 100), default=5, show_default=True, help="Rounds of each server.")
@click.option("--concurrency", type=click.IntRange(1, 1000), default=50, show_default=True, help="Of the closed loop.")
@click.option("--quick", is_flag=True, help="A few seconds in all: counts mean something, times little.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, duration_s: float, repeat: int, concurrency: int, quick: bool, as_json: bool) -> None:
    """Measure this machine: our server beside a constant responder and pyst2, slow lookups, a full cache, providers' limits.

    Starts everything it needs on free ports of 127.0.0.1 and ends it; the running server and its cache are not touched.
    Exit status: 0 when every goal is met, 1 when one is missed. Run it on a machine that does nothing else.
    """
    import json
    import sys

    from agi_lookup.bench import report

    plan = report.quick_plan() if quick else report.plan(duration_s=duration_s, repeat=repeat, concurrency=concurrency)
    found = report.measure(plan, lambda text: click.echo(f"{text} ...", err=True))
    click.echo(json.dumps(found) if as_json else report.as_text(found))
    sys.exit(0 if all(goal["met"] for goal in found["goals"]) else 1)
