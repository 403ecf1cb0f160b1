"""Any interleaving of reserving, sending, charging, giving back and restarting: the sums are a model's, and no cap is overshot."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agi_lookup.domain.errors import ProviderAuthError, ProviderOutcomeUnknown, ProviderOverBudget
from agi_lookup.lookup.budget import Outcome, Reservation, Tariff
from agi_lookup.lookup.caps import DAY_S
from agi_lookup.lookup.ledger_file import LEDGER_FILE, LedgerFile, read
from agi_lookup.providers.base import NumberResult, Pending
from tests.lookup.money import NOW, Till, answer, options

SAID: Final = options(
    providers={
        "npl": {"per_day": {"credits": "6"}, "burst": {"credits": "4", "seconds": 600}},
        "checkmobi": {"per_day": {"USD": "0.10"}},
    },
    profiles={"sales": {"per_day": {"credits": "4", "USD": "0.07"}}, "support": {}},
)
TARIFFS: Final = {"npl": Tariff("credits", Decimal("1.2")), "checkmobi": Tariff("USD", Decimal("0.02"))}
CHARGED: Final = {"0.01": Decimal("0.01"), "0": Decimal(0), "refused": Decimal(0)}
"""What comes of a number, with its charge; all other words are charged as reserved."""


def result_of(word: str, currency: str) -> NumberResult:
    named: dict[str, NumberResult] = {
        "refused": ProviderAuthError(),
        "lost": ProviderOutcomeUnknown(),
        "pending": Pending(30.0),
        "unstated": answer(None),
        "other currency": answer("0.01", "EUR"),
    }
    return named.get(word) or answer(word, currency)


@dataclass
class Bought:
    """One reservation in the model."""

    reservation: Reservation
    amount: Decimal
    intended: bool = False
    open: bool = True


class BookKeeping(RuleBasedStateMachine):
    """A budget and a ledger, written as the purse writes them, beside a list of all that was ever reserved."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / LEDGER_FILE
        self.at = NOW
        self.all: list[Bought] = []
        self.behind: list[Outcome] = []
        self.start()

    def start(self) -> None:
        self.book = LedgerFile(self.path, server=True)
        self.till = Till(SAID, TARIFFS)
        self.till.budget.restore(self.book.open(SAID.memory_s)[1])

    @rule(source=st.sampled_from(sorted(TARIFFS)), profile=st.sampled_from(["sales", "support"]))
    def reserve(self, source: str, profile: str) -> None:
        try:
            reservation = self.till.reserve(self.at, provider=source, profile=profile)
        except ProviderOverBudget:
            assert self.full(source, profile), "refused with room to spare"
        else:
            self.all.append(Bought(reservation, reservation.amount))

    @precondition(lambda self: any(b.open and not b.intended for b in self.all))
    @rule()
    def intend(self) -> None:
        """What is reserved is one request, and one transaction with what was written behind."""
        request = [b for b in self.all if b.open and not b.intended]
        self.book.append([[b.reservation for b in request]], self.behind)
        self.behind = []
        for bought in request:
            bought.intended = True

    @precondition(lambda self: any(b.open and b.intended for b in self.all))
    @rule(data=st.data(), word=st.sampled_from([*CHARGED, "lost", "pending", "unstated", "other currency"]))
    def settle(self, data: st.DataObject, word: str) -> None:
        bought = data.draw(st.sampled_from([b for b in self.all if b.open and b.intended]))
        result = result_of(word, bought.reservation.currency)
        outcome = self.till.budget.settle(bought.reservation, result, self.at)
        self.close(bought, outcome, CHARGED.get(word, bought.amount))

    @precondition(lambda self: any(b.open for b in self.all))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        bought = data.draw(st.sampled_from([b for b in self.all if b.open]))
        self.close(bought, self.till.budget.release(bought.reservation, self.at), Decimal(0))

    def close(self, bought: Bought, outcome: Outcome | None, charged: Decimal) -> None:
        bought.open, bought.amount = False, charged
        assert outcome is not None
        if bought.intended:
            self.behind.append(outcome)

    @rule(seconds=st.sampled_from([1.0, 300.0, 601.0, 3600.0, DAY_S / 2]))
    def time_passes(self, seconds: float) -> None:
        self.at += seconds

    @rule()
    def restart(self) -> None:
        """As `kill -9` does it: what was not written is gone. Intents count in full then, whatever came of them."""
        lost = {outcome.id for outcome in self.behind}
        self.behind = []
        self.book.close()
        self.all = [b for b in self.all if b.intended]
        for bought in self.all:
            if bought.open or bought.reservation.id in lost:
                bought.open, bought.amount = False, bought.reservation.amount
        self.start()

    def today(self, **named: str) -> Decimal:
        return sum(
            (b.amount for b in self.all if b.reservation.at // DAY_S == self.at // DAY_S and self.fits(b, **named)),
            Decimal(0),
        )

    @staticmethod
    def fits(bought: Bought, **named: str) -> bool:
        return all(getattr(bought.reservation, name) == value for name, value in named.items())

    def full(self, source: str, profile: str) -> bool:
        """Is one of the caps too near for a number? The burst's may be kept for a slice longer."""
        price, currency = self.till.budget.price(source), TARIFFS[source].currency
        caps: dict[str, Any] = {"credits": Decimal(6), "USD": Decimal("0.10")}
        mine: dict[str, Any] = {"credits": Decimal(4), "USD": Decimal("0.07")}
        burst = sum(b.amount for b in self.all if b.reservation.at >= self.at - 610 and self.fits(b, provider="npl"))
        return (
            self.today(provider=source) + price > caps[currency]
            or (profile == "sales" and self.today(profile="sales", currency=currency) + price > mine[currency])
            or (source == "npl" and burst + price > 4)
        )

    @invariant()
    def no_cap_is_overshot(self) -> None:
        for line in self.till.budget.standing(self.at):
            assert line.spent <= line.cap
            if line.seconds == DAY_S:
                assert line.spent == self.today(currency=line.currency, **{line.scope: line.name})

    @invariant()
    def the_ledger_says_the_same(self) -> None:
        """But for what is only reserved, and outcomes that wait to be written."""
        waiting = {outcome.id for outcome in self.behind}
        expected = sum(
            (b.reservation.amount if b.reservation.id in waiting else b.amount for b in self.all if b.intended),
            Decimal(0),
        )
        assert sum((line.charged for line in read(self.path, 0, 0)[1]), Decimal(0)) == expected

    def teardown(self) -> None:
        self.book.close()
        self.folder.cleanup()


TestBookKeeping = BookKeeping.TestCase
TestBookKeeping.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
