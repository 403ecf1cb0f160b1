"""Lookups that cost more than they can save are spared, and what that saves is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.calls import Vendors, reachable, site_of, vendors
from tests.processes import Site
from tests.test_routes import import_deck, trunk
from tests.traffic import metrics

pytestmark = pytest.mark.usefixtures("untraced")

NUMBER = reachable(0)
SPARED = "agi_lookup_lookup_money_spared_total"


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Vendors]:
    with vendors(tmp_path) as running:
        yield running


def site_with(folder: Path, sim: Vendors, mode: str, **policy: Any) -> Site:
    site = site_of(folder, sim.blocks("npl"))
    worth = {"mode": mode, "prices": {"npl": "0.005"}}
    site.data["routing"] = {"trunks": {"one": trunk("acme"), "two": trunk("bell")}, "worth_lookup": worth}
    site.data["policy"] = {"dead_numbers": {"mode": "off"}, **policy}
    site.write()
    return site


def decks(site: Site, **networks: str) -> None:
    """By prefix acme is the cheaper; of networks, as told."""
    import_deck(site, "acme", {"44": "0.010"})
    path = site.folder / "bell.csv"
    rows = "".join(f",{network.removeprefix('n')},{rate}\n" for network, rate in networks.items())
    path.write_text(f"prefix,mccmnc,rate\n44,,0.012\n{rows}")
    assert site.cli("rates", "import", "--vendor", "bell", "--currency", "EUR", str(path)).returncode == 0
    assert site.cli("rates", "activate", "bell").returncode == 0


def asked_and_spared(site: Site, sim: Vendors) -> tuple[int, Any]:
    """Numbers that were paid for, and what the metric says."""
    with site.serve():
        told = site.call(NUMBER)
        spared = sum(metrics(site, SPARED).values())
    assert told["LCR_COUNT"] == "2"
    return sim.bill()["npl"]["numbers"], spared


def test_where_every_network_costs_the_same_nobody_is_paid_to_tell_it(tmp_path: Path, sim: Vendors) -> None:
    site = site_with(tmp_path, sim, "on")
    decks(site)
    shown = site.json("explain", NUMBER)

    assert asked_and_spared(site, sim) == (0, pytest.approx(0.005))
    assert [(one["provider"], one["result"]) for one in shown["attempts"]] == [("npl", "skipped: not_worth")]
    assert shown["status"] == "PARTIAL"


def test_in_shadow_all_is_looked_up_and_what_it_would_have_saved_is_counted(tmp_path: Path, sim: Vendors) -> None:
    site = site_with(tmp_path, sim, "shadow")
    decks(site)

    assert asked_and_spared(site, sim) == (1, pytest.approx(0.005))


def test_where_a_network_may_be_had_much_cheaper_it_is_looked_up(tmp_path: Path, sim: Vendors) -> None:
    site = site_with(tmp_path, sim, "on")
    decks(site, n23415="0.001")

    assert asked_and_spared(site, sim) == (1, 0)


def test_a_rule_that_looks_at_the_subscriber_is_never_done_out_of_it(tmp_path: Path, sim: Vendors) -> None:
    """Not even in shadow mode: what is counted there is what it is judged by."""
    site = site_with(tmp_path, sim, "on", dead_numbers={"mode": "shadow"})
    decks(site)

    assert asked_and_spared(site, sim) == (1, 0)


def test_without_a_price_in_money_everything_is_looked_up(tmp_path: Path, sim: Vendors) -> None:
    site = site_with(tmp_path, sim, "on")
    del site.data["routing"]["worth_lookup"]["prices"]
    site.write()
    decks(site)

    assert asked_and_spared(site, sim) == (1, 0)
