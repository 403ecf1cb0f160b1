"""What one instance tells those that wait for the same number: an answer, or why there is none. Believed when it fits."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from typing import Final

import msgspec

from agi_lookup.cache.codec import LAST_TIME, MAX_BODY_BYTES
from agi_lookup.domain.errors import (
    ProviderError,
    ProviderFailedNumber,
    ProviderNotCovered,
    ProviderOutcomeUnknown,
    ProviderProtocolError,
    ProviderRejected,
    ProviderTimeout,
)
from agi_lookup.domain.model import LookupAnswer

FORMAT: Final = 1
"""Goes up with each change of `LookupAnswer` that older versions cannot read: a part of the key."""
_ANSWER: Final = b"A"
_ERROR: Final = b"E"
_ERRORS: Final[dict[str, type[ProviderError]]] = {
    error.code: error
    for error in (
        ProviderFailedNumber,
        ProviderNotCovered,
        ProviderOutcomeUnknown,
        ProviderProtocolError,
        ProviderRejected,
        ProviderTimeout,
    )
}
"""Those that speak of the number, and that an instance remembers."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(LookupAnswer).decode


def answer_to_bytes(answer: LookupAnswer) -> bytes:
    """Empty for what cannot be told. Without money: that is the matter of who paid."""
    try:
        body = _encode(replace(answer, cost=None, currency=None, balance_after=None))
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return b""
    return _ANSWER + body if len(body) < MAX_BODY_BYTES else b""


def error_to_bytes(error: ProviderError) -> bytes:
    """Empty for what concerns this instance alone, or will soon be another's to try."""
    return _ERROR + error.code.encode() if error.remember_s and error.code in _ERRORS else b""


def from_bytes(said: bytes, provider: str, number: str) -> LookupAnswer | ProviderError | None:
    """None: nothing was told yet, or nothing that is to be believed of this number and source."""
    if said[:1] == _ERROR:
        error = _ERRORS.get(said[1:].decode("ascii", "replace"))
        return error("another instance was told so") if error else None
    if said[:1] != _ANSWER or len(said) > MAX_BODY_BYTES:
        return None
    try:
        answer = _decode(said[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if answer.number != number or answer.provider != provider:
        return None
    if not (isfinite(answer.observed_at) and 0 <= answer.observed_at < LAST_TIME):
        return None
    return replace(answer, cost=None, currency=None, balance_after=None)
