"""What the end of a call says of the trunk that it went over, and what it does not.

Asterisk's cause alone hides who said no: 404 becomes 1, unallocated number, though it often is a carrier without a route, 408
becomes 18 (a dead trunk looks like a person who does not answer), 401 and 403 become 21 like a callee's "declined". So the raw SIP
code counts first, and whether it rang before all.

`goes_on` is another question: what the shipped dialplan does about it.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from agi_lookup.domain.model import CallResult

FIRST_FINAL_FAILURE: Final = 400


class Sign(StrEnum):
    ANSWERED = "answered"
    DELIVERED = "delivered"  # it reached the subscriber's side: rang, busy, declined, switched off
    FAILED = "failed"  # the trunk or the network behind it did not manage
    UNCLEAR = "unclear"  # an attempt; whether number or network is at fault, nobody can tell
    NOTHING = "nothing"  # not even an attempt: the caller gave up before anything came, or it never left


_DELIVERED_CODES: Final = frozenset({480, 486, 600, 603, 607, 608})
_UNCLEAR_CODES: Final = frozenset({404, 410, 484, 485, 604})
_CANCELLED: Final = 487
_DELIVERED_CAUSES: Final = frozenset({17, 20})
_UNCLEAR_CAUSES: Final = frozenset({1, 19, 21, 22, 28})  # without a SIP code, 19 may be a loop and 21 a refused key
_FAILED_CAUSES: Final = frozenset({2, 3, 18, 27, 34, 38, 41, 42, 44, 47, 58, 65, 79, 88, 102})
_BY_DIALSTATUS: Final = {
    "BUSY": Sign.DELIVERED,
    "NOANSWER": Sign.FAILED,  # it did not even ring
    "CHANUNAVAIL": Sign.FAILED,
    "CONGESTION": Sign.FAILED,
}


def sign_of(result: CallResult) -> Sign:
    if result.answered:
        return Sign.ANSWERED
    if result.rang:
        return Sign.DELIVERED
    if result.dialstatus == "CANCEL" or result.dialstatus not in _BY_DIALSTATUS:
        return Sign.NOTHING
    if result.sip_code is not None and result.sip_code >= FIRST_FINAL_FAILURE:
        return _by_code(result.sip_code)
    return _by_cause(result.cause, _BY_DIALSTATUS[result.dialstatus])


def _by_code(code: int) -> Sign:
    if code in _DELIVERED_CODES:
        return Sign.DELIVERED
    if code in _UNCLEAR_CODES:
        return Sign.UNCLEAR
    return Sign.NOTHING if code == _CANCELLED else Sign.FAILED


def _by_cause(cause: int | None, otherwise: Sign) -> Sign:
    if cause in _DELIVERED_CAUSES:
        return Sign.DELIVERED
    if cause in _UNCLEAR_CAUSES:
        return Sign.UNCLEAR
    return Sign.FAILED if cause in _FAILED_CAUSES else otherwise


ENDS_THE_CALL: Final = frozenset({"ANSWER", "CANCEL"})
"""No other trunk is ever tried, whatever a site has configured: the call was had, or the caller is gone."""
_ADVANCES: Final = re.compile(
    r"(40[24]|5[0-9][0-9]|Q([23]|2[57]|3[4-9]|[4-9][0-9]|1[0-9][0-9])|CHANUNAVAIL|CONGESTION)(-RANG)?"
    r"|4(0[0-9]|1[1-9]|[2-7][0-9]|8[0-58-9]|9[0-9])|Q(1|18|19|20|21|28|31)|NOANSWER"
)
"""The default of dialplan/README.md, which gives the reasons."""
_FINAL: Final = 300


def goes_on(result: CallResult) -> bool:
    """Does the dialplan, as shipped, try the next trunk?"""
    return result.dialstatus not in ENDS_THE_CALL and _ADVANCES.fullmatch(_outcome(result)) is not None


def _outcome(result: CallResult) -> str:
    """As the dialplan calls it: `503`, `Q34`, `NOANSWER-RANG`. There, 180 and 183 are a ring even where none was timed."""
    code = result.sip_code or 0
    rang = "-RANG" if result.rang or code // 10 == 18 else ""
    if code >= _FINAL:
        return f"{code}{rang}"
    return f"Q{result.cause}{rang}" if result.cause else f"{result.dialstatus}{rang}"
