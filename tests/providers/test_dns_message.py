"""DNS messages of hostile servers: read right, or refused; never an exception of another kind, never for ever."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agi_lookup.domain.errors import ProviderProtocolError
from agi_lookup.providers.dns_message import MAX_RECORDS, Naptr, NaptrReply, decode_reply, encode_query

NAME: Final = "1.0.0.0.0.9.0.0.7.7.4.4.e164.arpa"
QUERY: Final = encode_query(NAME, 0x1234)
POINTER: Final = b"\xc0\x0c"  # to the question's name
RECORD: Final = Naptr(10, 50, "u", "E2U+pstn:tel", "!^.*$!tel:+447700900001;npdi!")


def label(name: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def naptr(record: Naptr = RECORD, replacement: bytes = b"\0") -> bytes:
    texts = (record.flags, record.service, record.regexp)
    return struct.pack("!HH", record.order, record.preference) + b"".join(
        bytes([len(text)]) + text.encode() for text in texts
    ) + replacement  # fmt: skip


def rr(content: bytes, *, owner: bytes = POINTER, kind: int = 35, ttl_s: int = 300, class_: int = 1) -> bytes:
    return owner + struct.pack("!HHIH", kind, class_, ttl_s, len(content)) + content


def soa(minimum_s: int) -> bytes:
    return label("ns.example") + label("root.example") + struct.pack("!5I", 1, 2, 3, 4, minimum_s)


def message(
    *answers: bytes, rcode: int = 0, authority: tuple[bytes, ...] = (), question: bytes = QUERY[12:], flags: int = 0x8180,
    message_id: int = 0x1234, questions: int = 1, count: int | None = None,
) -> bytes:  # fmt: skip
    counts = (questions, len(answers) if count is None else count, len(authority), 0)
    return struct.pack("!6H", message_id, flags | rcode, *counts) + question + b"".join((*answers, *authority))


def test_a_question_is_bare() -> None:
    """Vendors refuse an OPT record, and everything else that is not RFC 1035's question."""
    assert struct.unpack_from("!6H", QUERY) == (0x1234, 0x0100, 1, 0, 0, 0)
    assert QUERY[12:] == label(NAME) + struct.pack("!HH", 35, 1)


def test_records_come_with_the_shortest_of_their_lives() -> None:
    other = Naptr(20, 50, "U", "E2U+sip", "!^(.*)$!sip:\\1@ims.example!")
    reply = decode_reply(message(rr(naptr(), ttl_s=300), rr(naptr(other), ttl_s=60)), QUERY)
    assert reply == NaptrReply(0, (RECORD, other), ttl_s=60)


def test_an_alias_is_followed_within_the_answer() -> None:
    alias = rr(label("alias.example"), kind=5)
    assert decode_reply(message(alias, rr(naptr(), owner=label("ALIAS.example"))), QUERY) == NaptrReply(
        0, (RECORD,), 300
    )


def test_what_is_no_naptr_of_the_internet_is_passed_by() -> None:
    others = rr(b"\x7f\0\0\1", kind=1), rr(naptr(), class_=3), rr(b"\x03txt", kind=16)
    assert decode_reply(message(*others, rr(naptr())), QUERY) == NaptrReply(0, (RECORD,), 300)


def test_absence_lives_as_long_as_the_zone_says() -> None:
    """RFC 2308, section 5: the smaller of the SOA's TTL and its minimum."""
    for ttl_s, minimum_s, lives_s in ((300, 60, 60), (60, 300, 60)):
        data = message(rcode=3, authority=(rr(soa(minimum_s), kind=6, ttl_s=ttl_s),))
        assert decode_reply(data, QUERY) == NaptrReply(3, negative_ttl_s=lives_s)
    assert decode_reply(message(rcode=3), QUERY) == NaptrReply(3)


def test_a_ttl_with_its_highest_bit_is_none() -> None:
    """RFC 2181, section 8"""
    reply = decode_reply(message(rr(naptr(), ttl_s=2**31)), QUERY)
    assert reply is not None
    assert reply.ttl_s == 0


def test_an_error_may_come_without_its_question_and_with_records() -> None:
    assert decode_reply(message(rcode=1, question=b"", questions=0), QUERY) == NaptrReply(1)
    assert decode_reply(message(rr(naptr()), rcode=5), QUERY) == NaptrReply(5, (RECORD,), 300)


def test_what_was_cut_off_is_not_read() -> None:
    assert decode_reply(message(rr(naptr()), flags=0x8380), QUERY) == NaptrReply(0, truncated=True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x12\x34",
        message(rr(naptr()), message_id=0x1235),
        message(rr(naptr()), flags=0x0100),
        message(rr(naptr()), flags=0xA180),
        message(rr(naptr()), question=label("2.0.0.0.0.9.0.0.7.7.4.4.e164.arpa") + struct.pack("!HH", 35, 1)),
        message(rr(naptr()), question=label(NAME) + struct.pack("!HH", 16, 1)),
        message(rr(naptr()), question=b"", questions=0),
        message(rr(naptr()), question=QUERY[12:] * 2, questions=2),
        QUERY,
    ],
)
def test_what_is_no_reply_to_the_question_is_passed_by(data: bytes) -> None:
    """P8: a forger guesses ids; a late reply belongs to another question."""
    assert decode_reply(data, QUERY) is None


def test_the_question_may_come_back_in_other_letters() -> None:
    assert decode_reply(message(rr(naptr()), question=QUERY[12:].upper()), QUERY) is not None


CIRCLE = struct.pack("!H", 0xC000 | len(QUERY))


@pytest.mark.parametrize(
    "data",
    [
        message(rr(naptr(), owner=label("2.0.0.0.0.9.0.0.7.7.4.4.e164.arpa"))),  # P8: another number's
        message(rr(naptr(), owner=CIRCLE)),
        message(rr(naptr(), owner=b"\x01a" + CIRCLE)),
        message(rr(naptr(), owner=b"\xff\xff")),
        message(rr(naptr(), owner=b"\x40" + b"a" * 64 + b"\0")),
        message(rr(naptr(), owner=(b"\x3f" + b"a" * 63) * 5 + b"\0")),
        message(rr(naptr()), count=2),
        message(rr(naptr()), count=65535),
        message(rr(naptr())[:-1]),
        message(rr(naptr())[:20]),
        message(rr(b"\0\x0a\0\x32\xffshort")),
        message(rr(b"\0\x0a\0\x32\x01u")),
        message(rr(b"")),
        message(*[rr(b"", kind=16)] * (MAX_RECORDS + 1)),
        message(POINTER),
    ],
)
def test_a_broken_reply_is_a_bad_answer(data: bytes) -> None:
    """P7"""
    with pytest.raises(ProviderProtocolError):
        decode_reply(data, QUERY)


@given(st.binary(max_size=80), st.sampled_from([1, 2, 9, 65535]), st.integers(0, 15))
@example(b"\xc0\x0c" * 40, 65535, 0)
def test_no_bytes_raise_anything_else(tail: bytes, count: int, rcode: int) -> None:
    """P7"""
    with suppress(ProviderProtocolError):
        decode_reply(message(tail, count=count, rcode=rcode), QUERY)


@given(st.data())
def test_a_flipped_byte_makes_no_record_more(data: st.DataObject) -> None:
    whole = bytearray(message(rr(naptr()), authority=(rr(soa(60), kind=6),)))
    at = data.draw(st.integers(2, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    try:
        reply = decode_reply(bytes(whole), QUERY)
    except ProviderProtocolError:
        return
    assert reply is None or len(reply.records) <= 1
