"""Bodies on disk and lines for people: what is not exactly an entry is refused, with the reason."""

from __future__ import annotations

import json
import zlib
from dataclasses import fields, replace
from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.cache.base import CacheEntry, Outcome
from agi_lookup.cache.codec import BODY, MAX_BODY_BYTES, BadEntry, from_line, pack, to_line, unpack
from agi_lookup.domain.model import Facet, Identity, Liveness, Method
from tests.cache.entries import NOW, NUMBER, identity, liveness
from tests.fakes import ALIVE, KNOWN

FORMAT_1 = {
    identity(): (
        "0186c139d399ad2b343437343030313233343536a86964656e74697479a8706f736974697665a466616b65a3686c72cb41d9"
        "54fc40000000cb41d95550a0000000cb41d9579f400000009dae4578616d706c65204d6f62696c65a3323334a23135c0c0c0"
        "a3796573c0a7756e6b6e6f776ec0c0c0c0"
    ),
    liveness(): (
        "01a761c9e999ad2b343437343030313233343536a86c6976656e657373a8706f736974697665a466616b65a3686c72cb41d9"
        "54fc40000000cb41d954fd21000000cb41d954fd2100000094a3796573a26f6ba3796573a7756e6b6e6f776e"
    ),
}


def bodies() -> st.SearchStrategy[Identity | Liveness]:
    texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    hints = {name: hint for domain in BODY.values() for name, hint in get_type_hints(domain).items()}
    of = {name: texts if hint == str | None else st.sampled_from(list(hint)) for name, hint in hints.items()}
    return st.one_of(*(st.builds(d, **{f.name: of[f.name] for f in fields(d)}) for d in BODY.values()))


def entries() -> st.SearchStrategy[CacheEntry]:
    def entry(
        body: Identity | Liveness, times: list[float], outcome: Outcome, provider: str, method: Method
    ) -> CacheEntry:
        first, second, third = sorted(times)
        facet = Facet.IDENTITY if isinstance(body, Identity) else Facet.LIVENESS
        return CacheEntry(
            number=NUMBER, facet=facet, outcome=outcome, provider=provider, method=method,
            observed_at=first, fresh_until=second, stale_until=third, body=body,
        )  # fmt: skip

    times = st.lists(st.floats(-9e10, 9e10), min_size=3, max_size=3)
    providers = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    return st.builds(entry, bodies(), times, st.sampled_from(Outcome), providers, st.sampled_from(Method))


@given(entries())
def test_a_body_reads_back_equal(entry: CacheEntry) -> None:
    assert unpack(entry.number, entry.facet, pack(entry)) == entry


@given(entries())
def test_a_line_reads_back_equal_and_is_one_line(entry: CacheEntry) -> None:
    line = to_line(entry)

    assert line.count(b"\n") == 1
    assert from_line(line) == entry


@pytest.mark.parametrize("entry", FORMAT_1, ids=lambda entry: entry.facet)
def test_bodies_of_format_1_stay_readable(entry: CacheEntry) -> None:
    """Written by the first release. When this fails, a domain type changed its order: raise `FORMAT` or put the field last."""
    assert unpack(entry.number, entry.facet, bytes.fromhex(FORMAT_1[entry])) == entry


def test_a_body_from_before_a_field_was_added_has_its_default() -> None:
    """Fields are added at the end, so an older body is a shorter array."""
    assert unpack(NUMBER, Facet.LIVENESS, sealed(packed(body=["yes", "ok", "yes"]))).body == ALIVE


def packed(**changes: Any) -> list[Any]:
    row = {
        "number": NUMBER, "facet": "liveness", "outcome": "positive", "provider": "fake", "method": "hlr",
        "observed_at": NOW, "fresh_until": NOW + 900, "stale_until": NOW + 900, "body": ["yes", "ok", "yes", "unknown"],
    }  # fmt: skip
    return list((row | changes).values())


def sealed(row: object) -> bytes:
    """With a format and a right checksum: poison of someone who can compute."""
    payload = msgspec.msgpack.encode(row)
    return b"\x01" + zlib.crc32(payload).to_bytes(4) + payload


def test_what_these_tests_poison_is_an_entry() -> None:
    assert unpack(NUMBER, Facet.LIVENESS, sealed(packed())) == liveness()


POISON = {
    "nothing": b"",
    "one byte": b"\x01",
    "text": b"hello, this is no entry",
    "JSON": b'{"number":"+447400123456"}',
    "another format": b"\x02" + pack(liveness())[1:],
    "cut short": pack(liveness())[:-1],
    "something behind it": pack(liveness()) + b"\x00",
    "another number's": pack(liveness("+447400123457")),
    "another facet's": pack(identity()),
    "not an array": sealed({"number": NUMBER}),
    "too few fields": sealed(packed()[:5]),
    "a number for a text": sealed(packed(number=447400123456)),
    "a newline in the number": sealed(packed(number=NUMBER + "\n")),
    "an outcome that is none": sealed(packed(outcome="maybe")),
    "a reason that is none": sealed(packed(body=["yes", "because", "yes", "no"])),
    "a time that is none": sealed(packed(stale_until=float("nan"))),
    "an end of never": sealed(packed(stale_until=float("inf"))),
    "an end before the beginning": sealed(packed(fresh_until=NOW - 1, stale_until=NOW - 1)),
    "a body of one text": sealed(packed(body="yes")),
    "nested without end": sealed(packed())[:5] + b"\x91" * 1_500,
}


@pytest.mark.parametrize("name", POISON)
def test_poison_is_refused(name: str) -> None:
    """C15."""
    with pytest.raises(BadEntry):
        unpack(NUMBER, Facet.LIVENESS, POISON[name])


@given(st.data())
def test_any_flipped_bit_is_noticed(data: st.DataObject) -> None:
    """C10: a fact that rotted on the disk is a miss, never a wrong fact."""
    body = bytearray(pack(identity()))
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    body[bit // 8] ^= 1 << bit % 8

    with pytest.raises(BadEntry):
        unpack(NUMBER, Facet.IDENTITY, bytes(body))


@given(st.binary(max_size=300))
def test_any_bytes_are_an_entry_or_refused(body: bytes) -> None:
    with pytest.raises(BadEntry):
        unpack(NUMBER, Facet.IDENTITY, body)


@pytest.mark.parametrize(
    "entry",
    [
        identity("447400123456"),
        identity("+0447400123456"),
        identity("+44740012345٦"),
        identity("+447400123456\n"),
        identity(""),
        identity("+" + "4" * 16),
        identity(body=replace(KNOWN, carrier="\ud800")),
        msgspec.structs.replace(identity(), provider="\udfff"),
        msgspec.structs.replace(identity(), body=ALIVE),
        msgspec.structs.replace(identity(), stale_until=NOW),
        identity(observed_at=float("nan")),
        msgspec.structs.replace(identity(), observed_at=float("-inf")),
    ],
    ids=lambda entry: ascii(f"{entry.number} {entry.observed_at}"),
)
def test_what_no_source_may_say_is_not_kept(entry: CacheEntry) -> None:
    with pytest.raises(BadEntry):
        pack(entry)


def test_a_huge_body_is_not_kept() -> None:
    """C15: 10 MB of carrier name; and just above the bound."""
    for size in (MAX_BODY_BYTES, 10_000_000):
        with pytest.raises(BadEntry, match="too large"):
            pack(identity(body=replace(KNOWN, carrier="x" * size)))


def line(**changes: Any) -> bytes:
    return json.dumps(json.loads(to_line(identity())) | changes).encode()


BAD_LINES = {
    b"": "truncated",
    b"\n": "truncated",
    b"null": "Expected `object`",
    b"[1]": "Expected `object`",
    b"{": "truncated",
    b"\xff\xfe": "malformed",
    line() + line(): "trailing",
    line(number="447400123456"): "number is not",
    line(number=447400123456): r"\$\.number",
    line(facet="colour"): r"\$\.facet",
    line(facet="liveness"): "unknown names: carrier",
    line(body={"carrier": 7}): r"\$\.carrier",
    line(body={"carier": "Example"}): "unknown names: carier",
    line(body=None): "Expected",
    line(observed_at="yesterday"): r"\$\.observed_at",
    line(observed_at=9e99): "times are not in order",
    line(colour="red"): "unknown field",
    line(body={"carrier": "x" * 3000}): "too large",
    line().replace(b'"fake"', b'"\\ud800"'): "malformed|truncated",
    b'{"body":' + b"[" * 60_000: "recursion",
}


@pytest.mark.parametrize("bad", BAD_LINES, ids=lambda bad: bad[:40].decode("latin1"))
def test_a_bad_line_is_refused_and_says_why(bad: bytes) -> None:
    with pytest.raises(BadEntry, match=BAD_LINES[bad]):
        from_line(bad)
