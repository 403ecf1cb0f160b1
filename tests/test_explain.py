"""`explain`, as text and as JSON: what the cache held and what held each source back, before the lookup of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Site, make_site
from tests.test_daemon import bought, fetch, simulator

NUMBER = "447400123401"
STEPS = ["emergency", "number", "cache", "gates", "lookup", "routes", "rules"]


@pytest.fixture(scope="module")
def npl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with simulator(tmp_path_factory.mktemp("sim")) as base:
        yield base


@pytest.fixture
def site(tmp_path: Path, npl: str) -> Site:
    site = make_site(tmp_path, provider=npl)
    site.data["providers"]["npl"]["max_concurrency"] = 3
    site.data["budget"] = {
        "providers": {"npl": {"per_day": {"credits": "500"}}},
        "profiles": {"default": {"per_day": {"credits": "100", "EUR": "5"}}},
    }
    site.write()
    return site


def explained(site: Site, number: str = NUMBER, query: str = "") -> dict[str, Any]:
    shown: dict[str, Any] = fetch(f"http://127.0.0.1:{site.http_port}/api/v1/explain/{number}{query}")
    return shown


def results(shown: dict[str, Any]) -> dict[str, str]:
    return {step["step"]: step["result"] for step in shown["steps"]}


def states(shown: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(one["facet"], one["state"], one["provider"], one["memory"]) for one in shown["cached"]]


def test_a_number_before_it_is_known_and_after(site: Site, npl: str) -> None:
    before = bought(npl)
    with site.serve() as server:
        cold, warm = explained(site), explained(site)
        assert server.end() == 0
    with site.serve():
        from_disk = explained(site)

    assert [step["step"] for step in cold["steps"]] == STEPS
    assert all(step["ms"] >= 0 for step in cold["steps"])
    assert sum(step["ms"] for step in cold["steps"]) > 0
    assert (results(cold)["cache"], results(cold)["gates"]) == ("identity miss, liveness miss", "npl ok")
    assert states(cold) == [("identity", "miss", None, False), ("liveness", "miss", None, False)]
    assert states(warm) == [("identity", "fresh", "npl", True), ("liveness", "fresh", "npl", True)]
    assert states(from_disk) == [("identity", "fresh", "npl", False), ("liveness", "fresh", "npl", False)]
    assert [one["outcome"] for one in warm["cached"]] == ["positive", "positive"]
    assert all(one["age_s"] >= 0 for one in warm["cached"])
    assert (cold["cache"], warm["cache"]) == ("miss", "fresh")
    assert bought(npl) - before == 1


def test_each_source_that_may_be_asked_with_its_gates_and_what_is_left_to_spend(site: Site) -> None:
    site.data["providers"] |= {
        "behind": {**site.data["providers"]["npl"], "in_call": False},
        "elsewhere": {**site.data["providers"]["npl"]},
    }
    site.data["profiles"]["default"]["sources"] = ["npl", "behind", {"provider": "elsewhere", "countries": ["FR"]}]
    site.write()
    with site.serve():
        gates = explained(site)["gates"]
        (only,) = explained(site, query="?provider=npl")["gates"]

    assert [(gate["provider"], gate["in_call"], gate["state"], gate["why"]) for gate in gates] == [
        ("npl", True, "ok", ""),
        ("behind", False, "ok", ""),
    ]
    gate = gates[0]
    assert {gate[name] for name in ("for_s", "network_for_s", "next_in_s", "in_use", "waiting")} == {0}
    assert (gate["limit"], gate["refused"]) == (3, None)
    assert [(cap["of"], cap["name"], cap["currency"], cap["left"]) for cap in gate["caps"]] == [
        ("provider", "npl", "credits", "500"),
        ("profile", "default", "credits", "100"),
    ]
    assert (only["provider"], only["caps"][0]["left"]) == ("npl", "499")


def test_a_source_that_is_shut_says_why(site: Site) -> None:
    site.data["providers"]["npl"]["password"] = "wrong"
    site.write()
    with site.serve():
        first, second = explained(site), explained(site, "447400123400")
        text = site.cli("explain", "447400123400").stdout

    (before,), (after,) = first["gates"], second["gates"]
    assert before["state"] == "ok"
    assert (after["state"], after["why"], after["for_s"]) == ("shut", "auth", None)
    assert results(second)["gates"] == "npl shut (auth)"
    assert re.search(
        r"^  npl +shut +auth until something is done, 0 of 3 connections in use, 0 waiting", text, re.MULTILINE
    )


def test_a_source_that_is_not_asked_about_the_number_again_yet_says_why(site: Site) -> None:
    number = "447400123423"  # a reply that is lost, and may have been charged
    with site.serve():
        first, second = explained(site, number), explained(site, number)
        text = site.cli("explain", number).stdout

    assert [gate["refused"] for gate in (*first["gates"], *second["gates"])] == [None, "lost_reply"]
    assert results(second)["gates"] == "npl ok (not for this number: lost_reply)"
    assert re.search(r"^  npl +ok .+, not for this number: lost_reply,", text, re.MULTILINE)


def test_numbers_that_nobody_is_asked_about_say_so(site: Site, tmp_path: Path) -> None:
    with site.serve():
        premium, emergency = explained(site, "09098790000"), explained(site, "112")
    folder = tmp_path / "without"
    folder.mkdir()
    without = make_site(folder).json("explain", NUMBER)

    assert results(premium)["cache"] == "not read: nothing is looked for"
    assert results(premium)["gates"] == "not paid for, and no source is free"
    assert list(results(emergency)) == ["emergency"]
    assert results(without)["gates"] == "none: the numbering plan alone"
    assert [premium["gates"], emergency["gates"], without["gates"], premium["cached"]] == [[], [], [], []]


def test_the_text_has_every_part(site: Site) -> None:
    """Steps, what was cached, gates, sources, rules; the routes' part has its test with the routes."""
    done = site.cli("explain", NUMBER)
    assert site.cli("explain", NUMBER).returncode == done.returncode == 0
    again = site.cli("explain", NUMBER).stdout

    def has(pattern: str, text: str = done.stdout) -> bool:
        return re.search(f"^{pattern}$", text, re.MULTILINE) is not None

    ms = r" +[0-9]+\.[0-9]{3} ms  "
    assert re.findall(rf"^(\w+){ms}", done.stdout, re.MULTILINE) == STEPS
    assert has(rf"emergency{ms}no")
    assert has(rf"number{ms}\+{NUMBER} GB mobile, valid: yes")
    assert has(rf"cache{ms}identity miss, liveness miss")
    assert has(rf"gates{ms}npl ok")
    assert has(rf"lookup{ms}OK, cache: miss")
    assert has(rf"routes{ms}0 of 0 candidates")
    assert has(rf"rules{ms}allow")
    assert has(r"  identity +miss")
    assert has(r"  npl +ok +0 of 3 connections in use, 0 waiting, 500 of 500 credits left in 86400 s \(provider\), .+")
    assert has(rf"  npl{ms}answer, 1\.00 credits")
    assert has(r"  dead_number +block +matches: no")
    assert has(r"status +OK")
    assert has(r"  identity +fresh +positive, [0-9]+ s old, by npl, not in memory", again)


def test_the_text_shows_what_became_of_each_route(site: Site, tmp_path: Path) -> None:
    deck = tmp_path / "acme.csv"
    deck.write_text("prefix,rate\n447,0.01\n")
    site.data["routing"] = {
        "currency": "EUR",
        "trunks": {name: {"vendor": name, "dial": "PJSIP/{number}@x"} for name in ("acme", "bell")},
    }
    site.write()
    for command in (("import", "--vendor", "acme", "--currency", "EUR", str(deck)), ("activate", "acme")):
        assert site.cli("rates", *command).returncode == 0
    text = site.cli("explain", NUMBER).stdout

    assert re.search(r"^  acme +acme +chosen +prefix 447 at 0\.010000$", text, re.MULTILINE)
    assert re.search(r"^  bell +bell +no_rate$", text, re.MULTILINE)
