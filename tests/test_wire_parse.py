"""What Asterisk sends is understood however it is cut; what it never sends is refused."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.agi.wire import (
    ENV_KEYS,
    MAX_ENV_BYTES,
    MAX_ENV_LINES,
    AgiParser,
    AgiProtocolError,
    Environment,
    Event,
    Hangup,
    Reply,
    parse_environment,
)
from tests.environments import UNIQUEID, VALUES, environment, lookup_environment

CORPUS = Path(__file__).parent / "corpora" / "agi_env"
WHOLE = lookup_environment()


def feed(parser: AgiParser, *segments: bytes) -> list[Event]:
    events: list[Event] = []
    for segment in segments:
        parser.receive_data(segment)
        while (event := parser.next_event()) is not None:
            events.append(event)
    return events


def after_environment() -> AgiParser:
    """A parser that has sent its command and waits for the reply."""
    parser = AgiParser()
    feed(parser, WHOLE)
    parser.command_sent()
    return parser


def refusal(*segments: bytes) -> str:
    with pytest.raises(AgiProtocolError) as caught:
        feed(AgiParser(), *segments)
    return caught.value.code


def test_an_environment_gives_values_and_arguments() -> None:
    (event,) = feed(AgiParser(), lookup_environment("+447400123456", "profile=x"))

    assert isinstance(event, Environment)
    assert event.script == "lookup"
    assert event.values["agi_uniqueid"] == UNIQUEID
    assert event.args == ("+447400123456", UNIQUEID, "-", "profile=x")


@pytest.mark.parametrize("path", sorted(CORPUS.glob("valid/*.txt")), ids=lambda p: p.name)
def test_every_environment_captured_from_asterisk_is_understood(path: Path) -> None:
    (event,) = feed(AgiParser(), path.read_bytes())

    assert isinstance(event, Environment)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("hostile/*.txt")), ids=lambda p: p.name)
def test_no_captured_forgery_passes_as_the_call_that_it_is_not(path: Path) -> None:
    """F7, F8, F9: either the grammar refuses it, or the arguments that follow cannot carry UNIQUEID and token."""
    try:
        events = feed(AgiParser(), path.read_bytes())
    except AgiProtocolError:
        return
    for event in events:
        assert isinstance(event, Environment)
        assert event.args[1:3] != (event.values["agi_uniqueid"], "s3cret"), "a forged environment carries the token"


def test_an_environment_cut_anywhere_is_the_same() -> None:
    """F4."""
    expected = feed(AgiParser(), WHOLE)
    for cut in range(1, len(WHOLE)):
        assert feed(AgiParser(), WHOLE[:cut], WHOLE[cut:]) == expected


def test_an_environment_byte_by_byte_is_the_same() -> None:
    """F4."""
    assert feed(AgiParser(), *(WHOLE[i : i + 1] for i in range(len(WHOLE)))) == feed(AgiParser(), WHOLE)


def test_the_network_script_may_be_absent() -> None:
    (event,) = feed(AgiParser(), environment(changes={"agi_network_script": None}))

    assert isinstance(event, Environment)
    assert event.script == ""


@pytest.mark.parametrize("key", [key for key in VALUES if key != "agi_network_script"])
def test_every_other_key_must_be_there(key: str) -> None:
    assert refusal(environment(changes={key: None})) in {"out_of_order", "not_agi"}


@pytest.mark.parametrize("index", range(1, len(ENV_KEYS) - 1))
def test_keys_out_of_order_are_refused(index: int) -> None:
    """F8."""
    lines = WHOLE.split(b"\n")
    lines[index], lines[index + 1] = lines[index + 1], lines[index]

    assert refusal(b"\n".join(lines)) == "out_of_order"


@pytest.mark.parametrize("line", [b"agi_arg_1: +15550000", b"agi_uniqueid: x", b"agi_threadid: 1"])
def test_a_key_that_comes_twice_is_refused(line: bytes) -> None:
    """F7: a SIP caller's newline makes a second `agi_arg_1`."""
    forged = WHOLE.replace(b"agi_extension: s\n", b"agi_extension: s\n" + line + b"\n")

    assert refusal(forged) in {"out_of_order", "argument_order"}


def test_arguments_must_count_up_from_one() -> None:
    forged = environment("a", "b").replace(b"agi_arg_2", b"agi_arg_3")

    assert refusal(forged) == "argument_order"


@pytest.mark.parametrize("behind", [b"200 result=1\n", b"agi_priority: 1\n", b"\n", b"HANGUPX", b"X"])
def test_bytes_behind_the_blank_line_are_refused(behind: bytes) -> None:
    """F9: the rest of an environment that a forged blank line has ended, or a forged reply."""
    assert refusal(WHOLE + behind) == "trailing_bytes"


@pytest.mark.parametrize("behind", [b"HANGUP\n", b"HANGUP\nHANGUP\n"])
def test_a_hangup_behind_the_blank_line_is_a_hangup(behind: bytes) -> None:
    events = feed(AgiParser(), WHOLE + behind)

    assert events[1:] == [Hangup()] * behind.count(b"\n")


def test_a_late_line_that_nobody_asked_for_is_refused() -> None:
    """F9: what follows a forged end of the environment comes in a later segment."""
    assert refusal(WHOLE, b"200 result=1 (pwn)\n") == "unexpected_line"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET / HTTP/1.1\r\n", "not_agi"),
        (b"\x16\x03\x01", "not_agi"),
        (b"\n\n", "out_of_order"),
        (b"agi_network: no\n\n", "out_of_order"),
        (b"agi_network: yes\n" + b"a" * MAX_ENV_BYTES, "too_long"),
        (b"agi_network: yes\n" + b"a: b\n" * MAX_ENV_LINES + b"\n", "too_many_lines"),
        (b"agi_network: yes\nno colon here\n\n", "out_of_order"),
        (b"agi_network: yes\nagi_request: " + b"x" * 9000 + b"\n\n", "long_line"),
    ],
)
def test_what_is_no_environment_is_refused_early(data: bytes, code: str) -> None:
    """F6."""
    assert refusal(data) == code


def test_hostile_bytes_in_a_value_do_not_break_the_grammar() -> None:
    """F10: values may hold anything but a newline."""
    hostile = '\r\x00\x1b[31m\udcff\u202e"\\${EXTEN}'
    (event,) = feed(AgiParser(), environment(hostile, changes={"agi_calleridname": hostile}))

    assert isinstance(event, Environment)
    assert event.args == (hostile,)


@given(st.binary(max_size=400))
def test_random_bytes_are_refused_or_waited_for(data: bytes) -> None:
    parser = AgiParser()
    with contextlib.suppress(AgiProtocolError):
        assert feed(parser, data) == []


@given(st.data())
def test_only_the_true_grammar_passes(data: st.DataObject) -> None:
    """F8: any other sequence of known keys is refused."""
    keys = data.draw(st.lists(st.sampled_from([*ENV_KEYS, "agi_arg_1", "agi_arg_2"]), max_size=26))
    true = [k for k in ENV_KEYS if k != "agi_network_script" or k in keys]
    args = ["agi_arg_1", "agi_arg_2"][: max(0, len(keys) - len(true))]
    head = "\n".join(f"{key}: yes" for key in keys).encode()
    try:
        parse_environment(head)
    except AgiProtocolError:
        assert keys != [*true, *args]
    else:
        assert keys == [*true, *args]


USAGE = b"520-Invalid command syntax.  Proper usage follows:\nUsage: SET VARIABLE <name> <value>\n520 End of proper usage.\n"
GLUED = b"520-Invalid command syntax.  Proper usage follows:\nno newline at its end520 End of proper usage.\n"

REPLIES: dict[str, tuple[bytes, list[Event]]] = {
    "ok": (b"200 result=1\n", [Reply(200, "result=1")]),
    "510": (b"510 Invalid or unknown command\n", [Reply(510, "Invalid or unknown command")]),
    "511": (b"511 Command Not Permitted on a dead channel or intercept routine\n",
            [Reply(511, "Command Not Permitted on a dead channel or intercept routine")]),
    "520": (USAGE, [Reply(520, "usage")]),
    "520 without a newline before its end": (GLUED, [Reply(520, "usage")]),
    "hangup before": (b"HANGUP\n200 result=1\n", [Hangup(), Reply(200, "result=1")]),
    "hangup after, doubled": (b"200 result=1\nHANGUP\nHANGUP\n", [Reply(200, "result=1"), Hangup(), Hangup()]),
}  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), REPLIES.values(), ids=REPLIES)
def test_replies_are_in_step_however_they_are_cut(data: bytes, expected: list[Event]) -> None:
    """F14, F15."""
    assert feed(after_environment(), data) == expected
    assert feed(after_environment(), *(data[i : i + 1] for i in range(len(data)))) == expected
    for cut in range(1, len(data)):
        assert feed(after_environment(), data[:cut], data[cut:]) == expected


@pytest.mark.parametrize(
    "line", [b"20 result=1\n", b"200result=1\n", b"agi_arg_1: x\n", b"\n", b"2e0 x\n", b"\xff\xff\xff x\n"]
)
def test_a_line_that_is_no_reply_is_refused(line: bytes) -> None:
    with pytest.raises(AgiProtocolError, match="unexpected_line"):
        feed(after_environment(), line)


def test_a_second_reply_is_refused() -> None:
    parser = after_environment()
    feed(parser, b"200 result=1\n")

    with pytest.raises(AgiProtocolError, match="unexpected_line"):
        feed(parser, b"200 result=1\n")


def test_an_endless_usage_text_is_refused() -> None:
    """pyst2 loops for ever on this one."""
    with pytest.raises(AgiProtocolError, match="too_long"):
        feed(after_environment(), b"520-Invalid\n", b"x" * 70_000)


def test_a_second_command_cannot_be_sent_before_the_reply() -> None:
    parser = after_environment()

    with pytest.raises(AssertionError):
        parser.command_sent()
