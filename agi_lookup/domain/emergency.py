"""The emergency gate: decided on the raw digits, before any strip, with tables in memory and nothing else.

It looks for a code in any of the dresses that dialplans and habits put on it: `911`, `+1911`, `0111911`, `9911`, `9*911`, `112#`,
`0112`, `+44 0 999`; 112 and 911 also behind any other country's calling code. The rule where a dress is also a number that
somebody has:

1. The code itself, with `*` or `#` around it, behind a *configured* outside line or tech prefix, is always an emergency.
2. In any other dress it is one unless libphonenumber calls the digits a valid number of the home country (or, behind its
   international prefix, of any): in Luxembourg 9911 is a subscriber, in Germany 9112 is an emergency.

An emergency wins over short codes, extensions and local numbers without area code: there a mistake costs a lookup, here a life.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final, NamedTuple

import phonenumbers

from agi_lookup.domain.dial_plan import DialPlan, digits_matching, one_of
from agi_lookup.domain.emergency_codes import UNIVERSAL, codes

MAX_DRESSED: Final = 64
"""No dress is near as long; what is longer is refused unread, by `number.normalise` too."""
_SEPARATORS: Final = str.maketrans("", "", " -.()/\t\r\n\0")
_USUAL_OUTSIDE: Final = ("0", "9")
_USUAL_IDD: Final = "(?:00|011)"
_ANY_CALLING_CODE: Final = one_of(map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE))
_MARK: Final = "[*#]{0,2}"
_PLAIN: Final = re.compile(r"\+?[0-9]+")


class _Gate(NamedTuple):
    certain: re.Pattern[str]
    dressed: re.Pattern[str]


def is_emergency(raw: str, plan: DialPlan) -> bool:
    """True if this may be a call for help from `plan`'s country. Never raises, whatever the text."""
    if len(raw) > MAX_DRESSED:
        return False
    text = raw.translate(_SEPARATORS) if raw.isascii() else _ascii_digits(raw)
    gate = _gate(plan)
    if gate.certain.fullmatch(text):
        return True
    return gate.dressed.fullmatch(text) is not None and not _is_somebodys(text, plan.country)


def _ascii_digits(text: str) -> str:
    """Digits of any script as ASCII, without spaces and invisible marks: a full-width 112 is a call for help all the same."""
    folded = unicodedata.normalize("NFKC", text)
    kept = (char for char in folded if unicodedata.category(char)[0] not in "ZC")
    digits = "".join(str(unicodedata.decimal(char, char)) for char in kept)
    return digits.translate(_SEPARATORS)


@lru_cache(maxsize=64)
def _gate(plan: DialPlan) -> _Gate:
    code = one_of([codes(plan.country), *plan.emergency])
    tech = one_of(map(re.escape, plan.tech_prefixes))
    outside = one_of(plan.outside_line)
    any_outside = one_of((*plan.outside_line, *_USUAL_OUTSIDE))
    carrier = one_of(map(digits_matching, plan.carrier_select))
    trunk = one_of([plan.trunk] if plan.trunk else [])
    abroad = rf"(?:\+|{plan.idd})"
    behind_outside = rf"{any_outside}?{_MARK}(?:{carrier})?(?:{abroad}{plan.calling_code})?{trunk}?"
    e164 = rf"(?:\+|{_USUAL_IDD})?{plan.calling_code}{trunk}?"
    any_country = rf"(?:{abroad}|{_USUAL_IDD}){_ANY_CALLING_CODE}0?{one_of(UNIVERSAL)}"
    return _Gate(
        certain=re.compile(rf"{tech}?{_MARK}{outside}?{_MARK}{code}{_MARK}"),
        dressed=re.compile(rf"{tech}?{_MARK}(?:(?:{behind_outside}|{e164}|\+){code}|{any_country}){_MARK}"),
    )


def _is_somebodys(text: str, country: str) -> bool:
    if not _PLAIN.fullmatch(text):
        return False
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(text, country))
    except phonenumbers.NumberParseException:
        return False
