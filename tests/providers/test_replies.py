"""How vendors' words are read: strict about form, lenient about types, never a false out of an unknown."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.domain.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderFailedNumber,
    ProviderNotCovered,
    ProviderProtocolError,
    ProviderRejected,
)
from agi_lookup.domain.model import Tri
from agi_lookup.providers.base import Charged, HttpReply
from agi_lookup.providers.replies import (
    MAX_RETRY_AFTER_S,
    Json,
    amount,
    digits,
    integer,
    network,
    raise_for_status,
    retry_after_s,
    strict_json,
    text,
    tri,
    with_cost,
    word,
)
from tests.providers.garbage import NO_ANSWER, NO_STRICT_JSON

NOW = 1_767_225_600.0  # Thu, 01 Jan 2026 00:00:00 GMT

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**19), 10**19) | st.decimals(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("body", NO_STRICT_JSON.values(), ids=NO_STRICT_JSON)
def test_what_is_no_strict_json_is_refused(body: bytes) -> None:
    """P7, S10"""
    with pytest.raises(ProviderProtocolError) as caught:
        strict_json(body)
    assert caught.value.__context__ is None  # it would hold the body


@pytest.mark.parametrize("body", NO_ANSWER.values(), ids=NO_ANSWER)
def test_every_kind_of_json_is_read(body: bytes) -> None:
    strict_json(body)


def test_numbers_keep_what_was_written() -> None:
    assert strict_json(b'{"a": 0.10, "b": 12345678901234567890, "c": -1e2}') == {
        "a": Decimal("0.10"), "b": 12345678901234567890, "c": Decimal("-1E+2"),
    }  # fmt: skip


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_bad_answer(body: bytes) -> None:
    """P7"""
    with suppress(ProviderProtocolError):
        strict_json(body)


YES: list[Json] = [True, 1, "1", "true", "TRUE", " True ", "yes", "Y"]
NO: list[Json] = [False, 0, "0", "false", "No", "N"]
UNKNOWN: list[Json] = [None, "", "undetermined", "null", "maybe", 2, -1, Decimal("1.0"), [], {}, [True], "ｔｒｕｅ"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [*((v, Tri.YES) for v in YES), *((v, Tri.NO) for v in NO), *((v, Tri.UNKNOWN) for v in UNKNOWN)],
)
def test_only_a_stated_no_is_a_no(value: Json, expected: Tri) -> None:
    """P9"""
    assert tri(value) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("  Example\r\nMobile ", "Example Mobile"),
        ("a\x00b\x1b[31mc\u202ed\u200be\ufeff", "ab[31mcde"),
        ("Télécom \U0001f600", "Télécom \U0001f600"),
        ("x" * 1000, "x" * 128),
        ("\u3000\u2028 ", None),
        ("", None),
        (None, None),
        (5, None),
        (["x"], None),
    ],
)
def test_names_come_out_clean_and_short(value: Json, expected: str | None) -> None:
    """F10, P7: what goes on to logs and channel variables."""
    assert text(value) == expected


@pytest.mark.parametrize(
    ("mcc", "mnc", "expected"),
    [
        ("208", "01", ("208", "01")),
        ("310", "010", ("310", "010")),
        (208, "01", ("208", "01")),
        ("208", 1, None),
        ("208", 10, None),  # may have been 010
        ("208", "1", None),
        ("20", "01", None),
        ("208", "", None),
        ("２０８", "01", None),
        (None, None, None),
        (True, "01", None),
    ],
)
def test_an_mnc_keeps_its_zeros_or_is_not_believed(mcc: Json, mnc: Json, expected: tuple[str, str] | None) -> None:
    assert network(mcc, mnc) == expected


@pytest.mark.parametrize("value", ["٣", "３", "²", "1_0", "+1", "-1", "1.0", " ", "", None, True, [], Decimal(1)])
def test_only_ascii_digits_are_digits(value: Json) -> None:
    """F11"""
    assert digits(value, 1, 15) is None
    assert integer(value) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1.00", "1.00"),
        (1, "1"),
        (Decimal("0.006"), "0.006"),
        ("-3.5", "-3.5"),
        ("1e5", None),
        ("NaN", None),
        ("1,5", None),
        ("", None),
        (True, None),
        (None, None),
        ("9" * 13, None),
    ],
)
def test_money_is_exact_or_absent(value: Json, expected: str | None) -> None:
    assert amount(value) == (None if expected is None else Decimal(expected))


@given(json_values)
def test_no_value_makes_a_reader_raise(value: Json) -> None:
    """P7, P9"""
    for read in (tri, text, word, integer, amount):
        read(value)
    digits(value, 1, 15)
    network(value, value)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Thursday, 01-Jan-26 00:01:00 GMT", 60.0),
        ("Thu, 01 Jan 2026 00:01:00", 60.0),
        ("Thu, 01 Jan 2026 01:01:00 +0100", 60.0),
        ("Fri, 01 Jan 2027 00:00:00 GMT", MAX_RETRY_AFTER_S),
        ("Wed, 31 Dec 2025 23:59:00 GMT", None),
        ("1000000000000", MAX_RETRY_AFTER_S),
        ("1e12", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("９", None),
        ("9" * 5000, None),
        ("Thu, 99 Jan 99999999999 00:00:00 GMT", None),
        ("Thu, 01 Jan 2026 00:00:00 +9999999999", None),
    ],
)
def test_retry_after_is_honoured_up_to_a_cap(header: str, expected: float | None) -> None:
    """P13"""
    assert retry_after_s({"retry-after": header}, NOW) == expected


@given(st.text(max_size=40))
def test_no_retry_after_raises(header: str) -> None:
    """P13"""
    seconds = retry_after_s({"retry-after": header}, NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_S


def test_every_status_is_an_answer_or_an_error() -> None:
    """P10, P11, P12, P14: what a vendor refused is unpaid, what it broke upon may be paid."""
    for status in range(100, 600):
        reply = HttpReply(status, {}, b"")
        if 200 <= status < 300:
            raise_for_status(reply, NOW)
            continue
        with pytest.raises(ProviderError) as caught:
            raise_for_status(reply, NOW)
        assert caught.value.maybe_charged is (status >= 500 or status < 400), status


def test_a_failure_that_is_charged_for_counts_as_charged() -> None:
    """B6: else who dials numbers of no network burns money that no cap sees."""
    for kind in (ProviderNotCovered, ProviderRejected, ProviderFailedNumber):
        charged = with_cost(kind("code 35"), Decimal("1.00"))
        assert isinstance(charged, kind)
        assert (charged.maybe_charged, charged.code, charged.remember_s) == (True, kind.code, kind.remember_s)
        assert str(charged) == "code 35"
        assert isinstance(charged, Charged)
        assert charged.cost == Decimal("1.00")
        for nothing in (None, Decimal(0), Decimal("0.00")):
            assert type(with_cost(kind(), nothing)) is kind
    assert type(with_cost(ProviderAuthError(), Decimal(1))) is ProviderAuthError
