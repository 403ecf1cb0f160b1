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
    from agi_lookup.config import read_config

    options = {"profile": profile}
    if timeout_ms:
        options["timeout_ms"] = str(timeout_ms)
    (shown,) = asyncio.run(look_all_up(read_config(named), (number,), options, None, "explain"))
    click.echo(json.dumps(shown) if as_json else f"{_steps(shown)}\n\n{as_text(shown)}")
    sys.exit(1 if shown["status"] in NEGATIVE else 0)


def _steps(shown: dict[str, Any]) -> str:
    lines = [f"{step['step']:<12} {step['ms']:>9.3f} ms  {step['result']}" for step in shown["steps"]]
    lines += [f"  {one['facet']:<23} {one['state']:<14} {_entry(one)}".rstrip() for one in shown["cached"]]
    lines += [f"  {gate['provider']:<23} {gate['state']:<14} {_gate(gate)}" for gate in shown["gates"]]
    for attempt in shown["attempts"]:
        cost = f", {attempt['cost']} {attempt['currency']}" if attempt["currency"] else ""
        lines.append(f"  {attempt['provider']:<10} {attempt['ms']:>9.3f} ms  {attempt['result']}{cost}")
    lines += [f"  {rule['rule']:<23} {rule['action']:<14} matches: {rule['matches']}" for rule in shown["rules"]]
    for one in shown["candidates"]:
        rate = f"{one['kind']} {one['key']} at {one['cost'] or '-'}" if one["kind"] else ""
        lines.append(f"  {one['vendor']:<10} {one['trunk'] or '-':<12} {one['fate']:<14} {rate}".rstrip())
    return "\n".join(lines)


def _entry(one: dict[str, Any]) -> str:
    if one["age_s"] is None:
        return ""
    return f"{one['outcome']}, {one['age_s']} s old, by {one['provider']}, {'in' if one['memory'] else 'not in'} memory"


def _gate(gate: dict[str, Any]) -> str:
    """All that may hold a request back."""
    words = [f"{gate['in_use']} of {gate['limit']} connections in use", f"{gate['waiting']} waiting"]
    if gate["why"]:
        lasts = "until something is done" if gate["for_s"] is None else f"for {gate['for_s']:.0f} s"
        words.insert(0, f"{gate['why']} {lasts}")
    if gate["next_in_s"]:
        words.append(f"next request in {gate['next_in_s']:.1f} s")
    if gate["network_for_s"]:
        words.append(f"its network is held back for {gate['network_for_s']:.0f} s")
    if gate["refused"]:
        words.append(f"not for this number: {gate['refused']}")
    if not gate["in_call"]:
        words.append("no call waits for it")
    words += [
        f"{cap['left']} of {cap['cap']} {cap['currency']} left in {cap['seconds']} s ({cap['of']})"
        for cap in gate["caps"]
    ]
    return ", ".join(words)
