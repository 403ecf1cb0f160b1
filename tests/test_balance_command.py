"""`agi-lookup balance`: what is left on the accounts, beside a running server or without."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agi_lookup.balance import read_all
from agi_lookup.domain.errors import ProviderTimeout
from agi_lookup.lookup.balances import Account
from agi_lookup.providers.base import Balance
from tests.processes import Site, make_site
from tests.test_daemon import bought, simulator


@pytest.fixture
def npl(tmp_path: Path) -> Iterator[str]:
    with simulator(tmp_path, "--limit", "npl.credit=12.5") as base:
        yield base


@pytest.fixture
def site(tmp_path: Path, npl: str) -> Site:
    site = make_site(tmp_path, provider=npl)
    site.data["providers"]["ported"] = {"kind": "ported_numbers", "table": str(tmp_path / "ported.sqlite")}
    site.write()
    return site


def test_what_is_left_is_shown(site: Site, npl: str) -> None:
    """Of who tells it: a table of one's own has no account."""
    assert site.json("balance") == {
        "accounts": [{"provider": "npl", "balance": "12.50", "currency": "credits", "low_balance": None, "state": "ok"}]
    }
    assert site.cli("balance", "--provider", "npl").stdout.split() == ["npl", "12.50", "credits", "ok"]
    assert bought(npl) == 0


def test_a_low_balance_is_a_negative_answer(site: Site) -> None:
    site.data["providers"]["npl"]["low_balance"] = "12.51"
    site.write()

    done = site.cli("balance", "--json")

    assert (done.returncode, json.loads(done.stdout)["accounts"][0]["state"]) == (1, "low")


def test_one_that_does_not_say_does_not_hide_the_others(site: Site) -> None:
    site.data["providers"]["other"] = {**site.data["providers"]["npl"], "password": "wrong"}
    site.write()

    done = site.cli("balance")

    assert done.returncode == 1
    assert [line.split() for line in done.stdout.splitlines()] == [["npl", "12.50", "credits", "ok"], ["other", "auth"]]


def test_a_running_server_is_asked(site: Site) -> None:
    with site.serve():
        shown = site.json("balance", "--provider", "npl")

    assert [account["balance"] for account in shown["accounts"]] == ["12.50"]


@pytest.mark.parametrize(("name", "says"), [("nobody", "npl, ported"), ("ported", "does not tell its balance")])
def test_a_provider_without_a_balance_is_wrong_usage(site: Site, name: str, says: str) -> None:
    done = site.cli("balance", "--provider", name)

    assert done.returncode == 2
    assert says in done.stderr


def test_without_providers_there_is_nothing_to_tell(tmp_path: Path) -> None:
    done = make_site(tmp_path).cli("balance")

    assert (done.returncode, done.stdout) == (0, "no provider in the config tells its balance\n")


@dataclass
class FakeLink:
    opened: int = 0

    def credited(self) -> None:
        self.opened += 1


@dataclass
class FakeDriver:
    """Says this, or raises it."""

    said: Balance | Exception
    link: FakeLink = field(default_factory=FakeLink)

    async def run(self, _lookup: object, *, timeout_s: float) -> Any:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    def account(self, name: str) -> Account:
        provider = cast("Any", SimpleNamespace(balance=lambda _now: iter(())))
        return Account(name, provider, self, cast("Any", self.link), None)


def read(*drivers: FakeDriver) -> list[dict[str, Any]]:
    accounts = [driver.account(f"p{n}") for n, driver in enumerate(drivers)]
    return asyncio.run(read_all(accounts, 0.0))


def test_an_account_with_credit_again_is_asked_for_numbers_again() -> None:
    """P12: whoever has paid need not wait for the next look."""
    full, empty = FakeDriver(Balance(Decimal(1), "EUR")), FakeDriver(Balance(Decimal(0), "EUR"))

    read(full, empty)

    assert (full.link.opened, empty.link.opened) == (1, 0)


def test_a_kind_of_another_package_may_be_broken() -> None:
    shown = read(FakeDriver(KeyError("balance")), FakeDriver(ProviderTimeout()), FakeDriver(Balance(Decimal(2), "EUR")))

    assert [account["state"] for account in shown] == ["bug", "timeout", "ok"]


def test_amounts_are_never_written_with_an_exponent() -> None:
    (shown,) = read(FakeDriver(Balance(Decimal("1E+3"), "EUR")))

    assert shown["balance"] == "1000"
