"""The one normaliser: what was dialled becomes one `Number`, the same for every way to dial it.

A dialled string can be read in several ways. They are tried in this order, and the first that libphonenumber calls valid wins:

1. `+`: E.164, and nothing else.
2. An extension of the plan.
3. Without the plan's outside-line digits where they are there, then as it stands; each also without a carrier-select code:
   a. international prefix and E.164;
   b. a short code of the plan;
   c. a national number, as its country writes it;
   d. E.164 of the home country without plus (`49151...` in Germany), a short code of the country, or a national number whose trunk
      prefix was left out: in this order.
4. E.164 of any country without plus, unless the digits are a local number that lacks its area code.

So a valid number in its national form never loses to a guess. When no reading is valid, the first whose length can exist is taken
(ranges open before the metadata knows them), else the first that is E.164 at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

from agi_lookup.domain.dial_plan import DialPlan, digits_matching, one_of
from agi_lookup.domain.emergency import MAX_DRESSED, is_emergency
from agi_lookup.domain.errors import NumberError
from agi_lookup.domain.model import Number, NumberClass
from agi_lookup.domain.reading import (
    NO_AREA_CODE,
    Reading,
    describe,
    exact,
    international,
    is_short,
    is_valid,
    longest_as_written,
    parse,
    short,
)

MAX_DIALLED: Final = MAX_DRESSED
CACHED_NUMBERS: Final = 8192
"""3 MiB when full."""

_SEPARATORS: Final = str.maketrans("", "", " -.()")
_DIALLED: Final = re.compile(r"\+?[0-9]+")


def normalise(dialled: str, plan: DialPlan) -> Number:
    """The number that was dialled in `plan`. Spaces, dots, dashes and parentheses are let pass; only ASCII digits are digits.

    Raises `NumberError` with code empty, too_long, too_short, bad_character, no_area_code or unknown_country_code.
    """
    if len(dialled) > MAX_DIALLED:
        raise NumberError("too_long")
    return _normalise(dialled, plan)


def preload(plan: DialPlan) -> None:
    """Read the home country's metadata and compile its patterns, so that the first call need not wait for that."""
    is_emergency("", plan)
    for kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE):
        if example := phonenumbers.example_number_for_type(plan.country, kind):
            normalise(phonenumbers.format_number(example, PhoneNumberFormat.E164), plan)
            normalise(phonenumbers.national_significant_number(example), plan)


class _Patterns(NamedTuple):
    tech: re.Pattern[str]
    extension: re.Pattern[str]
    short: re.Pattern[str]
    outside: re.Pattern[str]
    carrier: re.Pattern[str]
    idd: re.Pattern[str]
    longest_national: int  # digits of the longest number as the country writes its own


@lru_cache(maxsize=64)
def _patterns(plan: DialPlan) -> _Patterns:
    return _Patterns(
        tech=re.compile("^" + one_of(map(re.escape, plan.tech_prefixes))),
        extension=re.compile(one_of(map(digits_matching, plan.extensions))),
        short=re.compile(one_of(map(digits_matching, plan.short_codes))),
        outside=re.compile(one_of(plan.outside_line)),
        carrier=re.compile(one_of(map(digits_matching, plan.carrier_select))),
        idd=re.compile(plan.idd + "(?=[1-9])"),  # no calling code begins with 0
        longest_national=longest_as_written(plan.country),
    )


@lru_cache(maxsize=CACHED_NUMBERS)
def _normalise(dialled: str, plan: DialPlan) -> Number:
    patterns = _patterns(plan)
    text = patterns.tech.sub("", dialled.translate(_SEPARATORS))
    if not text:
        raise NumberError("empty")
    if not _DIALLED.fullmatch(text):
        raise NumberError("bad_character")
    if text.startswith("+"):
        return _best([international(text[1:])])
    if patterns.extension.fullmatch(text):
        return Number("", plan.country, kind=NumberClass.EXTENSION)
    return _best(_readings(text, plan, patterns))


def forget_dialled() -> None:
    """Whatever was dialled lately is read anew."""
    _normalise.cache_clear()


def _best(readings: Iterable[Reading]) -> Number:
    """The first valid reading, else the first possible, else the first that is a number; raises the first error when none is."""
    numbers: list[Number] = []
    errors: list[NumberError] = []
    for reading in readings:
        if isinstance(reading, NumberError):
            errors.append(reading)
        elif is_valid(reading):
            return reading
        else:
            numbers.append(reading)
    if not numbers:
        raise errors[0]
    return _settled(next((number for number in numbers if number.possible), numbers[0]))


def _settled(number: Number) -> Number:
    """What its own E.164 form is read as: a trunk prefix left in a number that is not valid is found there."""
    again = international(number.e164[1:])
    return again if isinstance(again, Number) else number


def _readings(digits: str, plan: DialPlan, patterns: _Patterns) -> Iterator[Reading]:
    forms = list(_forms(digits, patterns))
    for form in forms:
        abroad = patterns.idd.match(form)
        if abroad:
            yield international(form[abroad.end() :])
        for reading in _home_readings(form, plan, patterns, behind_idd=abroad is not None):
            yield reading
            if isinstance(reading, NumberError) and reading.code == NO_AREA_CODE:
                return  # E.164 of a small country can look the same
    for form in forms:
        yield international(form)


def _forms(digits: str, patterns: _Patterns) -> Iterator[str]:
    """The digits without what the PBX and the carrier selection put in front."""
    outside = patterns.outside.match(digits)
    for form in (digits[outside.end() :], digits) if outside else (digits,):
        yield form
        if carrier := patterns.carrier.match(form):
            yield form[carrier.end() :]


def _home_readings(form: str, plan: DialPlan, patterns: _Patterns, *, behind_idd: bool) -> Iterator[Reading]:
    if patterns.short.fullmatch(form):
        yield short(form, plan.country)
        return
    rivals = list(_rivals(form, plan))
    if len(form) > patterns.longest_national:
        yield from rivals
    # libphonenumber would strip the prefix: toll-free numbers of Bulgaria and Thailand begin with it
    national = (
        exact(plan.calling_code, form) if behind_idd else parse(form.removeprefix(plan.national or ""), plan.country)
    )
    if rivals and not _is_written_so(national, form):
        yield from rivals
    yield describe(national)
    yield from rivals


def _rivals(form: str, plan: DialPlan) -> Iterator[Reading]:
    """What the form is unless it is a national number as that country writes it."""
    if form.startswith(plan.calling_code) and plan.calling_code != plan.trunk:  # in North America both are 1
        own = international(form)
        if is_valid(own):
            yield own
    if is_short(form, plan.country):
        yield short(form, plan.country)


def _is_written_so(national: PhoneNumber | NumberError, form: str) -> bool:
    if isinstance(national, NumberError):
        return False
    return form == re.sub("[^0-9]", "", phonenumbers.format_number(national, PhoneNumberFormat.NATIONAL))
