"""A dial plan is checked when it is configured, not when somebody calls."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agi_lookup.domain.dial_plan import DialPlan, digits_matching
from agi_lookup.domain.model import NumberClass
from agi_lookup.domain.number import normalise


def matches(pattern: str, digits: str) -> bool:
    plan = DialPlan(country="GB", extensions=(pattern,))
    return normalise(digits, plan).kind is NumberClass.EXTENSION


def test_patterns_mean_what_they_mean_in_asterisk() -> None:
    sets = {"X": "0123456789", "Z": "123456789", "N": "23456789", "[1-5]": "12345", "[147-9]": "14789", "0": "0"}
    for (first, firsts), (second, seconds) in itertools.product(sets.items(), repeat=2):
        source = digits_matching(f"_{first}{second}")
        matching = {a + b for a in "0123456789" for b in "0123456789" if re.fullmatch(source, a + b)}
        assert matching == {a + b for a in firsts for b in seconds}


@pytest.mark.parametrize(
    "pattern", ["", "_", "9.", "9!", "1-2", "[5-1]", "[]", "[1-]", "x", "2xxx", "+44X", "(1|2)", "[^1]", "1 2"]
)
def test_a_bad_pattern_is_a_clear_error(pattern: str) -> None:
    with pytest.raises(ValidationError, match=r"dial pattern|runs backwards"):
        DialPlan(country="GB", extensions=(pattern,))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("country", "XX"),
        ("country", "gb"),
        ("country", "001"),
        ("outside_line", ("+",)),
        ("outside_line", ("",)),
        ("outside_line", ("9\n",)),
        ("outside_line", ("٩",)),
        ("international", ("00+",)),
        ("national", "zero"),
        ("tech_prefixes", ("+44",)),
        ("tech_prefixes", ("",)),
        ("emergency", ("1",)),
        ("emergency", ("112#",)),
        ("colour", "red"),
    ],
)
def test_what_is_no_prefix_or_code_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        DialPlan.model_validate({"country": "GB", field: value})


def test_codes_that_lost_their_zeros_to_an_integer_are_refused() -> None:
    with pytest.raises(ValidationError, match="valid string"):
        DialPlan.model_validate({"country": "GB", "international": [11]})


def test_the_country_gives_what_the_plan_does_not_say() -> None:
    plan = DialPlan(country="HU")
    assert (plan.calling_code, plan.trunk) == ("36", "06")
    assert DialPlan(country="ES").trunk == ""
    assert DialPlan(country="GB", national="").trunk == ""


@given(st.sampled_from(["GB", "US"]), st.lists(st.sampled_from(["9", "0", "77"]), max_size=2))
def test_plans_that_say_the_same_are_the_same(country: str, outside: list[str]) -> None:
    """A reload that changes nothing keeps what is cached."""
    one, other = (DialPlan(country=country, outside_line=tuple(outside)) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one == other  # also after the hash was computed
