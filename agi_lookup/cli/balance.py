"""`agi-lookup balance`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

if TYPE_CHECKING:
    from agi_lookup.config import Config


@click.command("balance")
@click.option("--provider", metavar="NAME", help="Only this one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(named: Path | None, /, provider: str | None, as_json: bool) -> None:
    """What is left on the providers' accounts, as far as they tell. Asking costs nothing.

    Exit status 1 when one did not answer, or holds less than its `low_balance`.
    """
    import asyncio
    import json
    import sys

    from agi_lookup.config import read_config

    config = read_config(named)
    accounts = asyncio.run(_read(config, provider))
    if as_json:
        click.echo(json.dumps({"accounts": accounts}))
    else:
        click.echo(_table(accounts) or "no provider in the config tells its balance")
    sys.exit(0 if all(account["state"] == "ok" for account in accounts) else 1)


async def _read(config: Config, provider: str | None) -> list[dict[str, Any]]:
    """A running server is asked, so that it hears of an account that has credit again. Raises `ConfigError`."""
    import asyncio
    import time

    from agi_lookup.balance import read_all
    from agi_lookup.domain.errors import ConfigError
    from agi_lookup.oneoff import opened, server_runs
    from agi_lookup.web.client import ask

    if provider is not None and provider not in config.providers:
        raise ConfigError(f"{provider!r} is not under providers; known: {', '.join(config.providers) or 'none'}")
    if server_runs(config):
        query = {"provider": provider} if provider else {}
        shown = await asyncio.to_thread(ask, config.http, "GET", "balance", timeout_s=15.0, **query)
        accounts: list[dict[str, Any]] = shown["accounts"]
    else:
        async with opened(config) as (_, generation):
            wanted = [account for account in generation.accounts() if provider in (None, account.name)]
            accounts = await read_all(wanted, time.time())
    if provider is not None and not accounts:
        raise ConfigError(f"{provider} does not tell its balance")
    return accounts


def _table(accounts: list[dict[str, Any]]) -> str:
    """Amounts to the right."""
    shown = [(a["provider"], a["balance"] or "", a["currency"] or "", a["state"]) for a in accounts]
    width, amount, currency = (max((len(row[i]) for row in shown), default=0) for i in range(3))
    return "\n".join(f"{row[0]:<{width}}  {row[1]:>{amount}}  {row[2]:<{currency}}  {row[3]}".rstrip() for row in shown)
