"""Which column means what: told, else guessed and said so, never guessed between two."""

from __future__ import annotations

from typing import Any

import pytest

from agi_lookup.domain.errors import ConfigError
from agi_lookup.routing.columns import Format, Layout, as_format, find_header


def header(*names: str, **form: Any) -> Layout:
    return find_header([(1, names)], Format(**form))


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("Destination", "Dial Code", "Rate (USD/min)", "Effective Date"), {"prefix": 1, "rate": 2, "from": 3}),
        (
            ("PREFIX", "price", "Connect_Fee", "Billing Increment"),
            {"prefix": 0, "rate": 1, "connect": 2, "increments": 3},
        ),
        (
            ("Code", "Rate", "Interval 1", "Interval N", "Expiry"),
            {"prefix": 0, "rate": 1, "first": 2, "next": 3, "to": 4},
        ),
        (("MCC-MNC", "Rate/min", "Currency", "Blocked"), {"mccmnc": 0, "rate": 1, "currency": 2, "blocked": 3}),
        (("NPANXX", "Rate Per Minute"), {"lrn": 0, "rate": 1}),
        (("OCN", "Price"), {"ocn": 0, "rate": 1}),
    ],
)
def test_common_headers_are_recognised_and_shown_as_guesses(names: tuple[str, ...], found: dict[str, int]) -> None:
    layout = header(*names)

    assert layout.at == found
    assert layout.guessed == found.keys()


def test_what_is_named_counts_before_what_is_guessed() -> None:
    layout = header("Code", "Rate", "Price", "Rate", "New", columns={"rate": "New"})

    assert (layout.at["rate"], layout.guessed) == (4, frozenset({"prefix"}))


def test_a_column_that_is_named_for_one_thing_is_not_guessed_for_another() -> None:
    assert header("Code", "Rate", "Price", columns={"connect": "Rate"}).at == {"prefix": 0, "connect": 1, "rate": 2}


def test_a_named_key_stops_the_guessing_of_keys() -> None:
    assert header("Code", "PLMN", "Rate", columns={"mccmnc": "PLMN"}).at == {"mccmnc": 1, "rate": 2}


def test_a_column_can_be_declared_absent() -> None:
    assert "to" not in header("Code", "Rate", "End", columns={"to": "-"}).at


def test_a_country_code_is_never_guessed() -> None:
    """Many decks have it beside whole prefixes: glued together, calls would be charged for another country."""
    assert header("Country Code", "Code", "Rate").at == {"prefix": 1, "rate": 2}
    assert header("CC", "Code", "Rate", columns={"country_code": "CC"}).at == {
        "country_code": 0,
        "prefix": 1,
        "rate": 2,
    }


def test_two_columns_that_may_be_meant_are_asked_about() -> None:
    with pytest.raises(ConfigError, match="rate may be 'Rate' and 'Price'; say which one with --map rate=NAME"):
        header("Code", "Rate", "Price")


def test_a_name_that_is_there_twice_cannot_be_meant() -> None:
    for columns in ({}, {"rate": "Rate"}):
        with pytest.raises(ConfigError, match="'Rate' stands twice"):
            header("Code", "Rate", "Rate", columns=columns)


def test_a_header_may_stand_below_a_title() -> None:
    rows = [(1, ["Acme Telecom", "", ""]), (2, []), (3, ["Valid from 1 Jan", "", ""]), (4, ["Code", "Rate", ""])]

    assert find_header(rows, Format()).line == 4


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("Where", "How much"), "line 1: which column is the key.*'Where, How much'"),
        (("Code", "Cost of it"), "line 1: which column is the key"),
        (("44", "0.01"), "which column"),
        (("", ""), "empty"),
        (("Code", "Rate", "First"), "increments"),
        (("Code", "Rate", "Increments", "First", "Next"), "increments"),
    ],
)
def test_a_header_that_does_not_say_enough_is_quoted(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        header(*names)


def test_a_named_column_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="no column 'Prise'"):
        header("Code", "Rate", columns={"rate": "Prise"})


@pytest.mark.parametrize(
    ("said", "about"),
    [
        ({"zone": "Mars/Olympus"}, "zone: no such zone"),
        ({"zone": "../etc/passwd"}, "zone: no such zone"),
        ({"zone": ""}, "zone"),
        ({"date_format": "%d/%m"}, "date_format: it must hold"),
        ({"date_format": "%H:%M"}, "date_format: it must hold"),
        ({"date_format": "%"}, "date_format"),
        ({"encoding": "klingon"}, "encoding: no encoding"),
        ({"encoding": "rot13"}, "encoding: no encoding"),
        ({"decimal": ";"}, "decimal"),
        ({"delimiter": "::"}, "delimiter"),
        ({"last_day": "maybe"}, "last_day"),
        ({"columns": {"prise": "Price"}}, "no such column: prise"),
        ({"columns": {"rate": "Price"}, "fixed": {"rate": "1"}}, "rate: it has either"),
        ({"fixed": {"prefix": "44"}}, "prefix: each line has its own"),
        ({"fixed": {"increments": ["60/60"]}}, "fixed.increments"),
        ({"column": {}}, "column: Extra"),
        (["zone"], "valid dictionary"),
        (None, "valid dictionary"),
    ],
)
def test_a_format_that_makes_no_sense_is_one_clear_line(said: object, about: str) -> None:
    with pytest.raises(ConfigError, match=about) as refused:
        as_format(said, "")
    assert "\n" not in str(refused.value)


def test_a_format_comes_back_as_it_was_saved() -> None:
    form = Format(
        columns={"rate": "Price"},
        fixed={"currency": "EUR"},
        delimiter="\t",
        zone="Europe/Paris",
        date_format="%d.%m.%Y",
    )

    assert as_format(form.model_dump(exclude_defaults=True), "") == form
