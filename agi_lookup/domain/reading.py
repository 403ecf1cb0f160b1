"""One way to read digits, and what libphonenumber says of it: how long, of which kind and country, portable or not."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

import phonenumbers
from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    NumberParseException,
    PhoneNumber,
    PhoneNumberType,
    ShortNumberCost,
    ValidationResult,
)
from phonenumbers.phonenumberutil import _number_type_helper
from phonenumbers.re_util import re_compile

from agi_lookup.domain.errors import NumberError
from agi_lookup.domain.model import Number, NumberClass, NumberType, Tri

phonenumbers.enable_pattern_cache()
"""The world has twice the patterns that Python's own cache of 512 holds: without this, a number of a country that was not asked
about lately costs 1 ms of compiling. It keeps a pattern once used, at most some 3,000."""

MIN_E164_DIGITS: Final = 7
"""ITU-T E.164 states no least; the shortest in use are Niue's and Saint Helena's, with four digits behind three."""
MAX_E164_DIGITS: Final = 15
"""ITU-T E.164, section 6."""
MAX_SHORT_DIGITS: Final = 8
NO_AREA_CODE: Final = "no_area_code"

SATELLITE_CODES: Final = frozenset({870, 881, 882, 883})
"""ITU-T E.164 assigned codes: Inmarsat, global mobile satellite systems, international networks."""
GLOBAL_REGION: Final = "001"  # libphonenumber's country of the codes that belong to no country

_TYPES: Final = {
    PhoneNumberType.FIXED_LINE: NumberType.LANDLINE,
    PhoneNumberType.MOBILE: NumberType.MOBILE,
    PhoneNumberType.FIXED_LINE_OR_MOBILE: NumberType.MOBILE_OR_LANDLINE,
    PhoneNumberType.TOLL_FREE: NumberType.TOLL_FREE,
    PhoneNumberType.PREMIUM_RATE: NumberType.PREMIUM,
    PhoneNumberType.SHARED_COST: NumberType.SHARED_COST,
    PhoneNumberType.VOIP: NumberType.VOIP,
    PhoneNumberType.PERSONAL_NUMBER: NumberType.PERSONAL,
    PhoneNumberType.PAGER: NumberType.PAGER,
    PhoneNumberType.UAN: NumberType.UAN,
    PhoneNumberType.VOICEMAIL: NumberType.VOICEMAIL,
}
_MOBILE: Final = frozenset({NumberType.MOBILE, NumberType.MOBILE_OR_LANDLINE})
_SHORT_TYPES: Final = {
    ShortNumberCost.TOLL_FREE: NumberType.TOLL_FREE,
    ShortNumberCost.PREMIUM_RATE: NumberType.PREMIUM,
}
_PARSE_ERRORS: Final = {
    NumberParseException.INVALID_COUNTRY_CODE: "unknown_country_code",
    NumberParseException.NOT_A_NUMBER: "too_short",
    NumberParseException.TOO_SHORT_AFTER_IDD: "too_short",
    NumberParseException.TOO_SHORT_NSN: "too_short",
    NumberParseException.TOO_LONG: "too_long",
}
_RETIRED_PREFIXES: Final = {52: re.compile("^(?:01|04[45]|1)")}
"""By calling code. Mexico dropped these from 2019 to 2020 (IFT), and address books still hold `+52 1 ...`."""

_CALLING_CODES: Final = frozenset(map(str, COUNTRY_CODE_TO_REGION_CODE))

_LITERAL_DIGITS: Final = re.compile(r"(?<!\\)[0-9]")  # of a format such as "0\\1 15-\\2": all but the groups

Reading: TypeAlias = Number | NumberError


def international(digits: str) -> Reading:
    """Read as E.164. What is valid as it stands is taken as it stands; else a trunk prefix may be in it: `+44 (0)20 ...`."""
    code = calling_code(digits)
    if not code:
        return NumberError("unknown_country_code")
    as_it_stands = describe(exact(code, digits[len(code) :]))
    if is_valid(as_it_stands):
        return as_it_stands
    lenient = describe(parse("+" + digits, None))
    return lenient if is_valid(lenient) else as_it_stands


def calling_code(digits: str) -> str:
    """The leading one to three digits that are a country's calling code; empty when there is none."""
    for size in (1, 2, 3):
        if (code := digits[:size]) in _CALLING_CODES:
            return code
    return ""


def exact(code: str, national: str) -> PhoneNumber:
    """A number with no prefix stripped. libphonenumber keeps leading zeros beside the integer."""
    zeros = min(len(national) - len(national.lstrip("0")), len(national) - 1)
    return PhoneNumber(
        country_code=int(code),
        national_number=int(national or "0"),
        italian_leading_zero=True if zeros > 0 else None,
        number_of_leading_zeros=zeros if zeros > 1 else None,
    )


def parse(form: str, country: str | None) -> PhoneNumber | NumberError:
    """libphonenumber's reading, which strips trunk prefixes and carrier codes and completes the numbers of islands."""
    try:
        return phonenumbers.parse(form, country)
    except NumberParseException as error:
        return NumberError(_PARSE_ERRORS[error.error_type])


def short(form: str, country: str) -> Number:
    """The short code of a country, whether or not libphonenumber knows it. It has no E.164 form."""
    cost = phonenumbers.expected_cost_for_region(_short_number(form, country), country)
    return Number("", country, _SHORT_TYPES.get(cost, NumberType.UNKNOWN), Tri.YES, kind=NumberClass.SHORT)


def longest_as_written(country: str) -> int:
    """Digits of the longest number as its country writes it: trunk prefix, and what else the form adds (Argentina's 15)."""
    main = phonenumbers.region_code_for_country_code(phonenumbers.country_code_for_region(country))
    lengths, added = [0], [0]
    for region in {country, main}:  # small countries share the forms of the main one of their calling code
        metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
        if metadata is None or metadata.general_desc is None:
            continue
        lengths += [*metadata.general_desc.possible_length, *metadata.general_desc.possible_length_local_only]
        forms = (f"{form.format}{form.national_prefix_formatting_rule or ''}" for form in metadata.number_format)
        added += [len(_LITERAL_DIGITS.findall(form)) for form in forms]
    return max(lengths) + max(added)


def is_short(form: str, country: str) -> bool:
    return len(form) <= MAX_SHORT_DIGITS and phonenumbers.is_valid_short_number_for_region(
        _short_number(form, country), country
    )


def _short_number(form: str, country: str) -> PhoneNumber:
    return exact(str(phonenumbers.country_code_for_region(country)), form)


def is_valid(reading: Reading) -> bool:
    return isinstance(reading, Number) and reading.valid is Tri.YES


def describe(parsed: PhoneNumber | NumberError) -> Reading:
    """All that the numbering plan says of a number; an error where it can be no E.164 number at all."""
    if isinstance(parsed, NumberError):
        return parsed
    parsed = _without_retired_prefix(parsed)
    digits = f"{parsed.country_code}{phonenumbers.national_significant_number(parsed)}"
    if not MIN_E164_DIGITS <= len(digits) <= MAX_E164_DIGITS:
        return NumberError("too_long" if len(digits) > MAX_E164_DIGITS else "too_short")
    region, kind = _region_and_type(parsed)
    valid = kind is not NumberType.UNKNOWN
    length = ValidationResult.IS_POSSIBLE if valid else phonenumbers.is_possible_number_with_reason(parsed)
    if length == ValidationResult.IS_POSSIBLE_LOCAL_ONLY:
        return NumberError(NO_AREA_CODE)
    return Number(
        e164=f"+{digits}",
        country=None if region == GLOBAL_REGION else region,
        type=kind,
        valid=Tri.YES if valid else Tri.NO,
        possible=length == ValidationResult.IS_POSSIBLE,
        portable=_portable(kind, region),
        kind=_class(parsed.country_code, region),
    )


def _region_and_type(parsed: PhoneNumber) -> tuple[str | None, NumberType]:
    """As `phonenumbers.region_code_for_number` and `number_type`, which together match the number three times over."""
    code, national = parsed.country_code or 0, phonenumbers.national_significant_number(parsed)
    regions = COUNTRY_CODE_TO_REGION_CODE.get(code, ())
    for region in regions:
        metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, region)
        if metadata is None:
            continue
        if len(regions) > 1 and metadata.leading_digits is not None:
            if re_compile(metadata.leading_digits).match(national):
                return region, _type_by(metadata, national)
            continue
        kind = _type_by(metadata, national)
        if len(regions) == 1 or kind is not NumberType.UNKNOWN:
            return region, kind
    return None, NumberType.UNKNOWN


def _type_by(metadata: phonenumbers.PhoneMetadata, national: str) -> NumberType:
    return _TYPES.get(_number_type_helper(national, metadata), NumberType.UNKNOWN)


def _without_retired_prefix(parsed: PhoneNumber) -> PhoneNumber:
    pattern = _RETIRED_PREFIXES.get(parsed.country_code or 0)
    if pattern is None or phonenumbers.is_valid_number(parsed):
        return parsed
    today = exact(str(parsed.country_code), pattern.sub("", phonenumbers.national_significant_number(parsed)))
    return today if phonenumbers.is_valid_number(today) else parsed


def _class(code: int | None, region: str | None) -> NumberClass:
    if code in SATELLITE_CODES:
        return NumberClass.SATELLITE
    return NumberClass.INTERNATIONAL_SERVICE if region == GLOBAL_REGION else NumberClass.E164


def _portable(kind: NumberType, region: str | None) -> Tri:
    """libphonenumber knows of mobile portability only, and its "no" also means "no data" (UA, AE, CN have it): so no "no"."""
    if region is None or region == GLOBAL_REGION or kind not in _MOBILE:
        return Tri.UNKNOWN
    return Tri.YES if phonenumbers.is_mobile_number_portable_region(region) else Tri.UNKNOWN
