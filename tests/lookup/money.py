"""What the tests of budget and ledger share."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from agi_lookup.domain.model import LookupAnswer, Method
from agi_lookup.lookup.budget import Budget, Reservation, Tariff
from agi_lookup.lookup.caps import DAY_S, BudgetOptions
from agi_lookup.lookup.ledger import Purse
from agi_lookup.lookup.ledger_file import LedgerFile

NOW: Final = 20_000 * DAY_S + 43_200.0
"""Noon of a day, Unix seconds."""
TODAY: Final = 20_000
NUMBER: Final = "+447700900123"
CALLER: Final = "+447700900999"
CREDITS: Final = {"npl": Tariff("credits")}


def options(**said: Any) -> BudgetOptions:
    """As a config says it: amounts are text."""
    return BudgetOptions.model_validate(said)


def per_day(amount: str, currency: str = "credits", provider: str = "npl", **more: Any) -> BudgetOptions:
    return options(providers={provider: {"per_day": {currency: amount}}}, **more)


def answer(cost: str | None = "1", currency: str | None = "credits") -> LookupAnswer:
    amount = None if cost is None else Decimal(cost)
    return LookupAnswer(NUMBER, "npl", Method.HLR, NOW, cost=amount, currency=currency)


class Alarms:
    """What the operator is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def __call__(self, code: str, detail: str) -> None:
        self.heard.append((code, detail))

    @property
    def codes(self) -> list[str]:
        return [code for code, _ in self.heard]


async def opened(path: Path, said: BudgetOptions, alarms: Alarms) -> Purse:
    """A purse over a real file, as a server has it."""
    purse = Purse(LedgerFile(path, server=True), said, alarms)
    purse.configure(said, CREDITS)
    await purse.start()
    return purse


class Till:
    """A budget with its alarms and shorter words."""

    def __init__(self, said: BudgetOptions, tariffs: Mapping[str, Tariff] = CREDITS) -> None:
        self.alarms = Alarms()
        self.budget = Budget(said, self.alarms)
        self.budget.configure(said, tariffs, NOW)

    def reserve(
        self, at: float = NOW, *, provider: str = "npl", profile: str = "default", caller: bytes | None = None
    ) -> Reservation:
        return self.budget.reserve(provider, profile, NUMBER, caller, at)

    def pay(self, cost: str, at: float = NOW, **more: Any) -> Reservation:
        """Reserve and be charged."""
        reservation = self.reserve(at, **more)
        self.budget.settle(reservation, answer(cost, reservation.currency), at)
        return reservation

    def spent(self, at: float = NOW) -> dict[tuple[str, str, int], str]:
        """By name, currency and length of the cap."""
        return {
            (line.name, line.currency, line.seconds): f"{line.spent.normalize():f}" for line in self.budget.standing(at)
        }
