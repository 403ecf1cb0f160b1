"""Cells of decks: read exactly, or refused with what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.routing import cells
from agi_lookup.routing.cells import MalformedError, Moments
from agi_lookup.routing.rates import ALWAYS, FOR_EVER, NANO


def moments(zone: str = "UTC", date_format: str | None = None, *, last_day: bool = True) -> Moments:
    return Moments(zone, date_format, last_day=last_day)


def unix(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]


# Amounts


@given(st.decimals(min_value=0, max_value=Decimal("9999999.999999999"), places=9), st.sampled_from(".,"))
def test_amounts_are_exact_to_the_nano_unit(amount: Decimal, mark: str) -> None:
    written = f"{amount:f}".replace(".", mark)

    assert cells.amount(written, "rate", mark) == int(amount * NANO)


@pytest.mark.parametrize(
    ("written", "nano"), [("0", 0), (".5", 5 * 10**8), ("1.", NANO), ("007", 7 * NANO), ("0.01000000000000", 10**7)]
)
def test_amounts_come_in_odd_forms(written: str, nano: int) -> None:
    assert cells.amount(written, "rate") == nano


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "empty"),
        (".", "not an amount"),
        ("-0.01", "below zero"),
        ("(0.01)", "below zero"),
        ("0,01", "--decimal"),
        ("1,000.50", "--decimal"),
        ("1e-2", "not an amount"),
        ("NaN", "not an amount"),
        ("inf", "not an amount"),
        ("0x10", "not an amount"),
        ("$0.01", "not an amount"),
        ("0.01 USD", "not an amount"),
        ("0 01", "not an amount"),
        ("٠.٠١", "not an amount"),
        ("1_000", "not an amount"),
        ("0.0000000001", "decimals"),
        ("10000000", "right column"),
        ("9" * 5000, "not an amount"),
    ],
)
def test_what_is_no_amount_says_why(written: str, said: str) -> None:
    with pytest.raises(MalformedError, match=said):
        cells.amount(written, "rate")


def test_a_decimal_comma_is_read_only_when_told() -> None:
    assert cells.amount("0,0125", "rate", ",") == 12_500_000
    with pytest.raises(MalformedError, match="a point"):
        cells.amount("0.0125", "rate", ",")


# Increments


@pytest.mark.parametrize("written", ["30/6", "30 / 6", "30-6", "30+6", "30:6"])
def test_increments_are_first_and_next(written: str) -> None:
    assert cells.increments(written) == (30, 6)


@pytest.mark.parametrize(
    "written", ["", "60", "1/1/1", "2026-01-01", "0/1", "60/0", "60/3601", "a/b", "-1/1", "1.5/1", "46023"]
)
def test_increments_that_could_mean_anything_are_refused(written: str) -> None:
    with pytest.raises(MalformedError):
        cells.increments(written)


# Keys


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("44", ["44"]),
        ("+44", ["44"]),
        ("0044", ["44"]),
        (" 447 ", ["447"]),
        ("44;4477-4479", ["44", "4477", "4478", "4479"]),
        ("44, 45|46\n47;", ["44", "45", "46", "47"]),
        ("+4477 - +4478", ["4477", "4478"]),
        ("4470-4489", ["447", "448"]),
    ],
)
def test_prefixes_are_lists_and_ranges_too(written: str, found: list[str]) -> None:
    assert cells.prefixes(written) == found


@pytest.mark.parametrize(
    ("code", "written", "found"),
    [
        ("44", "7477;7479", ["447477", "447479"]),
        ("39", "06", ["3906"]),
        ("+44", "", ["44"]),
        ("1", "204-206", ["1204", "1205", "1206"]),
        ("39", "00-01", ["3900", "3901"]),
    ],
)
def test_a_prefix_behind_its_country_code_keeps_its_zeros(code: str, written: str, found: list[str]) -> None:
    assert cells.prefixes(written, code) == found


@pytest.mark.parametrize(
    "written",
    [
        "",
        ";",
        "044",
        "44x",
        "44 77",
        "4.4E+11",
        "447.0",
        "４４",
        "4479-4477",
        "4477-44790",
        "4477-9",
        "44-45-46",
        "-44",
        "1" * 16,
        "++44",
        "00",
        "000044",
    ],
)
def test_what_is_no_prefix_is_refused(written: str) -> None:
    with pytest.raises(MalformedError):
        cells.prefixes(written)


@given(st.integers(1, 5), st.data())
def test_a_range_is_covered_whole_and_by_nothing_else(digits: int, data: st.DataObject) -> None:
    low, high = sorted(data.draw(st.text("0123456789", min_size=digits, max_size=digits)) for _ in range(2))

    found = list(cells.cover(low, high))

    numbers = ("".join(number) for number in product("0123456789", repeat=digits))
    assert [n for n in numbers if n.startswith(tuple(found))] == [
        n for n in ("".join(number) for number in product("0123456789", repeat=digits)) if low <= n <= high
    ]
    assert len(found) <= 18 * digits
    assert not any(a != b and a.startswith(b) for a in found for b in found)


@pytest.mark.parametrize(
    ("written", "found"), [("23415", "23415"), ("234-15", "23415"), ("234 015", "234015"), ("001/01", "00101")]
)
def test_networks_keep_their_zeros(written: str, found: str) -> None:
    assert cells.mccmnc(written) == found


@pytest.mark.parametrize("written", ["", "234", "2341", "2341500", "23415x", "GB-15"])
def test_what_is_no_network_is_refused(written: str) -> None:
    with pytest.raises(MalformedError):
        cells.mccmnc(written)


def test_routing_numbers_get_the_one_that_decks_leave_out() -> None:
    assert (cells.lrn("212555"), cells.lrn("1212555"), cells.lrn("+12125550000")) == (
        "1212555",
        "1212555",
        "12125550000",
    )
    for wrong in ("", "112", "0212", "212-555", "12", "121255500000"):
        with pytest.raises(MalformedError):
            cells.lrn(wrong)


def test_an_ocn_that_lost_its_zero_is_noticed() -> None:
    assert (cells.ocn("0123"), cells.ocn("7a21")) == ("0123", "7A21")
    with pytest.raises(MalformedError):
        cells.ocn("123")


def test_currencies_are_those_of_iso_4217() -> None:
    assert cells.currency("EUR") == "EUR"
    for wrong in ("", "EURO", "XYZ", "$", "XXX"):
        with pytest.raises(MalformedError):
            cells.currency(wrong)


@pytest.mark.parametrize(("written", "meant"), [("yes", True), ("TRUE", True), ("1", True), ("n", False), ("", False)])
def test_yes_and_no(written: str, meant: bool) -> None:
    assert cells.yes_no(written, "blocked") is meant


def test_neither_yes_nor_no_is_not_taken_for_no() -> None:
    with pytest.raises(MalformedError):
        cells.yes_no("blocked", "blocked")


# Dates


@pytest.mark.parametrize(
    "written",
    [
        "2026-02-01",
        "20260201",
        "2026/02/01",
        "01-Feb-2026",
        "1 Feb 2026",
        "01 February 2026",
        "2026-02-01T00:00:00Z",
        "2026-02-01 00:00",
        "2026-02-01T02:00+02:00",
    ],
)
def test_dates_that_can_mean_one_thing_only(written: str) -> None:
    assert moments().start(written) == unix(2026, 2, 1)


@pytest.mark.parametrize(
    "written", ["01/02/2026", "31/01/2026", "1.2.2026", "02-01-26", "46054", "tomorrow", "2026-02-30", "2026", "9" * 99]
)
def test_dates_that_could_mean_two_things_need_a_format(written: str) -> None:
    with pytest.raises(MalformedError):
        moments().start(written)


def test_a_format_is_taken_at_its_word() -> None:
    assert moments(date_format="%d/%m/%Y").start("01/02/2026") == unix(2026, 2, 1)
    assert moments(date_format="%m/%d/%Y").start("01/02/2026") == unix(2026, 1, 2)
    with pytest.raises(MalformedError, match="%d/%m/%Y"):
        moments(date_format="%d/%m/%Y").start("2026-02-01")


def test_dates_are_the_vendors_in_winter_and_in_summer() -> None:
    paris = moments("Europe/Paris")

    assert paris.start("2026-02-01") == unix(2026, 1, 31, 23)
    assert paris.start("2026-07-01") == unix(2026, 6, 30, 22)
    assert paris.end("2026-03-29") - paris.start("2026-03-29") == 23 * 3600, "the day that summer time starts on"


def test_a_time_that_comes_twice_is_the_first_and_one_that_is_skipped_is_the_change() -> None:
    paris = moments("Europe/Paris")

    assert paris.start("2026-10-25 02:30") == unix(2026, 10, 25, 0, 30)
    assert moments("Africa/Cairo").start("2026-04-24") == unix(2026, 4, 23, 22), "midnight is skipped there"


def test_nothing_is_for_ever() -> None:
    assert (moments().start(""), moments().end("")) == (ALWAYS, FOR_EVER)
    assert moments().end("9999-12-31") == FOR_EVER


def test_the_last_day_counts_unless_it_is_excluded() -> None:
    assert moments().end("2026-01-31") == unix(2026, 2, 1)
    assert moments().end("2026-01-31 23:59:59") == unix(2026, 2, 1)
    assert moments().end("2026-02-01 00:00:00") == unix(2026, 2, 1)
    assert moments(last_day=False).end("2026-02-01") == unix(2026, 2, 1)
    assert moments(last_day=False).end("2026-01-31 23:59:59") == unix(2026, 1, 31, 23, 59, 59)
    assert moments(date_format="%d/%m/%Y").end("31/01/2026") == unix(2026, 2, 1)


@pytest.mark.parametrize("written", ["0001-01-01", "9998-12-31"])
def test_the_ends_of_the_calendar_break_nothing(written: str) -> None:
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        try:
            moments(zone).start(written)
            moments(zone).end(written)
        except MalformedError:
            pass
