"""Calls for help are let alone (B1): every code of every region in every dress, and no ordinary number of any region."""

from __future__ import annotations

import random
from collections.abc import Iterator

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.domain.dial_plan import DialPlan
from agi_lookup.domain.emergency import is_emergency
from agi_lookup.domain.emergency_codes import EXTRAS
from tests.domain import numbering
from tests.domain.numbering import PLANS, REGIONS

OUTSIDE = ("0", "9")

SOMEBODYS = {"LU": {"9911"}, "FM": {"9320221"}, "SE": {"9090000"}}
"""The only ordinary dresses that are also valid numbers of the country that dials them (emergency.py, rule 2):
352 9911 is a four-digit subscriber of Luxembourg, 691 932 0221 a mobile of Micronesia, 46 90 900 00 a line in Umeå
(90000, once the Swedish emergency number, is still in libphonenumber's list)."""


def known_codes(region: str) -> set[str]:
    return numbering.emergency_codes(region) | {c for extra in EXTRAS if extra.country == region for c in extra.codes}


def bare(code: str) -> Iterator[str]:
    """The code, as typed and with the marks of feature codes and block dialling."""
    yield from (code, "-".join(code), " ".join(code), f" {code} ", f"({code})")
    yield from (f"{before}{code}{after}" for before in ("", "*", "#") for after in ("", "*", "#"))


def ordinary_dresses(code: str, plan: DialPlan) -> Iterator[str]:
    """What people and dialplans put on a code by habit."""
    trunk, calling = plan.trunk, plan.calling_code
    for national in {code, trunk + code}:
        yield from (f"+{calling}{national}", f"+{calling} {national}")
        yield from (f"{idd}{calling}{national}" for idd in {"00", *numbering.idds(plan.country)})
        yield from (outside + national for outside in ("", *OUTSIDE))
        yield from (f"{outside}+{calling}{national}" for outside in OUTSIDE)
    yield from (f"{outside}{mark}{code}{after}" for outside in OUTSIDE for mark in "*#" for after in ("", "#", "*"))
    yield f"+{code}"


def deep_dresses(code: str, plan: DialPlan) -> Iterator[str]:
    """Dresses that look like whole numbers: these yield to the number's owner."""
    trunk, calling = plan.trunk, plan.calling_code
    for national in {code, trunk + code}:
        yield from (f"{idd}{calling}{national}" for idd in ("", "011"))
        yield from (f"{outside}{idd}{calling}{national}" for outside in OUTSIDE for idd in numbering.idds(plan.country))


@pytest.mark.parametrize("initial", sorted({region[0] for region in REGIONS}))
def test_every_code_of_every_region_is_an_emergency_in_every_dress(initial: str) -> None:
    """B1: regions x codes x wrappings, in full."""
    for region in (region for region in REGIONS if region[0] == initial):
        plan = PLANS[region]
        somebodys = {}
        for code in known_codes(region):
            assert all(is_emergency(dialled, plan) for dialled in bare(code)), (region, code)
            missed = {dialled for dialled in ordinary_dresses(code, plan) if not is_emergency(dialled, plan)}
            somebodys.update(dict.fromkeys(missed))
        assert set(somebodys) == SOMEBODYS.get(region, set()), region


def test_a_deep_dress_is_an_emergency_unless_it_is_somebodys_number() -> None:
    """B1: `9 00 43 112` may be an Austrian premium number, `011 39 112` is one in Turin."""
    owners = checked = 0
    for region in REGIONS:
        plan = PLANS[region]
        for dialled in {d for code in known_codes(region) for d in deep_dresses(code, plan)}:
            checked += 1
            if not is_emergency(dialled, plan):
                owners += 1
                assert phonenumbers.is_valid_number(phonenumbers.parse(dialled, region)), (region, dialled)
    assert owners < checked * 0.08


def dialled_forms(number: phonenumbers.PhoneNumber, plan: DialPlan) -> Iterator[str]:
    """Every way in which `plan`'s callers may dial it."""
    written, full = numbering.digits(numbering.national(number)), numbering.e164(number)
    yield from (full, full[1:], written, numbering.national(number), numbering.spaced(number))
    yield phonenumbers.national_significant_number(number)
    yield from (idd + full[1:] for idd in {"00", "011", *numbering.idds(plan.country)})
    if local := numbering.local(number):
        yield local


def test_no_ordinary_number_of_any_region_is_an_emergency() -> None:
    """B1: examples of every type and thousands of random valid numbers, at home and from abroad."""
    rng = random.Random(911)
    seen = 0
    for region in REGIONS:
        plan = PLANS[region]
        abroad = PLANS[rng.choice(REGIONS)]
        for number in (*numbering.examples(region), *numbering.variations(region, rng, tries=120)):
            seen += 1
            taken = [dialled for dialled in dialled_forms(number, plan) if is_emergency(dialled, plan)]
            assert not taken, (region, taken)
            assert not is_emergency(numbering.e164(number), abroad)
    assert seen > 20_000


def test_nothing_longer_than_a_code_is_an_emergency() -> None:
    plan = PLANS["DE"]
    assert is_emergency("112", plan)
    assert not any(is_emergency(f"112{digit}", plan) for digit in "0123456789")
    assert not any(is_emergency(f"+49112{digit}", plan) for digit in "0123456789")


@pytest.mark.parametrize("row", numbering.corpus("emergency.csv"), ids=lambda row: f"{row['country']}-{row['about']}")
def test_corpus(row: dict[str, str]) -> None:
    assert is_emergency(row["dialled"], PLANS[row["country"]]) is (row["emergency"] == "yes")


def test_a_configured_outside_line_or_tech_prefix_makes_the_code_certain() -> None:
    """Behind digits that the operator names, 911 is 911, even where the digits together are somebody's number."""
    assert not is_emergency("9911", PLANS["LU"])
    assert is_emergency("9911", DialPlan(country="LU", outside_line=("9",)))
    trunk = DialPlan(country="US", outside_line=("77",), tech_prefixes=("1234#",))
    assert is_emergency("1234#911", trunk)
    assert is_emergency("77911", trunk)
    assert is_emergency("1234#77*911", trunk)
    assert not is_emergency("4321#911", trunk)


def test_the_plans_own_codes_and_carrier_selection_count() -> None:
    plan = DialPlan(country="BR", emergency=("4321",), carrier_select=("0ZX",))
    assert is_emergency("4321", plan)
    assert is_emergency("94321", plan)
    assert is_emergency("021190", plan)
    assert not is_emergency("4321", PLANS["BR"])


@pytest.mark.parametrize("dialled", ["+1911", "001911", "0111911", "+49112", "00390112", "+1911#"])
def test_112_and_911_behind_another_countrys_code_count(dialled: str) -> None:
    """Callers abroad dial what their phone book says: `+1911` came from a real PBX."""
    assert is_emergency(dialled, DialPlan(country="GB"))


def test_an_emergency_wins_over_extensions_and_short_codes() -> None:
    plan = DialPlan(country="DE", extensions=("9XXX",), short_codes=("110",))
    assert is_emergency("9112", plan)
    assert is_emergency("110", plan)


@given(st.text(max_size=80), st.sampled_from(["DE", "US", "LU"]))
def test_no_text_raises(text: str, region: str) -> None:
    """F10."""
    assert is_emergency(text, PLANS[region]) in (True, False)


@given(st.text(alphabet="0123456789+*# -.()", max_size=80), st.sampled_from(["DE", "US", "BR"]))
def test_no_dialled_text_raises(text: str, region: str) -> None:
    assert is_emergency(text, PLANS[region]) in (True, False)


def test_a_huge_string_is_no_emergency() -> None:
    """F12: ten megabytes are not read; `normalise` refuses them too, so that nobody is asked about them."""
    assert not is_emergency("112" * 3_500_000, PLANS["DE"])
    assert not is_emergency(" " * 10_000_000 + "112", PLANS["DE"])


def test_extra_codes_are_not_in_libphonenumber_already_and_name_their_source() -> None:
    """When libphonenumber learns one, our row goes."""
    for extra in EXTRAS:
        assert extra.source
        assert not set(extra.codes) & numbering.emergency_codes(extra.country), extra.country
