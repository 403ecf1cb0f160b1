"""The shipped `agi-lookup`: what reaches the server and what never may."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import phonenumbers
import pytest

from agi_lookup.domain.model import Status
from tests.asterisk.hostile import CALLER, DIALLED, NUMBER
from tests.asterisk.invite import Invite
from tests.asterisk.lab import DIALPLAN, Asterisk
from tests.asterisk.peers import Session, answers, closed_port, peer
from tests.asterisk.sipp import sipp

SHIPPED = (DIALPLAN / "extensions_agi_lookup.conf").read_text()
OK = answers(("LOOKUP_CARRIER", "EE"), ("LOOKUP_STATUS", "OK"))


# ------------------------------------------------------------------------------------------- what the server gets


async def test_server_gets_number_uniqueid_and_no_token_by_default(asterisk: Asterisk) -> None:
    async with peer(OK) as server:
        call = await asterisk.call(NUMBER, AGI_LOOKUP_URL=server.url)
    [session] = server.sessions
    assert session.value("agi_network_script") == "lookup"
    assert session.arguments == [NUMBER, call.route["UNIQUEID"], "-"]
    assert session.value("agi_uniqueid") == call.route["UNIQUEID"]


async def test_token_and_options_are_passed_on(asterisk: Asterisk) -> None:
    async with peer(OK) as server:
        await asterisk.call(
            NUMBER, AGI_LOOKUP_URL=server.url, AGI_LOOKUP_TOKEN="t0ken", AGI_LOOKUP_OPTIONS="profile=uk,timeout_ms=400"
        )
    assert server.sessions[0].arguments[2:] == ["t0ken", "profile=uk", "timeout_ms=400"]


@pytest.mark.parametrize("number", ["447400123456", "07400123456", "00447400123456", "2", "+1"])
async def test_plain_numbers_are_looked_up_as_dialled(asterisk: Asterisk, number: str) -> None:
    async with peer(OK) as server:
        call = await asterisk.call(number, AGI_LOOKUP_URL=server.url)
    assert server.sessions[0].arguments[0] == number
    assert call.route["LOOKUP_STATUS"] == "OK"


async def test_a_second_lookup_of_a_call_forgets_the_first(asterisk: Asterisk) -> None:
    """A transferred call looks another number up: not one fact of the first may stand in for the second's."""
    asterisk.load_dialplan("""
[twice]
exten => s,1,Gosub(agi-lookup,s,1(${ARG1}))
 same => n,Set(AGI_LOOKUP_URL=${LAB_SECOND_URL})
 same => n,Gosub(agi-lookup,s,1(${ARG1}))
 same => n,Return()
""")
    first = answers(("LOOKUP_ACTION", "block"), ("LOOKUP_CARRIER", "EE"), ("LOOKUP_STATUS", "OK"))
    async with peer(first) as one, peer(answers(("LOOKUP_STATUS", "PARTIAL"))) as other:
        for url, status in ((closed_port(), "NONE"), (other.url, "PARTIAL")):
            call = await asterisk.call(NUMBER, context="twice", AGI_LOOKUP_URL=one.url, LAB_SECOND_URL=url)
            got = [call.route[f"LOOKUP_{name}"] for name in ("STATUS", "ACTION", "CARRIER")]
            assert got == [status, "allow", ""]


def test_every_status_of_the_server_is_a_commit() -> None:
    """Other words do not commit, so a new status has to be added to the dialplan."""
    [words] = re.findall(r'REGEX\("\^\(([A-Z|]+)\)\$" \$\{LOOKUP_STATUS\}', SHIPPED)
    assert set(words.split("|")) == set(Status)


# ------------------------------------------------------------------------------------------------- bad numbers


@pytest.mark.parametrize("number", ["", "alice", "+44 7400", "+44-7400", "*43", "#321", "12*3", "+4474,profile=x"])
async def test_bad_numbers_never_reach_the_server(asterisk: Asterisk, number: str) -> None:
    async with peer(OK) as server:
        call = await asterisk.call(number, AGI_LOOKUP_URL=server.url)
    assert server.sessions == []
    assert (call.route["LOOKUP_STATUS"], call.route["LOOKUP_ACTION"]) == ("BADNUMBER", "allow")


@pytest.mark.parametrize("name", DIALLED)
async def test_hostile_dialled_numbers_never_reach_the_server(asterisk: Asterisk, name: str) -> None:
    """F7 to F11: over real SIP, percent-encoded line breaks, commas, quotes and look-alike digits."""
    async with peer(OK) as server:
        _, call = await asterisk.sip_call(DIALLED[name], server.url)
    assert server.sessions == []
    assert (call.route["LOOKUP_STATUS"], call.route["LOOKUP_ACTION"]) == ("BADNUMBER", "allow")


@pytest.mark.parametrize("name", CALLER)
async def test_hostile_callers_cannot_forge_a_line(asterisk: Asterisk, name: str) -> None:
    """F7 to F10: the number is fine, so the lookup is made, from an environment of the usual lines."""
    async with peer(OK) as server:
        _, ordinary = await asterisk.sip_call(Invite(NUMBER), server.url)
        _, call = await asterisk.sip_call(CALLER[name], server.url)
    usual, hostile = server.sessions
    assert [line.partition(": ")[0] for line in hostile.lines] == [line.partition(": ")[0] for line in usual.lines]
    assert hostile.arguments == [NUMBER, call.route["UNIQUEID"], "-"]
    assert not set('\n\r"\\') & set("".join(hostile.lines))
    assert call.route["LOOKUP_STATUS"] == ordinary.route["LOOKUP_STATUS"] == "OK"


async def test_number_cleaned_by_the_site_still_cannot_forge_through_the_dnid(asterisk: Asterisk) -> None:
    """F7: a site may filter the number itself; the raw one is still the call's dialled number id."""
    asterisk.load_dialplan("""
[cleans-itself]
exten => s,1,Gosub(agi-lookup,s,1(${FILTER(+0-9,${ARG1})}))
 same => n,Return()
""")
    async with peer(OK) as server:
        await asterisk.sip_call(DIALLED["forged_end_and_reply"], server.url, context="cleans-itself")
    [session] = server.sessions
    assert session.value("agi_dnid").startswith(NUMBER)
    assert len(session.arguments) == 3


async def test_channel_name_with_a_line_break_is_not_looked_up(asterisk: Asterisk) -> None:
    """F7: a Local channel is named for its extension, and a channel's name cannot be cleaned."""
    asterisk.load_dialplan("""
[local-leg]
exten => s,1,Set(__LAB_URL=${AGI_LOOKUP_URL})
 same => n,Dial(Local/${ARG1}@local-leg-out/n,3)
 same => n,Return()
[local-leg-out]
exten => _+X!,1,Set(AGI_LOOKUP_URL=${LAB_URL})
 same => n,Gosub(agi-lookup,s,1(${FILTER(+0-9,${EXTEN})}))
 same => n,Set(MASTER_CHANNEL(LOOKUP_STATUS)=${LOOKUP_STATUS})
 same => n,Hangup()
""")
    async with peer(OK) as server:
        _, call = await asterisk.sip_call(DIALLED["forged_argument"], server.url, context="local-leg")
    assert server.sessions == []
    assert call.went_on


@pytest.mark.parametrize("name", ["Zoé O'Brien (Sales), Ltd.", 'Bob "x" \\ y', "plain"])
async def test_caller_names_lose_only_what_could_forge(asterisk: Asterisk, name: str) -> None:
    asterisk.load_dialplan("""
[named]
exten => s,1,Set(CALLERID(name)=${LAB_NAME})
 same => n,Gosub(agi-lookup,s,1(${ARG1}))
 same => n,Return()
""")
    async with peer(OK) as server:
        call = await asterisk.call(NUMBER, context="named", AGI_LOOKUP_URL=server.url, LAB_NAME=name)
    kept = "".join(char for char in name if char not in '"\\')
    assert call.route["name"] == kept
    assert server.sessions[0].value("agi_calleridname") == kept


# ------------------------------------------------------------- what the same calls do to a dialplan without all that


async def captured(session: Session) -> None:
    """Wait until all of it has come, forged end or not; the last argument is the token."""
    while b"\nagi_threadid: " not in session.environment or not session.environment.endswith(b"-\n\n"):
        session.environment += await session.reader.readuntil(b"\n\n")


@pytest.mark.parametrize("name", [*DIALLED, *CALLER])
async def test_unfiltered_dialplan_hands_hostile_input_to_the_server(asterisk: Asterisk, name: str) -> None:
    """F7 to F10 are real: this is what the filters keep out, and what tests/corpora/agi_env/hostile is made of."""
    invite = replace((DIALLED | CALLER)[name], source="127.0.0.2")
    async with peer(captured) as server:
        _, call = await asterisk.sip_call(invite, server.url)
    [session] = server.sessions
    honest = [NUMBER, call.route["UNIQUEID"], "-"]
    suspicious = set(session.environment.decode("latin-1")) & set('\r\t\x1b\x7f\xff"\\()[];&$%, ')
    assert session.arguments != honest or "forged" in name or suspicious


async def test_unfiltered_dialplan_lets_a_caller_forge_a_reply(asterisk: Asterisk) -> None:
    """F9: the environment ends early and the first command's reply is already there."""
    invite = replace(DIALLED["forged_end_and_reply"], source="127.0.0.2")
    async with peer(captured) as server:
        await asterisk.sip_call(invite, server.url)
    environment, _, behind = server.sessions[0].environment.partition(b"\n\n")
    assert environment.endswith(b"\nagi_arg_1: +15550000")
    assert behind.startswith(b"200 result=1 (pwn)\n")


# --------------------------------------------------------------------------------------------------- emergency

WRAPPED = [
    *("{0}", "0{0}", "9{0}", "9*{0}", "*{0}", "#{0}", "{0}#", "{0}*", "0{0}#"),
    *("+{0}", "+1{0}", "+44{0}", "+353{0}", "00{0}", "0044{0}", "001{0}#"),
]
EMERGENCY = ["112", "911", "999", "000", "110", "118", "15", "190"]
LOOK_ALIKES = [
    "1123",
    "91123",
    "011234567",
    "+441121",
    "+4411299",
    "00441129",
    "9112345",
    "99112",
    "00112345",
    "+11234",
]


@pytest.mark.parametrize("code", EMERGENCY)
async def test_emergency_calls_never_reach_the_server_however_wrapped(asterisk: Asterisk, code: str) -> None:
    """B1"""
    async with peer(OK) as server:
        calls = await asyncio.gather(
            *(asterisk.call(wrapping.format(code), AGI_LOOKUP_URL=server.url) for wrapping in WRAPPED)
        )
    assert server.sessions == []
    assert [call.route["LOOKUP_STATUS"] for call in calls] == ["EMERGENCY"] * len(WRAPPED)
    assert {call.route["LOOKUP_ACTION"] for call in calls} == {"allow"}


@pytest.mark.parametrize("number", LOOK_ALIKES)
async def test_longer_look_alikes_of_emergency_codes_are_looked_up(asterisk: Asterisk, number: str) -> None:
    async with peer(OK) as server:
        call = await asterisk.call(number, AGI_LOOKUP_URL=server.url)
    assert [session.arguments[0] for session in server.sessions] == [number]
    assert call.route["LOOKUP_STATUS"] == "OK"


async def test_operator_can_name_the_emergency_codes(asterisk: Asterisk) -> None:
    async with peer(OK) as server:
        own, dropped = [
            await asterisk.call(number, AGI_LOOKUP_URL=server.url, AGI_LOOKUP_EMERGENCY="112|10111")
            for number in ("910111", "133")
        ]
    assert (own.route["LOOKUP_STATUS"], dropped.route["LOOKUP_STATUS"]) == ("EMERGENCY", "OK")


def emergency_pattern() -> re.Pattern[str]:
    """The dialplan's own expression, put together as its lines do it."""
    [codes] = re.findall(r"Set\(LOCAL\(AGI_LOOKUP_EMERGENCY\)=(.*)\)\)\n", SHIPPED)
    [country] = re.findall(r"Set\(LOCAL\(country\)=(.*)\)\n", SHIPPED)
    [wrapping] = re.findall(r"Set\(LOCAL\(wrapping\)=(.*)\)\n", SHIPPED)
    [whole] = re.findall(r'REGEX\("(.*)" \$\{dialled\}', SHIPPED)
    whole = whole.replace("${wrapping}", wrapping).replace("${country}", country)
    return re.compile(whole.replace("${AGI_LOOKUP_EMERGENCY}", codes))


def test_no_valid_international_number_is_taken_for_an_emergency() -> None:
    """Whole: every country code with every number of two to four digits behind it."""
    pattern = emergency_pattern()
    taken = [
        f"+{country}{rest:0{length}}"
        for country in phonenumbers.COUNTRY_CODE_TO_REGION_CODE
        for length in (2, 3, 4)
        for rest in range(10**length)
        if pattern.match(f"+{country}{rest:0{length}}")
    ]
    assert {"+1911", "+44999", "+353112", "+234112"} <= set(taken)
    assert [number for number in taken if phonenumbers.is_valid_number(phonenumbers.parse(number))] == []


# ------------------------------------------------------------------------------------------------------- load


async def test_many_calls_at_once_each_get_their_own_answer(asterisk: Asterisk) -> None:
    """A hundred SIP calls in a second; the server answers with the number that it was asked for."""

    async def echoes(session: Session) -> None:
        number = session.arguments[0]
        await session.command(f'SET VARIABLE ARRAY(LOOKUP_NUMBER,LOOKUP_STATUS) "{number},OK"')

    numbers = [f"+4474001{n:05}" for n in range(100)]
    async with peer(echoes) as server:
        load = await asyncio.to_thread(sipp, asterisk, numbers, url=server.url, calls=100, rate=100, timeout_s=20)
    calls = [await asterisk.result(f"{load.id}-{n}") for n in range(1, 101)]
    assert (load.created, load.good, load.failed) == (100, 100, 0)
    assert [call.route["LOOKUP_NUMBER"] for call in calls] == numbers
