"""`agi-lookup spend`: what was spent and what is left, beside a running server or without."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agi_lookup.domain.errors import ProviderTimeout
from agi_lookup.lookup.budget import Payer
from agi_lookup.lookup.caps import DAY_S, BudgetOptions
from agi_lookup.lookup.ledger_file import LEDGER_FILE
from tests.lookup.money import NUMBER, Alarms, answer, opened
from tests.processes import Site, make_site
from tests.test_daemon import simulator

CAPS = {
    "providers": {"npl": {"per_day": {"credits": "500"}}},
    "profiles": {"default": {"per_day": {"credits": "3"}, "burst": {"credits": "2.5", "seconds": 3600}}},
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = make_site(tmp_path, provider="http://127.0.0.1:9")
    site.data["budget"] = CAPS
    site.write()
    return site


def spend(site: Site, *, ago_days: int = 0, then: Callable[[], None] = lambda: None) -> None:
    """Two numbers in one request, one of them lost; `then` runs while the ledger is held."""

    async def run() -> None:
        purse = await opened(Path(site.data["state_dir"]) / LEDGER_FILE, BudgetOptions(), Alarms())
        now = time.time() - ago_days * DAY_S
        numbers = [purse.reserve("npl", NUMBER, Payer("default"), now) for _ in range(2)]
        await purse.intend(numbers)
        purse.settle(numbers[0], answer("1"))
        purse.settle(numbers[1], ProviderTimeout())
        await asyncio.to_thread(then)
        await purse.close()

    asyncio.run(run())


def day(ago_days: int = 0) -> str:
    return datetime.fromtimestamp(time.time() - ago_days * DAY_S, UTC).date().isoformat()


def test_what_was_spent_by_day_and_what_is_left(site: Site) -> None:
    spend(site, ago_days=9)
    spend(site, ago_days=1)
    spend(site)

    shown = site.json("spend")

    line = {"provider": "npl", "currency": "credits", "requests": 1, "numbers": 2, "charged": "2", "unknown": 1}
    assert shown["days"] == [{"day": day(1), **line}, {"day": day(), **line}]
    assert shown["stopped"] is False
    assert [(cap["of"], cap["name"], cap["seconds"], cap["spent"], cap["left"]) for cap in shown["caps"]] == [
        ("provider", "npl", DAY_S, "2", "498"),
        ("profile", "default", DAY_S, "2", "1"),
        ("profile", "default", 3600, "2", "0.5"),
    ]
    assert len(site.json("spend", "--days", "10")["days"]) == 3


def test_it_works_while_a_server_holds_the_ledger(site: Site) -> None:
    charged: list[str] = []

    spend(site, then=lambda: charged.extend(line["charged"] for line in site.json("spend")["days"]))

    assert charged == ["2"]


def test_the_table_is_for_people(site: Site) -> None:
    spend(site)
    site.data["budget"] = {**CAPS, "stop": True}
    site.write()

    lines = site.cli("spend").stdout.splitlines()

    assert lines[0].split() == ["day", "provider", "currency", "requests", "numbers", "charged", "unknown"]
    assert lines[1].split() == [day(), "npl", "credits", "1", "2", "2", "1"]
    assert lines[-1] == "budget.stop is set: nothing is paid for"


def test_before_anything_is_spent_all_is_left(site: Site) -> None:
    shown = site.json("spend")

    assert shown["days"] == []
    assert [cap["left"] for cap in shown["caps"]] == ["500", "3", "2.5"]


def test_a_damaged_ledger_is_one_clear_line(site: Site) -> None:
    spend(site)
    (Path(site.data["state_dir"]) / LEDGER_FILE).write_bytes(b"no ledger at all " * 999)

    done = site.cli("spend")

    assert done.returncode == 3
    assert len(done.stderr.strip().splitlines()) == 1
    assert LEDGER_FILE in done.stderr


@pytest.mark.parametrize("budget", [{"providers": {"hlr": {}}}, {"profiles": {"sales": {}}}, {"per_day": {"EUR": "1"}}])
def test_caps_on_what_does_not_exist_are_errors(site: Site, budget: dict[str, object]) -> None:
    site.data["budget"] = budget
    site.write()

    done = site.cli("check")

    assert done.returncode == 2
    assert "budget" in done.stderr


def test_lookups_are_paid_for_once_and_within_the_cap(tmp_path: Path) -> None:
    """G5: by a command of its own, and by a server beside which the command reads."""
    with simulator(tmp_path) as npl:
        site = make_site(tmp_path, provider=npl)
        site.data["budget"] = {"providers": {"npl": {"per_day": {"credits": "2"}}}}
        site.write()
        numbers = ("447400123401", "447400123401", "447400123400")
        bought = [json.loads(site.cli("lookup", number, "--json").stdout)["error"] for number in numbers]
        with site.serve():
            refused = json.loads(site.cli("lookup", "447400123403", "--json").stdout)
            (line,) = site.json("spend")["days"]

    assert bought == [None, None, None]
    assert refused["error"] == "over_budget"
    assert (line["requests"], line["numbers"], line["charged"], line["unknown"]) == (2, 2, "2", 0)
