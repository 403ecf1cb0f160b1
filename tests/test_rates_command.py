"""`agi-lookup rates`: from a vendor's file to the book that calls are routed by, and nothing goes live by mistake."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from agi_lookup.routing.book import open_book
from agi_lookup.routing.rates import Destination
from agi_lookup.routing.store import Store
from tests.in_process import Command, runner
from tests.processes import CLI, Site, make_site
from tests.routing.files import Number, xlsx

DECKS = Path(__file__).parent / "corpora" / "decks"
GOOD = (DECKS / "good.csv").read_text()
NOW = 1_800_000_000.0


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = make_site(tmp_path)
    site.write()
    return site


@pytest.fixture
def rates(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return runner("rates", site, monkeypatch, capsys)


def write(site: Site, content: str | bytes = GOOD, name: str = "deck.csv") -> str:
    path = site.folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def store(site: Site) -> Store:
    return Store(Path(site.data["state_dir"]) / "decks")


def price(site: Site, number: str = "447400123456", vendor: str = "acme") -> int | None:
    """Nano-units a minute, by the live book."""
    book = store(site).live_book()
    assert book is not None
    return next(
        (m.tariff.rate for m in open_book(book).find(Destination(number), NOW) if m.vendor == vendor and m.tariff),
        None,
    )


def test_calls_go_first(site: Site, rates: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[int, ...]] = []
    monkeypatch.setattr(os, "setpriority", lambda *what: said.append(what))
    rates("import", write(site), "--vendor", "acme")

    assert said == [(os.PRIO_PROCESS, 0, 10)]


def test_a_deck_is_imported_compared_and_made_live(site: Site, rates: Command) -> None:
    imported = rates("import", write(site), "--vendor", "acme", "--json").json
    assert (imported["rows"], imported["currencies"], imported["errors"]["count"]) == (4, ["USD"], 0)
    assert imported["columns"]["prefix"] == "Code"
    assert "prefix" in imported["guessed"]
    assert store(site).live_book() is None

    compared = rates("diff", "acme", "--json").json
    assert (compared["new"], compared["live"], compared["version"]) == (4, None, imported["version"])
    activated = rates("activate", "acme", "--json").json
    assert activated == {
        "vendor": "acme",
        "version": imported["version"],
        "before": None,
        "book": {"vendors": 1, "rates": 4},
    }
    assert price(site) == 12_500_000


def test_a_new_deck_is_compared_with_the_live_one_and_can_be_taken_back(site: Site, rates: Command) -> None:
    rates("import", write(site), "--vendor", "acme")
    rates("activate", "acme")
    file = write(site, GOOD.replace("0.0125", "0.0250").replace("4477,", "4478,"))
    rates("import", file, "--vendor", "acme")

    shown = rates("diff", "acme", "--json").json
    assert {word: shown[word] for word in ("new", "gone", "up", "down", "unchanged")} == {
        "new": 1, "gone": 1, "up": 1, "down": 0, "unchanged": 2,
    }  # fmt: skip
    assert shown["biggest"] == [
        {"kind": "prefix", "key": "447", "old": "0.0125", "new": "0.025", "currency": "USD", "percent": 100.0}
    ]
    text = rates("diff", "acme").stdout
    assert "1 new, 1 gone, 1 up" in text
    assert "prefix 447" in text
    assert "0.0125 -> 0.025 USD  +100.0 %" in text

    rates("activate", "acme")
    assert price(site) == 25_000_000
    assert rates("rollback", "acme").returncode == 0
    assert price(site) == 12_500_000
    again = rates("rollback", "acme")
    assert (again.returncode, again.stdout) == (1, "")
    assert "no version was live before" in again.stderr


def test_what_is_live_already_is_said_and_done_again(site: Site, rates: Command) -> None:
    rates("import", write(site), "--vendor", "acme")
    rates("activate", "acme")

    again = rates("activate", "acme")

    assert (again.returncode, "is live already; 4 rates of 1 vendor" in again.stdout) == (0, True)


@pytest.mark.parametrize("currency", ["EURO", "eur", "XYZ"])
def test_a_wrong_currency_says_what_to_write(site: Site, rates: Command, currency: str) -> None:
    done = rates("import", write(site), "--vendor", "acme", "--currency", currency)

    assert done.returncode == 2
    assert f"currency='{currency}' for all lines: unknown; write an ISO 4217 code, in capitals" in done.stderr
    site.data["routing"] = {"currency": currency}
    site.write()
    assert "routing.currency: unknown; write an ISO 4217 code, in capitals" in rates("show").stderr


def test_what_moves_too_far_is_said_at_once(site: Site, rates: Command) -> None:
    rates("import", write(site), "--vendor", "acme")
    rates("activate", "acme")

    done = rates(
        "import",
        write(site, GOOD.replace("0.0125", "0.0250").replace("881,Satellite,,,,,,,yes\n", "")),
        "--vendor",
        "acme",
    )

    assert done.returncode == 0
    assert "1 rate moves by more than 50 %" in done.stderr
    assert "1 of 4 destinations of the live deck are gone" in done.stderr
    quiet = rates("import", write(site), "--vendor", "acme", "--max-jump", "200", "--max-shrink", "50")
    assert "warning" not in quiet.stderr


def test_versions_are_shown_with_what_is_live(site: Site, rates: Command) -> None:
    assert rates("show").returncode == 1
    first = rates("import", write(site), "--vendor", "acme", "--json").json["version"]
    rates("activate", "acme")
    rates("import", write(site, GOOD + "33,France,0.01,0,1/1,USD,2027-06-01,,\n"), "--vendor", "zeta")

    shown = rates("show", "--json").json
    assert shown["book"].endswith(".book")
    acme, zeta = shown["vendors"]
    assert (acme["vendor"], acme["versions"][0]["version"], acme["versions"][0]["live"]) == ("acme", first, True)
    assert (zeta["versions"][0]["live"], zeta["versions"][0]["rows"]) == (False, 5)
    assert zeta["versions"][0]["starts"] == [None, "2026-01-01T00:00:00+00:00", "2027-06-01T00:00:00+00:00"]
    text = rates("show", "zeta").stdout
    assert "5 rates in USD, last change 2027-06-01" in text
    assert rates("show", "nobody").returncode == 1


def test_a_damaged_version_does_not_hide_the_others(site: Site, rates: Command) -> None:
    version = rates("import", write(site), "--vendor", "acme", "--json").json["version"]
    (Path(site.data["state_dir"]) / "decks" / "acme" / f"{version}.deck").write_bytes(b"x")

    assert "damaged" in rates("show").stdout


def test_a_damaged_live_deck_is_no_reason_to_refuse_a_new_one(site: Site, rates: Command) -> None:
    version = rates("import", write(site), "--vendor", "acme", "--json").json["version"]
    rates("activate", "acme")
    (Path(site.data["state_dir"]) / "decks" / "acme" / f"{version}.deck").write_bytes(b"x")

    done = rates("import", write(site, GOOD.replace("0.0125", "0.0250")), "--vendor", "acme")

    assert (done.returncode, "not compared with the live deck" in done.stderr) == (0, True)
    assert rates("activate", "acme").returncode == 0
    assert price(site) == 25_000_000


def test_how_a_vendor_writes_is_said_once_and_saved(site: Site, rates: Command) -> None:
    content = "Destino;Codigo;Precio;Inicio\nUK;44;0,0125;01/02/2026\n"
    options = (
        "--map", "prefix=Codigo", "--map", "rate=Precio", "--map", "from=Inicio", "--currency", "EUR", "--decimal", ",",
        "--date-format", "%d/%m/%Y", "--zone", "Europe/Madrid", "--set", "increments=60/1",
    )  # fmt: skip

    assert rates("import", write(site, content), "--vendor", "acme", "--save", *options).returncode == 0
    again = rates("import", write(site, content), "--vendor", "acme", "--set", "increments=1/1", "--json").json

    assert (again["rows"], again["currencies"], again["guessed"]) == (1, ["EUR"], [])
    assert "dates in Europe/Madrid, a day in `to` included" in again["notes"]
    other = rates("import", write(site, content), "--vendor", "other")
    assert (other.returncode, "--map" in other.stderr) == (2, True)


def test_what_is_said_now_wins_over_what_was_saved(site: Site, rates: Command) -> None:
    rates("import", write(site, "Code,Rate\n44,0.01\n"), "--vendor", "acme", "--currency", "EUR", "--save")

    done = rates(
        "import", write(site, "Code,Rate,Cur\n44,0.01,GBP\n"), "--vendor", "acme", "--map", "currency=Cur", "--json"
    )

    assert done.json["currencies"] == ["GBP"]


def test_a_spreadsheet_is_a_deck_too(site: Site, rates: Command) -> None:
    file = write(site, xlsx([("Code", "Rate"), ("447", Number("0.0125"))]), "deck.xlsx")
    assert rates("import", file, "--vendor", "acme", "--currency", "USD").returncode == 0
    rates("activate", "acme")

    assert price(site) == 12_500_000


@pytest.mark.parametrize(
    "content", [GOOD.encode(), xlsx([("Code", "Rate", "Currency"), ("44", Number("0.01"), "USD")])]
)
def test_a_deck_may_come_through_a_pipe(site: Site, content: bytes) -> None:
    done = subprocess.run(
        [*CLI, "--config", str(site.config), "rates", "import", "-", "--vendor", "acme", "--json"],
        input=content, capture_output=True, check=False,
    )  # fmt: skip

    assert (done.returncode, json.loads(done.stdout)["errors"]["count"]) == (0, 0), done.stderr


def test_a_check_says_all_and_keeps_nothing(site: Site, rates: Command) -> None:
    good = rates("check", write(site), "--vendor", "acme", "--json")
    bad = rates("check", write(site, GOOD.replace("0.0125", "-1")), "--vendor", "acme", "--json")

    assert (good.returncode, bad.returncode) == (0, 1)
    assert bad.json["errors"]["first"] == [{"line": 3, "what": "'Rate' '-1': below zero; amounts are 0 or more"}]
    assert store(site).ids("acme") == []
    assert not list((Path(site.data["state_dir"]) / "decks").iterdir())


def test_a_flood_of_bad_lines_is_cut_short(site: Site, rates: Command) -> None:
    done = rates("import", write(site, "Code,Rate,Currency\n" + "x,0.01,USD\n" * 1000), "--vendor", "acme")

    assert done.returncode == 2
    assert "... and 980 more errors" in done.stderr
    assert "1000 errors; nothing is imported" in done.stderr
    assert len(done.stderr.splitlines()) < 30


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["--map", "rate"], "--map"),
        (["--set", "prise=1"], "prise"),
        (["--delimiter", "::"], "delimiter"),
        (["--encoding", "klingon"], "encoding"),
        (["--zone", "Mars"], "zone"),
        (["--date-format", "%d"], "date_format"),
        (["--decimal", "x"], "decimal"),
        (["--last-day", "perhaps"], "last_day"),
        (["--vendor", "../acme"], "vendor"),
        (["--map", "rate=Prise"], "Prise"),
    ],
)
def test_wrong_options_are_one_clear_line(site: Site, rates: Command, wrong: list[str], named: str) -> None:
    done = rates("import", write(site), "--vendor", "acme", *wrong)

    assert done.returncode == 2
    assert named in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert store(site).vendors() == []


@pytest.mark.parametrize(
    "command", [["diff", "acme"], ["activate", "acme"], ["activate", "acme", "x"], ["diff", "acme", "--at", "noon"]]
)
def test_what_was_never_imported_is_said_to_be_so(rates: Command, command: list[str]) -> None:
    done = rates(*command)

    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_rates_of_another_day_can_be_compared(site: Site, rates: Command) -> None:
    rates("import", write(site), "--vendor", "acme")
    rates("activate", "acme")
    announced = GOOD + "447,UK - Mobile,0.0250,0.001,60/60,USD,2040-01-01,,no\n"
    rates("import", write(site, announced), "--vendor", "acme")

    assert rates("diff", "acme", "--json").json["up"] == 1
    assert rates("diff", "acme", "--at", "2029-01-01", "--json").json["up"] == 0
    assert rates("diff", "acme", "--at", "2040-01-01", "--json").json["up"] == 1
