"""One number, however it is dialled; and nothing but numbers."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from agi_lookup.domain.dial_plan import DialPlan
from agi_lookup.domain.errors import NumberError
from agi_lookup.domain.model import Number, NumberClass, NumberType, Tri
from agi_lookup.domain.number import normalise, preload
from agi_lookup.domain.reading import longest_as_written
from tests.domain import numbering
from tests.domain.numbering import PLANS, REGIONS

GB, US, DE = PLANS["GB"], PLANS["US"], PLANS["DE"]
OUTSIDE = {digit: {r: DialPlan(country=r, outside_line=(digit,)) for r in REGIONS} for digit in "09"}
ANY_PREFIX = {region: DialPlan(country=region, international=("00", "011")) for region in REGIONS}

RENUMBERED = frozenset({"GA"})
"""Gabon writes its old seven-digit mobiles with a zero, which is how its new eight-digit numbers begin: the new ones win."""


def refusal(dialled: str, plan: DialPlan) -> str:
    with pytest.raises(NumberError) as caught:
        normalise(dialled, plan)
    return caught.value.code


@pytest.mark.parametrize("row", numbering.corpus("dialled.csv"), ids=lambda row: f"{row['country']}-{row['about']}")
def test_gotchas(row: dict[str, str]) -> None:
    number = normalise(row["dialled"], PLANS[row["country"]])
    assert (number.e164, number.country or "", number.type) == (row["e164"], row["of"], row["type"])
    assert number.valid is Tri.YES


@pytest.mark.parametrize("row", numbering.corpus("refused.csv"), ids=lambda row: row["about"])
def test_what_is_no_number_is_refused_with_a_stable_word(row: dict[str, str]) -> None:
    """F11."""
    assert refusal(row["dialled"], PLANS[row["country"]]) == row["code"]


def forms(number: phonenumbers.PhoneNumber, region: str) -> Iterator[tuple[str, DialPlan]]:
    """The ways to dial one number, each with the plan in which it is dialled so."""
    full, written = numbering.e164(number), numbering.national(number)
    plan = PLANS[region]
    yield from ((full, plan), (full, GB), (numbering.spaced(number), plan), (numbering.spaced(number), US))
    yield from ((f"00{full[1:]}", GB), (f"011{full[1:]}", US), (f"011{full[1:]}", ANY_PREFIX[region]))
    yield (f"900{full[1:]}", OUTSIDE["9"]["GB"])
    yield (f"0 011 {full[1:]}", OUTSIDE["0"]["US"])
    if region not in RENUMBERED:
        yield from ((written, plan), (numbering.digits(written), plan))
        yield from ((digit + numbering.digits(written), OUTSIDE[digit][region]) for digit in "09")


@pytest.mark.parametrize("initial", sorted({region[0] for region in REGIONS}))
def test_every_form_of_a_number_is_the_same_number(initial: str) -> None:
    """All regions, all types, random valid numbers: national, international, behind an outside line, spaced."""
    rng = random.Random(initial)
    for region in (region for region in REGIONS if region[0] == initial):
        for number in (*numbering.examples(region), *numbering.variations(region, rng, tries=20)):
            one = normalise(numbering.e164(number), DE)
            assert one.e164 == numbering.e164(number)
            for dialled, plan in forms(number, region):
                assert normalise(dialled, plan) == one, (dialled, plan)


def test_e164_without_plus_is_understood_at_home_and_abroad() -> None:
    """Unless its country writes a national number with just these digits: then it is that one."""
    rng = random.Random(1)
    for region in REGIONS:
        for number in (*numbering.examples(region), *numbering.variations(region, rng, tries=10)):
            bare = numbering.e164(number)[1:]
            found = normalise(bare, PLANS[region])
            if found.e164 != "+" + bare:
                as_national = phonenumbers.parse(bare, region)
                assert found.e164 == numbering.e164(as_national)
                assert numbering.digits(numbering.national(as_national)) == bare


@given(st.sampled_from(REGIONS), st.sampled_from(REGIONS), st.text(alphabet="0123456789", min_size=4, max_size=15))
def test_normalising_is_idempotent_in_any_plan(region: str, other: str, digits: str) -> None:
    for dialled in (digits, f"+{PLANS[region].calling_code}{digits}"):
        try:
            number = normalise(dialled, PLANS[region])
        except NumberError:
            continue
        if number.e164:
            assert normalise(number.e164, PLANS[other]) == number


@given(st.text(max_size=80) | st.text(alphabet="0123456789+*# -.()", max_size=80), st.sampled_from([GB, US, DE]))
def test_only_number_errors_come_out(text: str, plan: DialPlan) -> None:
    """F10, F11: whatever comes in, out comes an E.164 number of ASCII digits, a number without one, or a `NumberError`."""
    try:
        e164 = normalise(text, plan).e164
    except NumberError:
        return
    assert e164 == "" or re.fullmatch(r"\+[1-9][0-9]{6,14}", e164)


@pytest.mark.parametrize("text", ["1" * 65_536, "+44" + "7" * 8192, " " * 65_536, "1 " * 40], ids=lambda t: str(len(t)))
def test_long_strings_are_refused(text: str) -> None:
    """F12."""
    assert refusal(text, GB) == "too_long"


def test_extensions_and_short_codes_have_no_e164_form() -> None:
    plan = DialPlan(country="GB", extensions=("2XXX", "_30[1-5]"), short_codes=("7000",), outside_line=("9",))
    assert normalise("2345", plan) == Number("", "GB", kind=NumberClass.EXTENSION)
    assert normalise("304", plan).kind is NumberClass.EXTENSION
    assert normalise("7000", plan).kind is NumberClass.SHORT
    assert normalise("1471", plan).kind is NumberClass.SHORT
    assert normalise("91471", plan).kind is NumberClass.SHORT
    assert refusal("309", plan) == "too_short"


def test_short_codes_are_typed_by_what_they_cost() -> None:
    """B2."""
    assert normalise("116117", DE) == Number("", "DE", NumberType.TOLL_FREE, Tri.YES, kind=NumberClass.SHORT)


def test_numbers_of_no_country_are_known_as_such() -> None:
    """B2: satellite and international services have no MCC and are worth no lookup."""
    assert normalise("+870773111632", GB).kind is NumberClass.SATELLITE
    assert normalise("+882 16 5551 2345", GB).kind is NumberClass.SATELLITE
    assert normalise("+80012345678", GB).kind is NumberClass.INTERNATIONAL_SERVICE
    assert normalise("+80012345678", GB).country is None


def test_an_invalid_number_is_still_a_number() -> None:
    """B6: it can be told from a valid one before anything is paid."""
    unassigned = normalise("+441999123456", GB)
    assert (unassigned.valid, unassigned.possible, unassigned.type) == (Tri.NO, True, NumberType.UNKNOWN)
    assert (
        normalise("+5210000000000", GB).e164 == "+5210000000000"
    )  # no prefix is retired from what is no number without it
    wrong_length = normalise("+22507123456", GB)
    assert (wrong_length.valid, wrong_length.possible) == (Tri.NO, False)


def test_where_no_reading_is_valid_the_first_of_a_possible_length_is_taken() -> None:
    """Eleven digits are no British number; they may be a Spanish one of a range that the metadata does not know."""
    number = normalise("34200000000", GB)
    assert (number.e164, number.valid, number.possible) == ("+34200000000", Tri.NO, True)


@pytest.mark.parametrize(
    ("dialled", "portable"),
    [
        ("+447400123456", Tri.YES),
        ("+12125551234", Tri.YES),  # mobile or landline, both can move in the US
        ("+8613812345678", Tri.UNKNOWN),  # libphonenumber says no, but China has it since 2019
        ("+2250712345678", Tri.UNKNOWN),  # Côte d'Ivoire
        ("+442079460018", Tri.UNKNOWN),  # landline: libphonenumber does not say
        ("+448001234567", Tri.UNKNOWN),
        ("+870773111632", Tri.UNKNOWN),
        ("+441999123456", Tri.UNKNOWN),
    ],
)
def test_portability_is_stated_only_where_it_is_known(dialled: str, portable: Tri) -> None:
    assert normalise(dialled, GB).portable is portable


def test_carrier_selection_and_tech_prefixes_are_taken_off() -> None:
    us = DialPlan(country="US", carrier_select=("101XXXX",), tech_prefixes=("1234#", "99"))
    assert normalise("1010288 1 212 555 1234", us).e164 == "+12125551234"
    assert normalise("1010288 011 44 7400 123456", us).e164 == "+447400123456"
    assert normalise("1234#12125551234", us).e164 == "+12125551234"
    assert normalise("1234#+447400123456", us).e164 == "+447400123456"
    assert normalise("9912125551234", us).e164 == "+12125551234"
    de = DialPlan(country="DE", carrier_select=("010XX", "0100XX"), outside_line=("0",))
    assert normalise("0 01033 030 123456", de).e164 == "+4930123456"
    assert normalise("0 01033 00 44 7400 123456", de).e164 == "+447400123456"


def test_a_configured_outside_line_is_read_first() -> None:
    """In Germany behind 0: `00 30 ...` is Berlin, not Greece; `000 30 ...` is Greece."""
    plan = OUTSIDE["0"]["DE"]
    assert normalise("0030 2101234567", DE).e164 == "+302101234567"
    assert normalise("0030 2101234567", plan).e164 == "+49302101234567"
    assert normalise("00030 2101234567", plan).e164 == "+302101234567"
    assert normalise("917 555 1234", OUTSIDE["9"]["US"]).e164 == "+19175551234"


def test_a_trunk_prefix_of_ones_own_is_taken_off() -> None:
    plan = DialPlan(country="GB", national="55", international=("77",))
    assert normalise("557400123456", plan).e164 == "+447400123456"
    assert normalise("7733612345678", plan).e164 == "+33612345678"


@pytest.mark.parametrize("initial", sorted({region[0] for region in REGIONS}))
def test_any_countrys_plan_can_be_made_ready(initial: str) -> None:
    """The server does so at start: no example of libphonenumber may stop it."""
    for region in (region for region in REGIONS if region[0] == initial):
        preload(DialPlan(country=region, outside_line=("0",)))


@pytest.mark.parametrize("region", REGIONS)
def test_no_country_writes_a_number_longer_than_the_longest_that_is_expected(region: str) -> None:
    """Longer digits are read as E.164 without asking how the country would write them."""
    for kind in PhoneNumberType.values():
        if example := phonenumbers.example_number_for_type(region, kind):
            written = phonenumbers.format_number(example, PhoneNumberFormat.NATIONAL)
            assert sum(character.isdigit() for character in written) <= longest_as_written(region)
