"""What the simulated vendors would charge, and what they were asked, so that spend can be seen before it is real."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

JOURNAL_LENGTH: Final = 10_000


@dataclass(slots=True)
class Account:
    """One customer's account at one vendor. `free` requests cost nothing: they were refused, or asked for the balance."""

    credit: Decimal
    currency: str
    requests: int = 0
    free: int = 0
    numbers: int = 0
    charged: Decimal = Decimal(0)

    @property
    def balance(self) -> Decimal:
        return self.credit - self.charged

    def summary(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "free": self.free,
            "numbers": self.numbers,
            "charged": str(self.charged),
            "currency": self.currency,
            "balance": str(self.balance),
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """One request: the numbers in it, what came of it in a word, what it cost."""

    vendor: str
    numbers: tuple[str, ...]
    result: str
    charged: Decimal

    def as_json(self) -> dict[str, Any]:
        return {
            "vendor": self.vendor,
            "numbers": list(self.numbers),
            "result": self.result,
            "charged": str(self.charged),
        }


class Bill:
    """All accounts and the journal of the last requests."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.journal: deque[Entry] = deque(maxlen=JOURNAL_LENGTH)

    def open(self, vendor: str, credit: Decimal, currency: str) -> Account:
        account = self.accounts[vendor] = Account(credit, currency)
        return account

    def book(self, vendor: str, numbers: Iterable[str], result: str, charged: Decimal = Decimal(0)) -> None:
        """One request. `numbers` count as looked up only when something is charged."""
        account, asked = self.accounts[vendor], tuple(numbers)
        account.requests += 1
        if charged:
            account.numbers += len(asked)
            account.charged += charged
        else:
            account.free += 1
        self.journal.append(Entry(vendor, asked, result, charged))

    def summary(self) -> dict[str, Any]:
        return {vendor: account.summary() for vendor, account in self.accounts.items()}

    def reset(self) -> None:
        self.journal.clear()
        for vendor, account in list(self.accounts.items()):
            self.open(vendor, account.credit, account.currency)
