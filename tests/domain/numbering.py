"""Real numbers and real codes of all regions, straight from libphonenumber's metadata and not from our code."""

from __future__ import annotations

import csv
import itertools
import random
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType
from phonenumbers.phonemetadata import PhoneMetadata

from agi_lookup.domain.dial_plan import DialPlan

CORPORA = Path(__file__).parent.parent / "corpora" / "numbers"
REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
PLANS = {region: DialPlan(country=region) for region in REGIONS}
TYPES = [kind for kind in PhoneNumberType.values() if kind != PhoneNumberType.UNKNOWN]


def examples(region: str) -> Iterator[PhoneNumber]:
    """One valid number of each type, of those that are E.164 at all (7 to 15 digits)."""
    for kind in TYPES:
        number = phonenumbers.example_number_for_type(region, kind)
        if number and is_e164(number):
            yield number


def variations(region: str, rng: random.Random, tries: int) -> Iterator[PhoneNumber]:
    """Random valid numbers of every type: examples with some of their digits changed."""
    for example in examples(region):
        digits = phonenumbers.national_significant_number(example)
        for _ in range(tries):
            changed = [rng.choice("0123456789") if rng.random() < 0.6 else digit for digit in digits]
            number = exact(example.country_code or 0, "".join(changed))
            if is_e164(number) and phonenumbers.is_valid_number_for_region(number, region):
                yield number


def exact(calling_code: int, national: str) -> PhoneNumber:
    zeros = len(national) - len(national.lstrip("0"))
    return PhoneNumber(
        calling_code, int(national), italian_leading_zero=zeros > 0, number_of_leading_zeros=zeros or None
    )


def is_e164(number: PhoneNumber) -> bool:
    return 7 <= len(e164(number)) - 1 <= 15


def e164(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def national(number: PhoneNumber) -> str:
    """As people of the country write it, spaces and all."""
    return phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)


def spaced(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)


def digits(text: str) -> str:
    return re.sub("[^0-9]", "", text)


def local(number: PhoneNumber) -> str | None:
    """The number without its area code, where there is one. Under seven digits it may look like a dressed emergency code."""
    area = phonenumbers.length_of_geographical_area_code(number)
    rest = phonenumbers.national_significant_number(number)[area:]
    return rest if area and len(rest) >= 7 else None


@cache
def _matching(pattern: str, lengths: tuple[int, ...]) -> tuple[str, ...]:
    compiled = re.compile(pattern)
    texts = ("".join(text) for length in lengths for text in itertools.product("0123456789", repeat=length))
    return tuple(filter(compiled.fullmatch, texts))


def emergency_codes(region: str) -> set[str]:
    """Every code that libphonenumber calls an emergency number of the region, and the two that work everywhere."""
    metadata = PhoneMetadata.short_metadata_for_region(region)
    known = metadata.emergency if metadata else None
    listed = _matching(known.national_number_pattern, tuple(known.possible_length)) if known else ()
    return {"112", "911", *listed}


def idds(region: str) -> set[str]:
    """Every international prefix of the region, of two to five digits."""
    metadata = PhoneMetadata.metadata_for_region(region)
    assert metadata is not None
    return set(_matching(metadata.international_prefix, (2, 3, 4, 5))) if metadata.international_prefix else set()


def corpus(name: str) -> list[dict[str, str]]:
    with (CORPORA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
