"""What is said of a number is what libphonenumber says, though it is asked in a cheaper way."""

from __future__ import annotations

import random
from collections.abc import Iterator

import phonenumbers
import pytest
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, SUPPORTED_REGIONS, PhoneNumber

from agi_lookup.domain.model import Number
from agi_lookup.domain.reading import GLOBAL_REGION, describe, exact
from tests.domain.numbering import examples


def whatever(code: int) -> Iterator[PhoneNumber]:
    """Valid ones and others."""
    chance = random.Random(code)
    for digits in range(4, 12):
        for _ in range(6):
            yield exact(str(code), str(chance.randrange(10**digits)))


NUMBERS = [
    *(number for region in sorted(SUPPORTED_REGIONS) for number in examples(region)),
    *(number for code in sorted(COUNTRY_CODE_TO_REGION_CODE) for number in whatever(code)),
]


@pytest.mark.parametrize("code", sorted(COUNTRY_CODE_TO_REGION_CODE))
def test_country_and_type_are_libphonenumbers(code: int) -> None:
    compared = 0
    for parsed in (number for number in NUMBERS if number.country_code == code):
        said = describe(parsed)
        if not isinstance(said, Number) or said.e164 != phonenumbers.format_number(parsed, 0):
            continue  # refused, or read as its country writes it today
        region = phonenumbers.region_code_for_number(parsed)
        kind = phonenumbers.PhoneNumberType.to_string(phonenumbers.number_type(parsed))
        assert said.country == (None if region == GLOBAL_REGION else region)
        assert {"FIXED_LINE": "landline", "FIXED_LINE_OR_MOBILE": "mobile_or_landline", "PREMIUM_RATE": "premium",
                "PERSONAL_NUMBER": "personal"}.get(kind, kind.lower()) == said.type  # fmt: skip
        compared += 1
    assert compared
