"""How entries are written: a checked binary body for the disk, a JSON line for people.

A binary body is a format byte, a CRC-32 and msgpack. It holds its number, and the checksum covers all of it, so that a flipped
bit or a row under the wrong key is a miss and never a wrong fact. msgpack has dataclasses as maps with names only, thrice the
size; so each domain type has an array-shaped twin made from its fields. New fields go to the end of a domain type, or `FORMAT`
goes up.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import MISSING, fields
from typing import Any, Final, get_type_hints

import msgspec

from agi_lookup.cache.base import CacheEntry, Outcome
from agi_lookup.domain.errors import CacheError
from agi_lookup.domain.model import Facet, Identity, Liveness, Method

FORMAT: Final = 1
MAX_BODY_BYTES: Final = 2_048
"""A real body has about 110; what is larger is no fact about a number."""

LAST_TIME: Final = 1e11
"""The year 5138: times stay within what every column can hold."""

BODY: Final[dict[Facet, type[Identity | Liveness]]] = {Facet.IDENTITY: Identity, Facet.LIVENESS: Liveness}

_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_HEAD_BYTES: Final = 5  # format and checksum
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class BadEntry(CacheError):
    """These bytes are no entry, or not this number's. The text names no number."""


def _twin(domain: type[Any]) -> type[msgspec.Struct]:
    hints = get_type_hints(domain)
    if any(field.default is MISSING for field in fields(domain)):
        raise TypeError(f"{domain.__name__} needs a default for every field, so that old bodies can be read")
    columns = [(field.name, hints[field.name], field.default) for field in fields(domain)]
    return msgspec.defstruct(f"{domain.__name__}Row", columns, array_like=True, frozen=True, gc=False)


class _Fields(msgspec.Struct, frozen=True, gc=False):
    """A `CacheEntry` whose body is decoded last, because its type depends on the facet."""

    number: str
    facet: Facet
    outcome: Outcome
    provider: str
    method: Method
    observed_at: float
    fresh_until: float
    stale_until: float
    body: msgspec.Raw


class _Packed(_Fields, frozen=True, array_like=True, gc=False):
    pass


class _Line(_Fields, frozen=True, forbid_unknown_fields=True, gc=False):
    pass


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Packed).decode
_TWINS: Final = {facet: _twin(domain) for facet, domain in BODY.items()}
_decode_body: Final = {facet: msgspec.msgpack.Decoder(twin).decode for facet, twin in _TWINS.items()}
_decode_line: Final = msgspec.json.Decoder(_Line).decode


def is_e164(number: str) -> bool:
    return _NUMBER.fullmatch(number) is not None


def check(entry: CacheEntry) -> None:
    """Refuse what no source may have said. Raises `BadEntry`."""
    if not is_e164(entry.number):
        raise BadEntry("number is not + and 7 to 15 digits")
    if type(entry.body) is not BODY[entry.facet]:
        raise BadEntry("body is of the other facet")
    if not -LAST_TIME < entry.observed_at <= entry.fresh_until <= entry.stale_until < LAST_TIME:  # refuses NaN too
        raise BadEntry("times are not in order")


def pack(entry: CacheEntry) -> bytes:
    """The body for the disk. Raises `BadEntry` for what may not be kept."""
    check(entry)
    try:
        payload = _encode(_packed(entry))
    except UnicodeEncodeError as error:
        raise BadEntry("text with half a surrogate pair") from error
    if len(payload) + _HEAD_BYTES > MAX_BODY_BYTES:
        raise BadEntry("body is too large")
    return bytes([FORMAT]) + zlib.crc32(payload).to_bytes(4) + payload


def unpack(number: str, facet: Facet, body: bytes) -> CacheEntry:
    """The entry in `body`, which must be this number's and this facet's. Raises `BadEntry`."""
    payload = body[_HEAD_BYTES:]
    if body[:1] != bytes([FORMAT]) or body[1:_HEAD_BYTES] != zlib.crc32(payload).to_bytes(4):
        raise BadEntry("unknown format or wrong checksum")
    try:
        packed = _decode(payload)
        row = _decode_body[packed.facet](packed.body)
    except _UNREADABLE as error:
        raise BadEntry("not an entry") from error
    if packed.number != number or packed.facet is not facet:
        raise BadEntry("another number's or facet's")
    return _entry(packed, msgspec.convert(row, BODY[facet], from_attributes=True))


def to_line(entry: CacheEntry) -> bytes:
    """One line of JSON, with its newline."""
    return msgspec.json.encode(entry) + b"\n"


def from_line(line: bytes) -> CacheEntry:
    """Strict: unknown names, wrong types and impossible values raise `BadEntry`, which says what is wrong."""
    try:
        parsed = _decode_line(line)
        domain = BODY[parsed.facet]
        unknown = msgspec.json.decode(parsed.body, type=dict[str, Any]).keys() - {f.name for f in fields(domain)}
        body = msgspec.json.decode(parsed.body, type=domain)
    except _UNREADABLE as error:
        raise BadEntry(str(error)) from None
    if unknown:
        raise BadEntry(f"body has unknown names: {', '.join(sorted(unknown))[:100]}")
    entry = _entry(parsed, body)
    pack(entry)
    return entry


def _packed(entry: CacheEntry) -> _Packed:
    return _Packed(
        entry.number,
        entry.facet,
        entry.outcome,
        entry.provider,
        entry.method,
        entry.observed_at,
        entry.fresh_until,
        entry.stale_until,
        msgspec.Raw(_encode(msgspec.convert(entry.body, _TWINS[entry.facet], from_attributes=True))),
    )


def _entry(row: _Fields, body: Identity | Liveness) -> CacheEntry:
    entry = CacheEntry(
        number=row.number,
        facet=row.facet,
        outcome=row.outcome,
        provider=row.provider,
        method=row.method,
        observed_at=row.observed_at,
        fresh_until=row.fresh_until,
        stale_until=row.stale_until,
        body=body,
    )
    check(entry)
    return entry
