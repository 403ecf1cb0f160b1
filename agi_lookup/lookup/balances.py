"""What is left on the accounts: opens what an empty account shut, and warns before one is empty. Balance calls are free."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol, TypeVar

from agi_lookup.domain.errors import ProviderError, ProviderOutOfCredit
from agi_lookup.lookup.link import Link
from agi_lookup.providers.base import Accountable, Balance, Reply, Step

T = TypeVar("T")

EMPTY_S: Final = 60.0
"""How often an account that was empty is looked at."""
WATCH_S: Final = 1800.0
MAX_FAILED: Final = 10
"""Balance calls that fail in a row before the operator is told, and a lookup goes to see whether there is credit."""
TIMEOUT_S: Final = 10.0


class Driver(Protocol):
    """Raises `ProviderError` only (and `CancelledError`)."""

    async def run(self, lookup: Generator[Step, Reply, T], *, timeout_s: float) -> T: ...


class Metrics(Protocol):
    def balance(self, provider: str, currency: str, amount: Decimal) -> None: ...
    def event(self, word: str) -> None: ...
    def alarm(self, code: str, detail: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Account:
    """One provider that tells its balance; `low` is where the warning starts."""

    name: str
    provider: Accountable
    driver: Driver
    link: Link
    low: Decimal | None

    async def balance(self, now: float) -> Balance:
        """`now` is Unix seconds. Raises `ProviderError`."""
        return await self.driver.run(self.provider.balance(now), timeout_s=TIMEOUT_S)


class Watch:
    """Looks at the accounts, for ever: the empty ones each minute, all of them twice an hour."""

    def __init__(self, accounts: Callable[[], Iterable[Account]], metrics: Metrics, clock: Callable[[], float]) -> None:
        self._accounts = accounts
        self._metrics = metrics
        self._clock = clock
        self._failed: Counter[str] = Counter()

    async def run(self) -> None:
        passed_s = WATCH_S
        while True:
            everyone = passed_s >= WATCH_S
            passed_s = 0.0 if everyone else passed_s
            for account in self._accounts():
                if everyone or account.link.health().why == ProviderOutOfCredit.code:
                    await self.look_at(account)
            await asyncio.sleep(EMPTY_S)
            passed_s += EMPTY_S

    async def look_at(self, account: Account) -> None:
        try:
            balance = await account.balance(self._clock())
        except ProviderError:
            self._unknown(account, "balance_failed")
            return
        except Exception:  # noqa: BLE001 - a kind of another package may raise anything; the watch goes on
            self._unknown(account, "balance_bug")
            return
        del self._failed[account.name]
        self._metrics.balance(account.name, balance.currency, balance.amount)
        if balance.amount > 0:
            account.link.credited()
        if account.low is not None and balance.amount < account.low:
            self._metrics.alarm("balance_low", f"{account.name}: {balance.amount} {balance.currency}")

    def _unknown(self, account: Account, word: str) -> None:
        self._metrics.event(word)
        self._failed[account.name] += 1
        if self._failed[account.name] % MAX_FAILED == 0:
            self._metrics.alarm("balance_unknown", account.name)
            account.link.credited()
