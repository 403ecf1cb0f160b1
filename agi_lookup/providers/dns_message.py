"""DNS messages, as far as NAPTR lookups need them (RFC 1035, RFC 3403): a question to bytes, a reply to records. No I/O.

Questions go without EDNS: ENUM servers of vendors refuse what is not a bare RFC 1035 question
(https://www.infobip.com/docs/essentials/api-essentials/enum-integration-manual: ARCOUNT must be 0).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from agi_lookup.domain.errors import ProviderProtocolError

MAX_RECORDS: Final = 64
MAX_TTL_S: Final = 2**31 - 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3

_HEADER: Final = struct.Struct("!6H")
_RECORD: Final = struct.Struct("!HHIH")  # type, class, TTL, length
_IN: Final = 1
_CNAME: Final = 5
_SOA: Final = 6
_NAPTR: Final = 35
_QUERY: Final = 0x0100  # recursion desired
_IS_REPLY: Final = 0x8000
_OPCODE: Final = 0x7800
_TRUNCATED: Final = 0x0200
_POINTER: Final = 0xC0
_SOA_FIXED: Final = 20
_MAX_NAME: Final = 255

Name = tuple[bytes, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Naptr:
    """RFC 3403, section 4. Without `replacement`: a terminal rule has none."""

    order: int
    preference: int
    flags: str
    service: str
    regexp: str


@dataclass(frozen=True, slots=True)
class NaptrReply:
    """What a server said. TTLs are seconds; `negative_ttl_s` (RFC 2308) is None when the server states none."""

    rcode: int
    records: tuple[Naptr, ...] = ()
    ttl_s: int | None = None
    negative_ttl_s: int | None = None
    truncated: bool = False


def encode_query(name: str, message_id: int) -> bytes:
    """`name` is ASCII, of labels that were checked when the config was read."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return _HEADER.pack(message_id, _QUERY, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", _NAPTR, _IN)


def decode_reply(data: bytes, query: bytes) -> NaptrReply | None:
    """None: no reply to this query. Raises `ProviderProtocolError` for one that is malformed, or speaks of another name."""
    if len(data) < _HEADER.size or data[:2] != query[:2]:
        return None
    _, flags, questions, answers, authorities, _ = _HEADER.unpack_from(data)
    rcode = flags & 0xF
    if not flags & _IS_REPLY or flags & _OPCODE or not _same_question(data, query, questions, rcode):
        return None
    if flags & _TRUNCATED:
        return NaptrReply(rcode, truncated=True)
    if answers + authorities > MAX_RECORDS:
        raise ProviderProtocolError("too many records")
    try:
        message = _Message(data, len(query) if questions else _HEADER.size)
        owner, _ = _name(query, _HEADER.size)
        return _reply(message, rcode, owner, answers, authorities)
    except (struct.error, IndexError):
        pass
    raise ProviderProtocolError("a malformed DNS message")


def _same_question(data: bytes, query: bytes, questions: int, rcode: int) -> bool:
    """Some servers leave the question out of an error."""
    if questions == 0:
        return rcode != 0
    return questions == 1 and data[_HEADER.size : len(query)].lower() == query[_HEADER.size :].lower()


class _Message:
    """Reads records one after the other. Raises `IndexError` or `struct.error` at the end of the data."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self._at = at

    def record(self) -> tuple[Name, int, int, int, bytes]:
        """Owner, type, TTL, where its data begins, and its data. Records of another class have type 0."""
        owner, at = _name(self.data, self._at)
        kind, class_, ttl_s, length = _RECORD.unpack_from(self.data, at)
        start = at + _RECORD.size
        self._at = start + length
        if self._at > len(self.data):
            raise IndexError
        # RFC 2181, section 8: a TTL with its highest bit set is none.
        return (
            owner,
            kind if class_ == _IN else 0,
            ttl_s if ttl_s <= MAX_TTL_S else 0,
            start,
            self.data[start : self._at],
        )


def _reply(message: _Message, rcode: int, owner: Name, answers: int, authorities: int) -> NaptrReply:
    records, ttls, owners = [], [], {owner}
    for _ in range(answers):
        name, kind, ttl_s, start, content = message.record()
        if kind == _CNAME and name in owners:
            owners.add(_name(message.data, start)[0])
        elif kind == _NAPTR:
            if name not in owners:
                raise ProviderProtocolError("a record of another name")
            records.append(_naptr(content))
            ttls.append(ttl_s)
    negative_ttl_s = None
    for _ in range(authorities):
        _, kind, ttl_s, _, content = message.record()
        if kind == _SOA and len(content) > _SOA_FIXED:
            negative_ttl_s = min(ttl_s, int.from_bytes(content[-4:]))
    return NaptrReply(rcode, tuple(records), min(ttls, default=None), negative_ttl_s)


def _naptr(content: bytes) -> Naptr:
    order, preference = struct.unpack_from("!HH", content)
    texts, at = [], 4
    for _ in range(3):
        end = at + 1 + content[at]
        if end > len(content):
            raise IndexError
        texts.append(content[at + 1 : end].decode("utf-8", "replace"))
        at = end
    return Naptr(order, preference, *texts)


def _name(data: bytes, at: int) -> tuple[Name, int]:
    """A name in lower case, and where it ends. Pointers lead backwards only, so that none can run in circles."""
    labels: list[bytes] = []
    end, lowest, size = 0, at, 0
    while length := data[at]:
        if length >= _POINTER:
            end = end or at + 2
            at = (length & 0x3F) << 8 | data[at + 1]
            if at >= lowest:
                raise IndexError
            lowest = at
            continue
        label = data[at + 1 : at + 1 + length]
        size += 1 + length
        if length > 63 or len(label) < length or size > _MAX_NAME:
            raise IndexError
        labels.append(label.lower())
        at += 1 + length
    return tuple(labels), end or at + 1
