"""The benchmark of routes: all sides are asked the same, and say the same; and of the import of their rates."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from agi_lookup.bench import imports, route_decks
from agi_lookup.bench.imports import imported
from agi_lookup.bench.report import as_text, import_goal, route_goals
from agi_lookup.bench.route_decks import PRICES, VENDORS
from agi_lookup.bench.routes import Effort, ranked_routes
from agi_lookup.domain.errors import OutsideError
from agi_lookup.routes import DECKS
from agi_lookup.routing.rates import Kind
from agi_lookup.routing.store import Store


def test_sides_agree_and_all_is_measured(tmp_path: Path) -> None:
    found = ranked_routes(tmp_path, Effort(prefixes=1000, probes=20, with_dict=True))
    assert found["agree"]
    assert found["title"] == "20,000 rates"
    assert found["rates"] == VENDORS * 1000 + VENDORS // 2 * len(route_decks.NETWORKS)
    assert list(found["sides"]) == ["ours", "naive_dict", "brute_force"]
    for name, side in found["sides"].items():
        assert side["vendors"] == VENDORS
        assert side["rss_mib"] > 10
        assert side["rank_p50_us"] > 0
        for work in ("match", "rank", "route") if name != "brute_force" else ():
            assert 0 < side[f"{work}_p50_us"] <= side[f"{work}_p99_us"]


def test_a_dict_is_left_out_where_it_would_not_fit(tmp_path: Path) -> None:
    found = ranked_routes(tmp_path, Effort(prefixes=10, probes=2, with_dict=False))
    assert found["agree"]
    assert list(found["sides"]) == ["ours", "brute_force"]


def test_decks_are_as_large_as_they_say_and_no_two_alike() -> None:
    decks = [list(route_decks.rates(vendor, 9000)) for vendor in range(VENDORS)]
    prefixes = [[rate.key for rate in deck if rate.kind is Kind.PREFIX] for deck in decks]
    assert {len(keys) for keys in prefixes} == {9000}
    assert len({rate.tariff for rate in decks[0]}) == PRICES
    assert all(ours != theirs for ours, theirs in itertools.pairwise(decks))


def test_half_of_the_destinations_have_a_known_network() -> None:
    known = [destination.mccmnc for destination in itertools.islice(route_decks.destinations(7), 100)]
    assert known.count(None) == 50
    assert all(network in route_decks.NETWORKS for network in known if network)


def test_a_whole_file_is_imported_each_time(tmp_path: Path) -> None:
    """Through the command itself, so that what is timed is what an operator waits for."""
    found = imported(tmp_path, imports.Effort(rows=300, rounds=2))
    assert (found["rows"], found["rounds"]) == (300, 2)
    assert found["import_rows_per_s"] > 0
    assert found["import_rows_per_cpu_s"] > 0
    store = Store(tmp_path / "state" / DECKS)
    versions = store.ids("bench")
    assert len(versions) == 2
    for version in versions:
        rates = sorted(store.open("bench", version).rates(), key=lambda rate: rate.line)
        made = list(route_decks.rates(imports.VENDOR, 300))
        assert [(rate.key, rate.tariff, rate.start) for rate in rates] == [
            (rate.key, rate.tariff, rate.start) for rate in made
        ]


def test_an_import_that_failed_is_not_timed(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    with pytest.raises(OutsideError, match="not imported"):
        imported(tmp_path, imports.Effort(rows=3, rounds=1))


@pytest.mark.parametrize(("rows_per_s", "met"), [(200_000.0, True), (199_999.0, False)])
def test_two_hundred_thousand_rows_a_second_are_wanted(rows_per_s: float, met: bool) -> None:
    goal = import_goal({"import_rows_per_s": rows_per_s})
    assert (goal.met, goal.needs_time) == (met, True)


def test_the_text_shows_what_a_call_has_done_beside_what_is_judged() -> None:
    """`Router.rank` does more than match, cost and sort, which the goal is about."""
    ours = {
        "rank_p50_us": 11,
        "rank_p99_us": 12,
        "match_p99_us": 13,
        "route_p50_us": 14,
        "route_p99_us": 15,
        "rss_mib": 16,
    }
    routes: list[dict[str, Any]] = [
        {"title": "20 rates", "agree": True, "sides": {"ours": ours, "brute_force": {"rank_p50_us": 1, "rss_mib": 2}}}
    ]
    speed = {"rows": 1_000_000, "import_rows_per_s": 234_567.8, "import_rows_per_cpu_s": 300_000.0}
    text = as_text({"hits": {"sides": {}, "ratios": {}}, "limits": [], "routes": routes, "imports": speed, "goals": []})
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "routes rank p50 us rank p99 us match p99 us call p50 us call p99 us RSS MiB" in lines
    assert "20 rates, ours 11.0 12.0 13.0 14.0 15.0 16" in lines
    assert "20 rates, brute_force 1.0 - - - - 2" in lines
    assert "import of a CSV file, 1,000,000 rows: 234,568 rows/s, 300,000 a second of CPU" in lines
    assert [goal.measured for goal in route_goals(routes[0])] == [12, 16, 0]
