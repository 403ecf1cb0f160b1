"""What people and scripts are shown of the accounts: one JSON shape for the command line and the HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from agi_lookup.domain.errors import ProviderError
from agi_lookup.lookup.balances import Account

LOW: Final = "low"
BUG: Final = "bug"


async def read_all(accounts: Iterable[Account], now: float) -> list[dict[str, Any]]:
    """All at once, in their order; `now` is Unix seconds. An account that has credit again is asked for numbers again."""
    return list(await asyncio.gather(*(_read(account, now) for account in accounts)))


async def _read(account: Account, now: float) -> dict[str, Any]:
    """`state` is "ok", "low" (below `low_balance`) or why the vendor did not say: an error's stable word."""
    shown: dict[str, Any] = {
        "provider": account.name,
        "balance": None,
        "currency": None,
        "low_balance": None if account.low is None else str(account.low),
        "state": "ok",
    }
    try:
        balance = await account.balance(now)
    except ProviderError as error:
        return shown | {"state": error.code}
    except Exception:  # noqa: BLE001 - a kind of another package may raise anything; the others are shown
        return shown | {"state": BUG}
    if balance.amount > 0:
        account.link.credited()
    low = account.low is not None and balance.amount < account.low
    amount = f"{balance.amount:f}"
    return shown | {"balance": amount, "currency": balance.currency, "state": LOW if low else "ok"}
