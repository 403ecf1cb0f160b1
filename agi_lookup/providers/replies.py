"""How providers read what vendors say: strict about form, lenient about types, and never a false out of an unknown.

Every byte here is hostile. `strict_json` and `raise_for_status` raise `ProviderError` only; the readers (`tri`, `text`,
`digits` ...) take any JSON value and never raise. No error text repeats what the vendor sent.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, DecimalException
from email.utils import parsedate_to_datetime
from typing import Final, Literal, NoReturn, TypeAlias

from agi_lookup.domain.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderFailedNumber,
    ProviderNotCovered,
    ProviderOutcomeUnknown,
    ProviderOutOfCredit,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
)
from agi_lookup.domain.model import Tri
from agi_lookup.providers.base import Charged, HttpReply

Json: TypeAlias = "bool | int | Decimal | str | list[Json] | dict[str, Json] | None"

MAX_DEPTH: Final = 32
"""No vendor nests deeper than 5; Python's own limit is about 1,000."""
MAX_INT_DIGITS: Final = 20
"""Longer than any number, id or time in nanoseconds; Python refuses to print integers of more than 4,300 digits."""
MAX_TEXT: Final = 128
"""Characters of a name: what a channel variable holds."""
MAX_RETRY_AFTER_S: Final = 3600.0

ErrorWord: TypeAlias = Literal[
    "auth", "out_of_credit", "rate_limited", "not_covered", "rejected", "provider_failure", "unavailable", "lost_reply"
]
"""What a config may say that a vendor's own code means."""
ERRORS: Final[Mapping[ErrorWord, type[ProviderError]]] = {
    "auth": ProviderAuthError,
    "out_of_credit": ProviderOutOfCredit,
    "rate_limited": ProviderRateLimited,
    "not_covered": ProviderNotCovered,
    "rejected": ProviderRejected,
    "provider_failure": ProviderFailedNumber,
    "unavailable": ProviderUnavailable,
    "lost_reply": ProviderOutcomeUnknown,
}


class ChargedAbsence(Charged, ProviderNotCovered):
    """Not covered, and charged for as any other."""

    maybe_charged = True


class ChargedRejection(Charged, ProviderRejected):
    """Rejected, and charged for as any other."""

    maybe_charged = True


class ChargedFailure(Charged, ProviderFailedNumber):
    """Its price is known at least."""


_CHARGED: Final[Mapping[type[ProviderError], type[ChargedAbsence | ChargedRejection | ChargedFailure]]] = {
    ProviderNotCovered: ChargedAbsence,
    ProviderRejected: ChargedRejection,
    ProviderFailedNumber: ChargedFailure,
}

TRUE_WORDS: Final = frozenset({"true", "yes", "y", "1"})
FALSE_WORDS: Final = frozenset({"false", "no", "n", "0"})
AMOUNT: Final = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?")


def strict_json(body: bytes) -> Json:
    """One JSON text in UTF-8 (RFC 8259) without BOM, NaN, duplicate keys, lone surrogates or absurd numbers and depth.

    Numbers with a fraction or exponent come as `Decimal`. Raises `ProviderProtocolError`.
    """
    try:
        value: Json = _strict(body.decode("utf-8"))
        if b"\\u" in body or body.count(b"{") + body.count(b"[") > MAX_DEPTH:
            _check(value)  # only an escape can hide a lone surrogate, only many brackets nest deep
    except (ValueError, RecursionError, DecimalException) as error:
        failure = type(error).__name__
    else:
        return value
    raise ProviderProtocolError(f"no strict JSON: {failure}")


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _integer(literal: str) -> int:
    if len(literal) > MAX_INT_DIGITS:
        raise ValueError("too many digits")
    return int(literal)


def _decimal(literal: str) -> Decimal:
    number = Decimal(literal)
    if abs(number.adjusted()) > MAX_INT_DIGITS or len(literal) > 2 * MAX_INT_DIGITS:
        raise ValueError("too many digits")
    return number


def _no_constant(_literal: str) -> NoReturn:
    raise ValueError("NaN or Infinity")


_strict: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_decimal, parse_constant=_no_constant
).decode
"""Made once: `json.loads` makes a decoder for each text."""


def _check(value: Json, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deep")
    if isinstance(value, str):
        value.encode()  # raises UnicodeEncodeError for a lone surrogate
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check(key)
            _check(item, depth + 1)


STATUS_ERRORS: Final[Mapping[int, type[ProviderError]]] = {
    401: ProviderAuthError,
    402: ProviderOutOfCredit,
    403: ProviderAuthError,
    408: ProviderUnavailable,  # RFC 9110 15.5.9: the request did not arrive whole, so nothing was done
    429: ProviderRateLimited,
}


def raise_for_status(reply: HttpReply, now: float) -> None:
    """Raise what an HTTP status outside 2xx means where the vendor does not say otherwise.

    5xx is an unknown outcome: a gateway may have passed the request on, a server may have billed before it broke.
    A redirect is a broken vendor (`ProviderProtocolError`): credentials follow nobody.
    """
    if 200 <= reply.status < 300:
        return
    raise _status_error(reply.status)(f"HTTP {reply.status}", retry_after_s=retry_after_s(reply.headers, now))


def _status_error(status: int) -> type[ProviderError]:
    if status >= 500:
        return ProviderOutcomeUnknown
    if status < 400:
        return ProviderProtocolError
    return STATUS_ERRORS.get(status, ProviderRejected)


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that `Retry-After` asks for, at most `MAX_RETRY_AFTER_S`; None when absent or senseless. `now` is Unix seconds."""
    value = headers.get("retry-after", "").strip()[:64]
    seconds = float(value) if re.fullmatch(r"[0-9]{1,20}", value) else _seconds_to(value, now)
    return None if seconds is None or seconds < 0 else min(seconds, MAX_RETRY_AFTER_S)


def _seconds_to(http_date: str, now: float) -> float | None:
    try:
        when = parsedate_to_datetime(http_date)
    except (ValueError, OverflowError):
        return None
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return (aware - datetime.fromtimestamp(now, UTC)).total_seconds()


def with_cost(failure: ProviderError, cost: Decimal | None) -> ProviderError:
    """`failure` of one number, as one that counts as charged where the vendor says that it charged for it all the same."""
    kind = _CHARGED.get(type(failure))
    if kind is None or not cost:
        return failure
    charged = kind(str(failure))
    charged.cost = cost
    return charged


def tri(value: Json) -> Tri:
    """true, "true", "YES", 1, "1" -> YES; their opposites -> NO; whatever else (null, absent, a new word) -> UNKNOWN."""
    if not isinstance(value, (str, int)):
        return Tri.UNKNOWN
    word = str(value).strip().lower()
    if word in TRUE_WORDS:
        return Tri.YES
    return Tri.NO if word in FALSE_WORDS else Tri.UNKNOWN


def text(value: Json, max_length: int = MAX_TEXT) -> str | None:
    """A name in one clean line: controls, direction marks and unassigned characters dropped, blanks joined. Empty is None."""
    if not isinstance(value, str):
        return None
    if (
        value.isascii() and value.isprintable() and len(value) <= max_length
    ):  # nearly all: joining the blanks is all there is to do
        return " ".join(value.split()) or None
    kept = (
        " " if c.isspace() else c for c in value[: 8 * max_length] if c.isspace() or unicodedata.category(c)[0] != "C"
    )
    return " ".join("".join(kept).split())[:max_length].rstrip() or None


def word(value: Json, max_length: int = 16) -> str | None:
    """A code of ASCII letters and digits (OCN, SPID, ISO country). An integer is none: it has lost its zeros."""
    if not isinstance(value, str):
        return None
    stripped = value.strip()
    return stripped if stripped.isascii() and stripped.isalnum() and len(stripped) <= max_length else None


def digits(value: Json, shortest: int, longest: int) -> str | None:
    """ASCII digits, from a string or from an integer. Use it for integers only where the first digit is never 0."""
    if not isinstance(value, str):
        if type(value) is not int:  # a bool is an int too
            return None
        value = str(value)
    stripped = value.strip()
    known = shortest <= len(stripped) <= longest and stripped.isascii() and stripped.isdigit()
    return stripped if known else None


def integer(value: Json) -> int | None:
    """A small number that is not negative: an error code, a count."""
    found = digits(value, 1, 6)
    return None if found is None else int(found)


def amount(value: Json) -> Decimal | None:
    """Money or credits, exact; None for anything that is not a plain decimal number."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    literal = f"{value:f}" if isinstance(value, Decimal) else str(value).strip()
    return Decimal(literal) if AMOUNT.fullmatch(literal) else None


def network(mcc: Json, mnc: Json) -> tuple[str, str] | None:
    """(MCC, MNC) with their zeros. An MNC that came as an integer is not believed: 1 may have been "01" or "001"."""
    country, code = digits(mcc, 3, 3), digits(mnc, 2, 3)
    return (country, code) if country and code and isinstance(mnc, str) else None
