"""An empty account is looked at until it has credit again, and a low one is told of before."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from decimal import Decimal
from typing import Any

import pytest

from agi_lookup.domain.errors import ProviderOutOfCredit, ProviderShut, ProviderUnavailable
from agi_lookup.domain.model import LookupAnswer
from agi_lookup.lookup.balances import MAX_FAILED, Account, Watch
from agi_lookup.lookup.gates import Gates
from agi_lookup.lookup.line import Line
from agi_lookup.lookup.link import Link
from agi_lookup.providers.base import Balance, BalanceLookup, HttpReply, HttpRequest
from tests.fakes import NUMBER, Clock, FakeSource, answer


class Accounting(FakeSource):
    """A vendor with a balance; None: it cannot say."""

    credit: Decimal | None = Decimal(0)
    looks = 0

    def balance(self, now: float) -> BalanceLookup:
        yield HttpRequest("POST", "https://vendor.example/balance", charged=False)
        raise AssertionError("run() answers for the vendor")

    async def run(self, lookup: Generator[HttpRequest, HttpReply, Any], *, timeout_s: float) -> Any:
        if getattr(lookup, "__name__", "") != "balance":
            return await super().run(lookup, timeout_s=timeout_s)
        self.looks += 1
        if self.credit is None:
            raise ProviderUnavailable
        return Balance(self.credit, "credits")


class Metrics:
    def __init__(self) -> None:
        self.balances: list[Decimal] = []
        self.alarms: list[tuple[str, str]] = []
        self.events: list[str] = []

    def balance(self, provider: str, currency: str, amount: Decimal) -> None:
        self.balances.append(amount)

    def alarm(self, code: str, detail: str) -> None:
        self.alarms.append((code, detail))

    def event(self, word: str) -> None:
        self.events.append(word)


def account(vendor: Accounting, low: Decimal | None = None) -> Account:
    line = Line(Gates(max_concurrency=1, balance_known=True), max_batch=1)
    return Account("npl", vendor, vendor, Link(vendor, vendor, line, timeout_s=10), low)


async def ask(link: Link) -> LookupAnswer:
    deadline = asyncio.get_running_loop().time() + 1
    return await link.ask(NUMBER, Clock()(), lambda: deadline)


async def test_credit_opens_what_an_empty_account_shut() -> None:
    """P12: nobody is asked in vain meanwhile."""
    vendor = Accounting((ProviderOutOfCredit(), answer()), name="npl")
    npl = account(vendor)
    metrics = Metrics()
    watch = Watch(lambda: [npl], metrics, Clock())
    with pytest.raises(ProviderOutOfCredit):
        await ask(npl.link)
    await watch.look_at(npl)
    assert npl.link.health().why == "out_of_credit"

    vendor.credit = Decimal("12.5")
    await watch.look_at(npl)
    assert (await ask(npl.link)).provider == "npl"
    assert (vendor.requests, vendor.looks) == (2, 2)
    assert metrics.balances == [0, Decimal("12.5")]


@pytest.mark.parametrize(("credit", "alarms"), [("9.99", 1), ("10", 0), ("11", 0)])
async def test_a_low_balance_is_an_alarm(credit: str, alarms: int) -> None:
    vendor = Accounting((answer(),), name="npl")
    vendor.credit = Decimal(credit)
    metrics = Metrics()
    await Watch(list, metrics, Clock()).look_at(account(vendor, Decimal(10)))
    assert metrics.alarms == [("balance_low", f"npl: {credit} credits")] * alarms


async def test_a_balance_that_cannot_be_had_is_counted_and_the_watch_goes_on() -> None:
    vendor = Accounting((answer(),), name="npl")
    vendor.credit = None
    metrics = Metrics()
    watch = asyncio.create_task(Watch(lambda: [account(vendor)], metrics, Clock()).run())
    while not metrics.events:
        await asyncio.sleep(0)
    assert not watch.done()
    watch.cancel()
    assert metrics.events == ["balance_failed"]


async def test_an_account_whose_balance_cannot_be_had_is_tried_now_and_then_and_the_operator_told() -> None:
    """P12: a broken balance call may not shut a provider for good."""
    vendor = Accounting((ProviderOutOfCredit(), answer()), name="npl")
    vendor.credit = None
    npl = account(vendor)
    metrics = Metrics()
    watch = Watch(lambda: [npl], metrics, Clock())
    with pytest.raises(ProviderOutOfCredit):
        await ask(npl.link)
    for _ in range(MAX_FAILED - 1):
        await watch.look_at(npl)
    with pytest.raises(ProviderShut):
        await ask(npl.link)
    await watch.look_at(npl)
    assert metrics.alarms == [("balance_unknown", "npl")]
    assert (await ask(npl.link)).provider == "npl"
