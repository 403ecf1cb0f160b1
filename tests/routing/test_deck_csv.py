"""CSV decks as vendors send them: odd, dirty and hostile ones."""

from __future__ import annotations

import csv
import io
import json
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from math import isinf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.domain.errors import ConfigError
from agi_lookup.routing import deck_csv, deck_rows
from agi_lookup.routing.rates import ALWAYS, FOR_EVER, NANO, Kind, Rate, Tariff
from tests.routing.files import read

DECKS = Path(__file__).parents[1] / "corpora" / "decks"
CENT = Tariff("USD", 10**7)


def test_a_row_becomes_a_rate_with_its_line() -> None:
    found = read(
        "Code,Rate,Connect,Increments,Currency,From,To\n447,0.0125,0.01,60/6,EUR,2026-01-01,2026-12-31\n+4477,0.02,,1/1,USD,,\n",
        fixed={},
    )

    assert found.rates == [
        Rate(Kind.PREFIX, "447", Tariff("EUR", 12_500_000, 10**7, 60, 6), 1767225600.0, 1798761600.0, 2),
        Rate(Kind.PREFIX, "4477", Tariff("USD", 20_000_000, 0, 1, 1), ALWAYS, FOR_EVER, 3),
    ]
    assert found.problems == []


@pytest.mark.parametrize(
    ("name", "value", "rate"),
    [
        ("MCCMNC", "234-15", (Kind.MCCMNC, "23415")),
        ("OCN", "7421", (Kind.OCN, "7421")),
        ("NPANXX", "212555", (Kind.LRN, "1212555")),
        ("Carrier group", "vodafone-uk", (Kind.GROUP, "vodafone-uk")),
    ],
)
def test_keys_are_more_than_prefixes(name: str, value: str, rate: tuple[Kind, str]) -> None:
    assert [r[:2] for r in read(f"{name},Rate\n{value},0.01\n").rates] == [rate]


def test_one_file_may_mix_keys_line_by_line_but_not_within_one() -> None:
    found = read("Code,MCCMNC,Rate\n44,,0.01\n,23415,0.02\n44,23415,0.03\n,,0.04\n")

    assert [(r.kind, r.key) for r in found.rates] == [(Kind.PREFIX, "44"), (Kind.MCCMNC, "23415")]
    assert [p.line for p in found.problems] == [4, 5]
    assert "prefix and mccmnc in one line" in found.problems[0].what


def test_a_list_of_prefixes_is_as_many_rates() -> None:
    found = read('Code,Rate\n"44;4477-4479",0.01\n')

    assert found.keys == ["44", "4477", "4478", "4479"]
    assert {rate.line for rate in found.rates} == {2}


def test_a_country_code_stands_before_each_prefix() -> None:
    found = read("CC,Area,Rate\n39,06;02,0.01\n,06,0.01\n", columns={"country_code": "CC", "prefix": "Area"})

    assert found.keys == ["3906", "3902"]
    assert "empty" in found.problems[0].what


def test_a_blocked_destination_needs_no_rate() -> None:
    found = read("Code,Rate,Blocked\n881,,yes\n882,n/a,1\n883,,\n44,0.01,no\n")

    assert [(r.key, r.tariff) for r in found.rates] == [("881", None), ("882", None), ("44", CENT)]
    assert [p.line for p in found.problems] == [4]


def test_a_list_of_what_is_blocked_needs_no_currency_either() -> None:
    assert read("Code\n881\n", fixed={"blocked": "yes"}).rates[0].tariff is None


def test_increments_may_stand_in_two_columns() -> None:
    assert read("Code,Rate,First,Next\n44,0.01,30,6\n").rates[0].tariff == Tariff("USD", 10**7, 0, 30, 6)
    half = read("Code,Rate,Next\n44,0.01,6\n", fixed={"currency": "USD", "first": "30"})
    assert half.rates[0].tariff == Tariff("USD", 10**7, 0, 30, 6)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_ends_of_lines_are_found_out(delimiter: str, end: str) -> None:
    lines = [["Code", "Where", "Rate"], ["44", "UK, all; mostly|\tof it", "0.01"], ["45", "x", "0.02"]]
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(lines)

    found = read(out.getvalue())

    assert (found.keys, found.problems) == (["44", "45"], [])
    assert f"delimiter {delimiter!r}" in found.table.notes


def test_a_header_that_is_not_understood_is_quoted_name_by_name() -> None:
    with pytest.raises(ConfigError, match="it says 'Wohin, Kosten'"):
        read("Wohin;Kosten\n44;0,01\n")


def test_decimal_commas_do_not_pass_for_delimiters() -> None:
    found = read("Code;Rate\n44;0,01\n45;0,02\n", decimal=",")

    assert [rate.tariff for rate in found.rates] == [CENT, Tariff("USD", 2 * 10**7)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings_with_a_mark_or_without_need(encoding: str) -> None:
    """Latin-1 in the name of a place is no reason to stop: it is not read."""
    found = read("Code,Pays,Rate\n225,Côte d'Ivoire,0.01\n".encode(encoding))

    assert (found.rates, found.problems) == ([Rate(Kind.PREFIX, "225", CENT, line=2)], [])


def test_an_encoding_is_named_for_the_header() -> None:
    raw = "Préfixe;Prix\n44;0.01\n".encode("latin-1")
    columns = {"prefix": "Préfixe", "rate": "Prix"}

    assert read(raw, columns=columns, encoding="latin-1").keys == ["44"]
    with pytest.raises(ConfigError, match="no column"):
        read(raw, columns=columns)


def test_utf_16_without_its_mark_is_recognised() -> None:
    with pytest.raises(ConfigError, match="--encoding utf-16-le"):
        read("Code,Rate\n44,0.01\n".encode("utf-16-le"))
    assert read("Code,Rate\n44,0.01\n".encode("utf-16-le"), encoding="utf-16-le").keys == ["44"]


def test_what_is_not_in_the_encoding_at_all_says_after_which_line() -> None:
    with pytest.raises(ConfigError, match=r"after line 0: not utf-16; .* --encoding"):
        read(b"\xff\xfeC\x00o\x00d", encoding="utf-16")


def test_blank_lines_are_nothing() -> None:
    assert read("Code,Rate\n\n44,0.01\n , \n,\n\n").problems == []


def test_a_problem_names_line_column_value_and_way_out() -> None:
    found = read("Code,Price\n44,0.01\n45,0x1\n46,0.01\n")

    assert found.keys == ["44", "46"]
    assert found.problems == [(3, "'Price' '0x1': not an amount; write digits alone, such as 0.0125")]


def test_lines_are_counted_as_editors_do() -> None:
    found = read('Title\n\nCode,Where,Rate\n44,"two\nlines",0.01\n4x,y,0.01\n')

    assert [rate.line for rate in found.rates] == [5]
    assert [problem.line for problem in found.problems] == [6]


@pytest.mark.parametrize("row", ["44", "44,0.01,more", '44,"0.01', '44,"0.01"x'])
def test_a_row_that_is_no_row_spoils_itself_alone(row: str) -> None:
    found = read(f"Code,Rate\n43,0.01\n{row}\n")

    assert found.keys == ["43"]
    assert [problem.line for problem in found.problems] == [3]


def test_values_are_shown_short_in_ascii_and_without_subscribers() -> None:
    """S13: a message may end up in a ticket; a column of numbers may be taken for prefixes."""
    found = read(f"Code,Rate\n447700900123456789,0.01\n44,\x1b[31m{'x' * 99}\n")

    assert [problem.line for problem in found.problems] == [2, 3]
    said = " ".join(problem.what for problem in found.problems)
    assert "447700900123" not in said
    assert "\x1b" not in said
    assert "x" * 41 not in said


def test_a_line_without_an_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deck_csv, "MAX_LINE", 1000)
    with pytest.raises(ConfigError, match="line 2: longer than 1000"):
        read("Code,Rate\n" + "4" * 5000)


def test_a_file_that_grows_under_way_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deck_rows, "MAX_RATES", 100)
    with pytest.raises(ConfigError, match="more than 100 rates"):
        read('Code,Rate\n"' + ";".join(str(n) for n in range(1000, 1200)) + '",0.01\n')
    with pytest.raises(ConfigError, match="more than 100 rates"):
        read("Code,Rate\n" + "44,0.01\n" * 200)


def test_more_terms_than_are_remembered_are_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deck_rows, "TERMS_REMEMBERED", 3)
    rows = [(str(1000 + n), f"0.0{n % 7 + 1}") for n in range(50)]

    found = read("Code,Rate\n" + "".join(f"{code},{rate}\n" for code, rate in rows))

    assert [(r.key, r.tariff.rate) for r in found.rates if r.tariff] == [
        (code, int(rate[-1]) * 10**7) for code, rate in rows
    ]


def test_without_a_currency_nothing_is_read() -> None:
    with pytest.raises(ConfigError, match="--currency"):
        read("Code,Rate\n44,0.01\n", fixed={})


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("currency", "EURO"),
        ("increments", "60"),
        ("rate", "-1"),
        ("from", "1/2/26"),
        ("country_code", "x"),
        ("country_code", "0"),
    ],
)
def test_what_holds_for_all_lines_is_checked_once(column: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{column}='?{value}"):
        read("Code,Rate\n44,0.01\n" if column != "rate" else "Code\n44\n", fixed={"currency": "USD", column: value})


@given(st.binary(max_size=300))
def test_no_bytes_at_all_break_it(content: bytes) -> None:
    """Rates, problems or one clear line; never another exception."""
    for raw in (content, b"Code,Rate,From\n" + content):
        with suppress(ConfigError):
            assert all(rate.key.isdigit() for rate in read(raw).rates)


SHAPES = json.loads((DECKS / "shapes.json").read_text())


@pytest.mark.parametrize("name", SHAPES)
def test_decks_as_vendors_write_them(name: str) -> None:
    """`shapes.json` says of each file what the operator has to say, and what must come of it."""
    shape = SHAPES[name]

    found = read((DECKS / name).read_bytes(), **{"fixed": {}, **shape["format"]})

    assert found.problems == []
    assert [plain(rate) for rate in found.rates] == shape["rates"]


def plain(rate: Rate) -> list[str | None]:
    """As `shapes.json` has it."""
    times = [None if isinf(at) else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}" for at in rate[3:5]]
    if rate.tariff is None:
        return [rate.kind.name.lower(), rate.key, None, None, None, None, *times]
    currency, *amounts, first_s, next_s = rate.tariff
    decimals = [f"{(Decimal(nano) / NANO).normalize():f}" for nano in amounts]
    return [rate.kind.name.lower(), rate.key, *decimals, f"{first_s}/{next_s}", currency, *times]
