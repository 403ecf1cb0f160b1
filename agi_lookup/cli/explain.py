"""`agi-lookup explain`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click


@click.command("explain")
@click.argument("number")
@click.option("--profile", default="default", show_default=True, help="Dial plan and wants.")
@click.option("--timeout-ms", type=click.IntRange(10, 10_000), help="Default: the profile's deadline.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(named: Path | None, number: str, profile: str, timeout_ms: int | None, as_json: bool) -> None:
    """Show the whole decision for a number, step by step. It looks the number up as a call would, and may pay as a call would."""
    import asyncio
    import json
    import sys

    from agi_lookup.cli.lookup import NEGATIVE, as_text, look_all_up
    from agi_lookup.oneoff import read_config

    options = {"profile": profile}
    if timeout_ms:
        options["timeout_ms"] = str(timeout_ms)
    (shown,) = asyncio.run(look_all_up(read_config(named), (number,), options, None, "explain"))
    click.echo(json.dumps(shown) if as_json else f"{_steps(shown)}\n\n{as_text(shown)}")
    sys.exit(1 if shown["status"] in NEGATIVE else 0)


def _steps(shown: dict[str, Any]) -> str:
    lines = [f"{step['step']:<12} {step['ms']:>9.3f} ms  {step['result']}" for step in shown["steps"]]
    for attempt in shown["attempts"]:
        cost = f", {attempt['cost']} {attempt['currency']}" if attempt["cost"] else ""
        lines.append(f"  {attempt['provider']:<10} {attempt['ms']:>9.3f} ms  {attempt['result']}{cost}")
    return "\n".join(lines)
