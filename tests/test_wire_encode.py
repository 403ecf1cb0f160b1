"""What we send can only ever be whole, harmless lines, whatever a provider says. The oracle is a port of Asterisk's own parsers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.agi.wire import MAX_LINE_BYTES, MAX_NAMES, encode_set
from agi_lookup.domain.model import (
    CacheState,
    Decision,
    Identity,
    LookupOutcome,
    Method,
    Sourced,
    Status,
)
from agi_lookup.sim.asterisk_args import agi_words
from agi_lookup.sim.asterisk_wire import Channel, CommandBuffer
from agi_lookup.variables import MAX_VALUE_CHARS, SAFE, VARIABLES, full_name, render, safe

MAX_WORDS = 20
NASTY = "\"\\'(),[]{}$|&;`\n\r\0\x1b\x7f \t"
HOSTILE = st.text(st.one_of(st.sampled_from(NASTY), st.characters())) | st.text(max_size=600)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,63}", fullmatch=True)
VALUES = HOSTILE.map(safe)


def heard(lines: list[bytes]) -> dict[str, str]:
    """The channel's variables after Asterisk has read `lines`; every one of them must be a good command."""
    buffer, channel = CommandBuffer(), Channel()
    for line in lines:
        buffer.receive(line)
        command = buffer.next_line()
        assert command is not None
        assert buffer.next_line() is None
        assert channel.execute(command.decode("ascii")) == [b"200 result=1\n"]
    return channel.variables


def assert_harmless(lines: list[bytes]) -> None:
    for line in lines:
        assert len(line) <= MAX_LINE_BYTES
        assert line.index(b"\n") == len(line) - 1
        assert len(agi_words(line.decode("ascii"))) <= MAX_WORDS


@given(HOSTILE)
def test_any_text_becomes_a_safe_value_and_stays_it(text: str) -> None:
    """F10"""
    value = safe(text)
    assert SAFE.fullmatch(value)
    assert len(value) <= MAX_VALUE_CHARS
    assert safe(value) == value


@given(st.dictionaries(NAMES.filter(lambda name: not name.startswith("_")), VALUES, min_size=1, max_size=150))
def test_whatever_is_set_is_what_asterisk_hears(variables: dict[str, str]) -> None:
    """F18"""
    lines = encode_set(list(variables.items()))
    assert_harmless(lines)
    assert heard(lines) == variables


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_a_hostile_answer_arrives_whole_and_commits_last(carrier: str, mcc: str, error: str, rule: str) -> None:
    """F18"""
    identity = Identity(carrier=carrier, orig_carrier=rule, mcc=mcc, mnc=error, lrn=mcc, ocn=rule)
    sourced = Sourced(identity, provider=carrier, method=Method.HLR, observed_at=0.0, cache=CacheState.FRESH)
    decision = Decision(Status.OK, outcome=LookupOutcome(identity=sourced, error=error))
    pairs = render(decision, prefix="LOOKUP_", now=1.0, ms=1)
    lines = encode_set(pairs)
    assert_harmless(lines)
    assert heard(lines) == dict(pairs)
    assert set(dict(pairs)) == {full_name(variable, "LOOKUP_") for variable in VARIABLES}
    assert list(heard(lines))[-1] == "LOOKUP_STATUS"
    assert "LOOKUP_STATUS" not in heard(lines[:-1])


def test_an_ordinary_answer_is_one_command() -> None:
    identity = Identity(carrier="EE", mcc="234", mnc="30", orig_carrier="Vodafone", orig_mcc="234", orig_mnc="15")
    sourced = Sourced(identity, provider="npl", method=Method.HLR, observed_at=0.0, cache=CacheState.FRESH)
    decision = Decision(Status.OK, outcome=LookupOutcome(identity=sourced))
    assert len(encode_set(render(decision, prefix="LOOKUP_", now=1.0, ms=1))) == 1
    longest = replace(identity, carrier="x" * 128, orig_carrier="y" * 128)
    long_names = Decision(Status.OK, outcome=LookupOutcome(identity=replace(sourced, value=longest)))
    assert len(encode_set(render(long_names, prefix="LOOKUP_", now=1.0, ms=1))) == 1


def test_what_does_not_fit_goes_in_a_further_command_in_order() -> None:
    pairs = [(f"N{n}", "v" * MAX_VALUE_CHARS) for n in range(40)]
    lines = encode_set(pairs)
    assert len(lines) > 1
    assert_harmless(lines)
    assert list(heard(lines).items()) == pairs


def test_no_command_carries_more_names_than_array_takes() -> None:
    lines = encode_set([(f"N{n}", "") for n in range(MAX_NAMES + 1)])
    assert max(line.count(b"N") for line in lines) <= MAX_NAMES
    assert sum(line.count(b"N") for line in lines) == MAX_NAMES + 1


@pytest.mark.parametrize("value", [*NASTY.replace(" ", ""), "é", "x" * (MAX_VALUE_CHARS + 1), "٣", "\u202e"])
def test_a_value_outside_the_whitelist_is_a_bug_and_sends_nothing(value: str) -> None:
    with pytest.raises(ValueError, match="whitelist"):
        encode_set([("X", f"a{value}")])


@pytest.mark.parametrize("name", ["", "1X", "X)", "A,B", 'X"', "X Y", "FILE(/etc/passwd)", "X\n", "é", "x" * 65])
def test_a_name_outside_the_whitelist_is_a_bug_and_sends_nothing(name: str) -> None:
    with pytest.raises(ValueError, match="whitelist"):
        encode_set([(name, "a")])
