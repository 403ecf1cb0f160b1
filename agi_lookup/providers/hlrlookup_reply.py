"""What an HLR Lookup reply holds, before any of it is believed: results, whose they are, and errors.

An error is a word of capitals, of the whole request or of one number alike; what the HTTP status is then, no page says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final, TypeAlias

from agi_lookup.domain.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderFailedNumber,
    ProviderOutcomeUnknown,
    ProviderOutOfCredit,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderRejected,
)
from agi_lookup.providers.base import HttpReply
from agi_lookup.providers.replies import Json, digits, raise_for_status, retry_after_s, strict_json

Record: TypeAlias = Mapping[str, Json]

MAX_WORD: Final = 64

throttled: Final = partial(ProviderRateLimited, scope="network")
ERRORS: Final[Mapping[str, Callable[..., ProviderError]]] = MappingProxyType({
    "UNAUTHORIZED": ProviderAuthError,
    "BAD_REQUEST": ProviderRejected,
    "INSUFFICIENT_CREDIT": ProviderOutOfCredit,
    "TOO_MANY_REQUESTS": throttled,
})  # fmt: skip
"""Of a whole request or of one number alike. Any other word, INTERNAL_ERROR among them, is trouble of the vendor's own."""
FINE: Final = frozenset({"", "NONE", "OK"})


def opened(reply: HttpReply) -> Record:
    """The object of a reply, out of its wrapper. Empty when there is none; raises when a good reply is no JSON at all."""
    try:
        found = strict_json(reply.body)
    except ProviderProtocolError:
        if 200 <= reply.status < 300:
            raise
        return {}
    inner = found.get("body") if isinstance(found, dict) else None
    return next((record for record in (inner, found) if isinstance(record, dict)), {})


def results_of(reply: HttpReply, now: float) -> tuple[Sequence[Json], ProviderError | None]:
    """The results, and what to think of a number that none names. Raises what the whole request met.

    Whether a 429 may spoil a part of a batch only, no page says: results that come with it are taken, they may be paid for.
    """
    found = opened(reply)
    trouble = trouble_of(reply, error_word(found.get("error")), now)
    results = found.get("results")
    if isinstance(results, list) and (trouble is None or isinstance(trouble, ProviderRateLimited)):
        return results, trouble
    raise trouble or ProviderProtocolError("no list of results")


def trouble_of(reply: HttpReply, error: str, now: float) -> ProviderError | None:
    """What ails the whole request: by its word, else by its status."""
    wait_s = retry_after_s(reply.headers, now)
    if error in ERRORS:
        return ERRORS[error](error.lower(), retry_after_s=wait_s)
    if reply.status == 429:
        return throttled("HTTP 429", retry_after_s=wait_s)
    try:
        raise_for_status(reply, now)
    except ProviderError as by_status:
        return by_status
    return None if error in FINE else ProviderOutcomeUnknown("an error that is not listed")


def failure_of(records: Sequence[Record]) -> ProviderError | None:
    """What the vendor says that it failed at, first of all."""
    for record in records:
        error = error_word(record.get("error"))
        if error in ERRORS:
            return ERRORS[error](error.lower())
        if error not in FINE:
            return ProviderFailedNumber(
                "internal_error" if error == "INTERNAL_ERROR" else "an error that is not listed"
            )
    return None


def by_number(results: Sequence[Json]) -> tuple[Mapping[str, Sequence[Record]], Sequence[Record]]:
    """Results under the E.164 number that each names, and those that name none. One that names two is nobody's."""
    named: dict[str, list[Record]] = {}
    nameless: list[Record] = []
    for record in results:
        if not isinstance(record, dict):
            continue
        match sorted(_stated_numbers(record)):
            case []:
                nameless.append(record)
            case [number]:
                named.setdefault(f"+{number}", []).append(record)
    return named, nameless


def _stated_numbers(record: Record) -> set[str]:
    parameters = record.get("request_parameters")
    asked = parameters.get("telephone_number") if isinstance(parameters, dict) else None
    found = (_msisdn(asked), _msisdn(record.get("detected_telephone_number")))
    return {number for number in found if number}


def _msisdn(stated: Json) -> str | None:
    return digits(stated.strip().removeprefix("+") if isinstance(stated, str) else stated, 7, 15)


def word(value: Json) -> str:
    return value[:MAX_WORD].strip().upper() if isinstance(value, str) else ""


def error_word(value: Json) -> str:
    """Empty when nothing is stated; a value that is no word is an error like any other."""
    return word(value) if value is None or isinstance(value, str) else "UNREADABLE"
