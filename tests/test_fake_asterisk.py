"""The fake Asterisk does what the real one does; `tests/asterisk/test_fake_is_faithful.py` holds the two side by side."""

from __future__ import annotations

import asyncio
import socket

import pytest

from agi_lookup.agi.wire import AgiParser, AgiProtocolError, Environment
from agi_lookup.sim.asterisk import Behaviour, Played, Split, play
from agi_lookup.sim.asterisk_args import StackSmashed, agi_words, app_args, set_variable
from agi_lookup.sim.asterisk_wire import AGI_BUF_LEN, Call, Channel, CommandBuffer, environment
from tests.asterisk.peers import Behaviour as PeerBehaviour
from tests.asterisk.peers import Session, answers, peer, silence

CALL = Call(("447400123456", "1763742000.1", "-"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("SET  VARIABLE\tX 1 ", ["SET", "VARIABLE", "X", "1"]),
        ('"a b"', ["a b"]),
        ('"a"b"c"', ["abc"]),
        ('a"b c"d', ["ab cd"]),
        ('""', [""]),
        ('"a', ["a"]),
        (r'"\"\\"', ['"\\']),
        (r"\n\ x", ["n x"]),
        ("'a b'", ["'a", "b'"]),
        ("${EXTEN} $[1+1]", ["${EXTEN}", "$[1+1]"]),
        ('"a"\r', ["a\r"]),
        ("x " * 130, ["x"] * 127),
        ('"x" ' * 127, ["x"] * 127),
    ],
)
def test_a_command_line_is_cut_into_words_as_asterisk_does(line: str, words: list[str]) -> None:
    assert agi_words(line) == words


def test_more_than_127_quoted_words_kill_asterisk() -> None:
    with pytest.raises(StackSmashed):
        agi_words('"x" ' * 128)


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ("", []),
        (",", ["", ""]),
        ("a,,b,", ["a", "", "b", ""]),
        ("+44123,emergency=0,x", ["+44123", "emergency=0", "x"]),
        ('"a,b",c', ["a,b", "c"]),
        (r"+44\",\${EXTEN}", ['+44"', "${EXTEN}"]),
        (r"a\,b,c", ["a,b", "c"]),
        ("x(1,2,3", ["x(1,2,3"]),
        ("f(1,2),g[3,4],h", ["f(1,2)", "g[3,4]", "h"]),
        (")a,]b", [")a", "]b"]),
        ('a"b,c', ["ab,c"]),
        ("a\\", ["a"]),
    ],
)
def test_arguments_are_split_as_asterisk_does(text: str, args: list[str]) -> None:
    assert app_args(text) == args


def test_what_lies_behind_the_last_argument_stays_whole() -> None:
    assert app_args('a,b,"c",d', limit=3) == ["a", "b", '"c",d']


@pytest.mark.parametrize(
    ("name", "value", "variables"),
    [
        ("X", "a,b", {"X": "a,b"}),
        ("__X", "1", {"X": "1"}),
        ("ARRAY(A,B)", "1,2", {"A": "1", "B": "2"}),
        ("ARRAY(A,B)", "1", {"A": "1", "B": ""}),
        ("ARRAY(A)", "1,2", {"A": "1"}),
        ("ARRAY(A,B)", "", {"A": "", "B": ""}),
        ("ARRAY(A,B,C)", "x(1,2,3", {"A": "x(1,2,3", "B": "", "C": ""}),
        ("ARRAY(A,B)", '"1,2', {"A": "1,2", "B": ""}),
        ("NOSUCH(A)", "1", {}),
        ("", "1", {}),
    ],
)
def test_variables_are_set_as_asterisk_does(name: str, value: str, variables: dict[str, str]) -> None:
    channel: dict[str, str] = {}
    set_variable(channel, name, value)
    assert channel == variables


def test_array_takes_99_names_and_the_100th_takes_all_the_rest() -> None:
    channel: dict[str, str] = {}
    set_variable(channel, f"ARRAY({','.join(f'N{n}' for n in range(100))})", ",".join(map(str, range(102))))
    assert channel["N98"] == "98"
    assert channel["N99"] == "99,100,101"


def lines_of(*segments: bytes, eof: bool = False) -> list[bytes]:
    buffer = CommandBuffer()
    for segment in segments:
        buffer.receive(segment)
    lines = []
    while (line := buffer.next_line(eof=eof)) is not None:
        lines.append(line)
    return lines


@pytest.mark.parametrize(
    ("sent", "lines"),
    [
        (b"NOOP\nNOOP 2\n", [b"NOOP", b"NOOP 2"]),
        (b"NOOP\r\n", [b"NOOP\r"]),
        (b"NOOP", []),
        (b"SET VARIABLE X a\0hidden\nGET VARIABLE X\n", [b"SET VARIABLE X aGET VARIABLE X"]),
        (b"x" * AGI_BUF_LEN + b"SET VARIABLE Y pwned\n", [b"x" * (AGI_BUF_LEN - 1), b"xSET VARIABLE Y pwned"]),
    ],
)
def test_commands_are_read_as_fgets_reads_them(sent: bytes, lines: list[bytes]) -> None:
    assert lines_of(sent) == lines
    assert lines_of(*(sent[at : at + 1] for at in range(len(sent)))) == lines


def test_at_the_end_half_a_command_is_one_too() -> None:
    assert lines_of(b"NOOP\nSET VARIABLE X", eof=True) == [b"NOOP", b"SET VARIABLE X"]


@pytest.mark.parametrize(
    ("line", "start"),
    [
        ('set variable X "1"', b"200 result=1\n"),
        ("SET VARIABLE X 1 2", b"520-"),
        ("SET VARIABLE X", b"520-"),
        ("SET", b"510 "),
        ("", b"510 "),
        ("NOSUCH COMMAND", b"510 "),
        ("GET VARIABLE NONE", b"200 result=0\n"),
        ("ANSWER", b"200 result=0\n"),
        ("VERBOSE hello 1", b"200 result=1\n"),
    ],
)
def test_replies_are_asterisks(line: str, start: bytes) -> None:
    assert Channel().execute(line)[0].startswith(start)


def test_usage_comes_in_three_writes_without_a_newline_before_the_end() -> None:
    assert [write.endswith(b"\n") for write in Channel().execute("SET VARIABLE")] == [True, False, True]


def test_a_dead_channel_takes_variables_and_little_else() -> None:
    channel = Channel()
    channel.dead = True
    assert channel.execute("ANSWER")[0].startswith(b"511 ")
    assert channel.execute('SET VARIABLE X "1"') == [b"200 result=1\n"]
    assert channel.execute("GET VARIABLE X") == [b"200 result=1 (1)\n"]


def parsed(call: Call) -> Environment:
    parser = AgiParser()
    parser.receive_data(b"".join(environment(call)))
    event = parser.next_event()
    assert isinstance(event, Environment)
    return event


def test_the_environment_is_one_that_a_strict_parser_takes() -> None:
    seen = parsed(CALL)
    assert seen.args == CALL.args
    assert seen.script == "lookup"
    assert seen.values["agi_uniqueid"] == CALL.uniqueid


def test_an_asterisk_without_a_script_leaves_the_line_out() -> None:
    assert parsed(Call((), script="")).script == ""


def test_hostile_values_go_out_raw() -> None:
    forged = Call(("1",), raw={"agi_extension": "+44123\nagi_arg_1: +15550000\n\n200 result=1 (pwn)"})
    sent = b"".join(environment(forged))
    assert b"\nagi_arg_1: +15550000\n\n200 result=1 (pwn)\n" in sent
    with pytest.raises(AgiProtocolError):
        parsed(forged)


async def played_with(behave: PeerBehaviour, behaviour: Behaviour | None = None, call: Call = CALL) -> Played:
    async with peer(behave) as running:
        return await play(call, "127.0.0.1", int(running.url.rpartition(":")[2]), behaviour)


@pytest.mark.parametrize("split", Split)
async def test_a_call_sets_variables_however_the_environment_is_cut(split: Split) -> None:
    async with peer(answers(("A", "1"), ("LOOKUP_STATUS", "OK"))) as running:
        port = int(running.url.rpartition(":")[2])
        result = await play(CALL, "127.0.0.1", port, Behaviour(split=split))
    assert result.variables == {"A": "1", "LOOKUP_STATUS": "OK"}
    assert (len(result.commands), result.early_bytes, result.agistatus) == (1, 0, "SUCCESS")
    assert running.sessions[0].environment == b"".join(environment(CALL))


async def test_one_command_after_the_other_is_not_early() -> None:
    async def two(session: Session) -> None:
        await session.command("SET VARIABLE A 1")
        await session.command("SET VARIABLE B 2")

    result = await played_with(two)
    assert result.variables == {"A": "1", "B": "2"}
    assert (len(result.commands), result.early_bytes) == (2, 0)


async def test_a_pipelined_command_is_early_and_stalls() -> None:
    async def pipelined(session: Session) -> None:
        session.send(b"SET VARIABLE A 1\nSET VARIABLE B 2\n")
        assert await session.line() == "200 result=1"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.line(), 0.05)

    result = await played_with(pipelined)
    assert result.early_bytes == len(b"SET VARIABLE B 2\n")
    assert result.variables == {"A": "1", "B": "2"}  # the end of the connection wakes Asterisk up


async def test_a_command_before_the_end_of_the_environment_is_early() -> None:
    async def hasty(session: Session) -> None:
        session.send(b"NOOP\n")
        await session.reader.readuntil(b"\n\n")
        await session.line()

    async with peer(hasty, reads=False) as running:
        port = int(running.url.rpartition(":")[2])
        result = await play(CALL, "127.0.0.1", port, Behaviour(split=Split.BYTES))
    assert result.early_bytes == len(b"NOOP\n")


async def test_half_a_line_waits_for_its_rest() -> None:
    async def halves(session: Session) -> None:
        session.send(b"SET VARIABLE ")
        await asyncio.sleep(0.01)
        assert await session.command("A 1") == "200 result=1"

    assert (await played_with(halves)).variables == {"A": "1"}


async def test_a_command_that_kills_asterisk_is_not_answered() -> None:
    async def deadly(session: Session) -> None:
        assert await session.command("NOOP" + ' "x"' * 128) == ""

    with pytest.raises(StackSmashed):
        await played_with(deadly)


async def test_failure_ends_the_agi_with_that_status() -> None:
    async def failing(session: Session) -> None:
        session.send(b"FAILURE\n")

    result = await played_with(failing)
    assert (result.agistatus, result.variables, result.commands) == ("FAILURE", {}, ())


async def test_a_server_that_closes_at_once_looks_like_success() -> None:
    async def closing(_session: Session) -> None:
        pass

    result = await played_with(closing)
    assert (result.agistatus, result.variables) == ("SUCCESS", {})


async def test_a_server_that_resets_looks_like_success() -> None:
    async def resetting(session: Session) -> None:
        session.reset()

    assert (await played_with(resetting)).agistatus == "SUCCESS"


async def test_a_hangup_is_told_and_the_channel_is_dead() -> None:
    async def lingering(session: Session) -> None:
        assert await session.line() == "HANGUP"
        assert (await session.command("ANSWER")).startswith("511 ")
        assert await session.command("SET VARIABLE A 1") == "200 result=1"

    result = await played_with(lingering, Behaviour(hangup_after_s=0.02))
    assert (result.agistatus, result.variables) == ("HANGUP", {"A": "1"})


async def test_agisighup_no_hangs_up_silently() -> None:
    async def unaware(session: Session) -> None:
        await asyncio.sleep(0.03)
        assert (await session.command("ANSWER")).startswith("511 ")

    result = await played_with(unaware, Behaviour(hangup_after_s=0, agisighup=False))
    assert result.agistatus == "HANGUP"


@pytest.mark.parametrize(("agisighup", "said"), [(True, b"HANGUP\nHANGUP\n"), (False, b"")])
async def test_agiexitonhangup_closes_at_once(agisighup: bool, said: bytes) -> None:
    async def reading(session: Session) -> None:
        assert await session.reader.read() == said

    behaviour = Behaviour(hangup_after_s=0, agisighup=agisighup, agiexitonhangup=True)
    assert (await played_with(reading, behaviour)).agistatus == "HANGUP"


async def test_a_server_that_never_answers_is_given_up() -> None:
    with pytest.raises(TimeoutError):
        await played_with(silence, Behaviour(give_up_s=0.05))


async def test_a_closed_port_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        await play(CALL, "127.0.0.1", port)
