"""The README's worked example: three vendors, one small deck each, and what makes another of them win."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from agi_lookup.domain.model import Identity, Tri
from agi_lookup.routing.lcr import Router
from agi_lookup.routing.memory import Memory
from agi_lookup.routing.rates import Kind, Rate, Tariff
from tests.routing.decks import book
from tests.routing.routes import NOW, costs, query, routing, served_by, tariff

DECKS = {
    "alpha": [
        Rate(Kind.PREFIX, "44", tariff("0.010")),
        Rate(Kind.PREFIX, "447", tariff("0.030")),
        Rate(Kind.MCCMNC, "23415", tariff("0.020")),
        Rate(Kind.PREFIX, "33", tariff("0.012")),
        Rate(Kind.PREFIX, "49", tariff("0.011")),
    ],
    "bravo": [
        Rate(Kind.PREFIX, "44", tariff("0.012")),
        Rate(Kind.PREFIX, "447", tariff("0.028")),
        Rate(Kind.PREFIX, "49", tariff("0.006", connect="0.010")),
    ],
    "carol": [
        Rate(Kind.PREFIX, "44", tariff("0.013")),
        Rate(Kind.PREFIX, "447", tariff("0.035")),
        Rate(Kind.GROUP, "uk-small", tariff("0.024")),
        Rate(Kind.PREFIX, "33", tariff("0.010", first_s=60, next_s=60)),
    ],
}
OPTIONS = routing(
    {"ALPHA": {}, "BRAVO": {}, "CAROL": {}}, groups={"uk-small": {"mccmnc": ["23433"], "carriers": ["Three"]}}
)
SHORT_S, LONG_S = 20, 600

EXAMPLE = {
    "a fixed line in London": ("+442079460123", None, SHORT_S, "ALPHA", "0.010000", "prefix 44 cheapest"),
    "longest prefix: a mobile": ("+447400123456", None, SHORT_S, "BRAVO", "0.028000", "prefix 447 cheapest"),
    "MCCMNC: it was ported": (
        "+447400123456", served_by("23415"), SHORT_S, "ALPHA", "0.020000", "mccmnc 23415 cheapest",
    ),
    "carrier group, by code": (
        "+447400123456", served_by("23433"), SHORT_S, "CAROL", "0.024000", "group uk-small cheapest",
    ),
    "carrier group, by name": (
        "+447400123456", Identity(carrier="Three", ported=Tri.YES), SHORT_S, "CAROL", "0.024000", "group uk-small cheapest",
    ),
    "connect fee: short calls": ("+4930901820", None, SHORT_S, "ALPHA", "0.011000", "prefix 49 cheapest"),
    "connect fee: long calls": ("+4930901820", None, LONG_S, "BRAVO", "0.007000", "prefix 49 cheapest"),
    "increments: short calls": ("+33123456789", None, SHORT_S, "ALPHA", "0.012000", "prefix 33 cheapest"),
    "increments: long calls": ("+33123456789", None, LONG_S, "CAROL", "0.010000", "prefix 33 cheapest"),
}  # fmt: skip


@pytest.mark.parametrize(("number", "identity", "length_s", "trunk", "rate", "why"), EXAMPLE.values(), ids=EXAMPLE)
def test_the_winner_changes_with(
    tmp_path: Path, number: str, identity: Identity | None, length_s: int, trunk: str, rate: str, why: str
) -> None:
    ranks = Router(OPTIONS, book(tmp_path, DECKS), costs(length_s), Memory(OPTIONS))

    best = ranks.rank(query(number, identity=identity), NOW).routes[0]

    assert (best.trunk, str(best.rate), best.why) == (trunk, rate, why)


README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
KINDS = {"MCCMNC": Kind.MCCMNC, "group": Kind.GROUP}
PRICE = re.compile(r"(?P<rate>\.\d+)(?:, and (?P<connect>\.\d+) a call)?(?: at (?P<first_s>\d+)/(?P<next_s>\d+))?")
CALL = re.compile(
    r"(?:the same|(?P<number>\+[\d ]+))(?:, ported to \w+ \((?P<mccmnc>\d+)\))?(?:, calls of (?P<length_s>\d+) s)?"
)


class Written(NamedTuple):
    """A row of the README's calls. Where it tells no length, each leads to the same."""

    number: str
    mccmnc: str | None
    lengths_s: tuple[int, ...]
    vendor: str
    cost: Decimal


def table(head: str) -> Iterator[list[str]]:
    """The cells of each row of the README's table whose header begins so, the header's first."""
    lines = README[README.index(f"\n| {head} |") :].lstrip().partition("\n\n")[0].splitlines()
    for line in (lines[0], *lines[2:]):
        yield [cell.strip() for cell in line.strip("|").split("|")]


def matched(pattern: re.Pattern[str], text: str) -> dict[str, Any]:
    found = pattern.fullmatch(text)
    assert found, f"the README says {text!r}"
    return {name: value for name, value in found.groupdict().items() if value is not None}


def written_tariff(text: str) -> Tariff:
    said = matched(PRICE, text)
    return tariff(**said | {name: int(value) for name, value in said.items() if name.endswith("_s")})


def written_decks() -> dict[str, list[Rate]]:
    (_, *columns), *rows = table("deck")
    decks: dict[str, list[Rate]] = {}
    for vendor, *cells in rows:
        for column, cell in zip(columns, cells, strict=True):
            head, _, price = cell.rpartition(": ")
            word, _, name = head.partition(" ")
            kind, key = (KINDS[word], name) if head else (Kind.PREFIX, column)
            if cell:
                decks.setdefault(vendor, []).append(Rate(kind, key, written_tariff(price)))
    return decks


def written_calls() -> Iterator[Written]:
    number = ""
    for text, vendor, cost, _ in list(table("call"))[1:]:
        said = matched(CALL, text)
        number = said.get("number", number).replace(" ", "")
        lengths_s = (int(said["length_s"]),) if "length_s" in said else (SHORT_S, LONG_S)
        yield Written(number, said.get("mccmnc"), lengths_s, vendor, Decimal(cost))


def test_the_readme_tells_of_these_decks_and_of_every_call() -> None:
    written = written_decks()

    assert {vendor: set(rates) for vendor, rates in written.items()} == {
        vendor: set(rates) for vendor, rates in DECKS.items()
    }
    assert len(list(written_calls())) == 8


def test_what_the_readme_says_is_what_is_ranked(tmp_path: Path) -> None:
    groups = re.search(r"`(groups: \{.+\})`", README)
    assert groups
    decks = written_decks()
    options = routing({vendor.upper(): {} for vendor in decks}, **yaml.safe_load(groups[1]))
    rates = book(tmp_path, decks)

    for call in written_calls():
        identity = served_by(call.mccmnc) if call.mccmnc else None
        for length_s in call.lengths_s:
            ranks = Router(options, rates, costs(length_s), Memory(options))
            best = ranks.rank(query(call.number, identity=identity), NOW).routes[0]
            assert (best.trunk, best.rate) == (call.vendor.upper(), call.cost), call
