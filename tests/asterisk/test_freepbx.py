"""The FreePBX files within outbound routes as FreePBX 17 makes them: a list of trunks, tried one after the other by `Gosub`.

What is between route and hook here stands for FreePBX's own, with its names and its ways: which causes end the call, which try the
next trunk. FreePBX 16 does it by `Macro`, which no Asterisk of these tests has.
"""

from __future__ import annotations

import pytest

from tests.asterisk.hostile import NUMBER
from tests.asterisk.lab import Asterisk, Call
from tests.asterisk.peers import answers, closed_port, peer, silence

ROUTES = """
[globals](+)
OUT_1 = AMP:Local/$OUTNUM$@agi-lookup-trunk/n
OUT_2 = AMP:Local/$OUTNUM$@trunk-good/n
OUT_3 = AMP:Local/$OUTNUM$@trunk-full/n

; Outbound routes: their trunks in order.
[lookup-first]
exten => s,1,Gosub(macro-dialout-trunk,s,1(1,${ARG1},,off))
 same => n,Gosub(macro-dialout-trunk,s,1(2,${ARG1},,off))
 same => n,Hangup(34)
[plain]
exten => s,1,Gosub(macro-dialout-trunk,s,1(3,${ARG1},,off))
 same => n,Gosub(macro-dialout-trunk,s,1(2,${ARG1},,off))
 same => n,Hangup(34)

[trunk-ringing]
exten => _[+*#0-9]!,1,Gosub(lab-report,s,1(dialled ${CONTEXT} ${EXTEN}))
 same => n,Ringing()
 same => n,Wait(30)

[macro-dialout-trunk]
exten => s,1,Set(DIAL_TRUNK=${ARG1})
 same => n,Set(DIAL_NUMBER=${ARG2})
 same => n,Set(OUTNUM=${DIAL_NUMBER})
 same => n,Gosub(macro-dialout-trunk-predial-hook,s,1())
 same => n,Set(dial=${CUT(OUT_${DIAL_TRUNK},$,1)}${OUTNUM}${CUT(OUT_${DIAL_TRUNK},$,3)})
 same => n,Dial(${dial:4},30)
 same => n,Goto(s-${DIALSTATUS},1)
exten => s-BUSY,1,Hangup(17)
exten => s-ANSWER,1,Hangup()
exten => s-NOANSWER,1,Hangup(19)
exten => _s-.,1,Goto(${IF(${ISNULL(${HANGUPCAUSE})}?0:${HANGUPCAUSE})},1)
exten => 1,1,Hangup(28)
exten => 17,1,Goto(s-BUSY,1)
exten => 18,1,Goto(s-NOANSWER,1)
exten => _X,1,Return()
exten => _X.,1,Return()
exten => h,1,Goto(lab,h,1)
"""
BLOCK = answers(("LOOKUP_ACTION", "block"), ("LOOKUP_CAUSE", "21"), ("LOOKUP_STATUS", "OK"))


def routes(*trunks: str) -> tuple[tuple[str, str], ...]:
    """What the server says: these, in order."""
    dials = ((f"LCR_{n}_DIAL", f"Local/{NUMBER}@trunk-{trunk}/n") for n, trunk in enumerate(trunks, 1))
    names = ((f"LCR_{n}_TRUNK", trunk) for n, trunk in enumerate(trunks, 1))
    return (*dials, *names, ("LCR_COUNT", str(len(trunks))), ("LOOKUP_STATUS", "OK"))


@pytest.fixture(scope="module")
def freepbx(asterisk: Asterisk) -> Asterisk:
    asterisk.load_dialplan(ROUTES)
    return asterisk


async def call(freepbx: Asterisk, route: str, url: str, number: str = NUMBER, **variables: str) -> Call:
    return await freepbx.call(number, context=route, patience_s=10, **{"AGI_LOOKUP_URL": url, **variables})


async def test_ordinary_trunks_are_tried_with_what_was_looked_up(freepbx: Asterisk) -> None:
    async with peer(answers(("LOOKUP_CARRIER", "EE"), ("LOOKUP_STATUS", "OK"))) as server:
        done = await call(freepbx, "plain", server.url)
    assert done.dialled == [f"trunk-full {NUMBER}", f"trunk-good {NUMBER}"]
    assert done.at("hangup")["LOOKUP_CARRIER"] == "EE"
    assert len(server.sessions) == 2, "the hook runs before each trunk"


@pytest.mark.parametrize("route", ["plain", "lookup-first"])
async def test_a_blocked_call_reaches_no_trunk(freepbx: Asterisk, route: str) -> None:
    """The hook ends it: FreePBX would take a trunk's "rejected" for a reason to try the next one."""
    async with peer(BLOCK) as server:
        done = await call(freepbx, route, server.url)
    assert done.dialled == []
    assert done.at("hangup")["HANGUPCAUSE"] == "21"


async def test_the_lookup_trunk_dials_the_routes_in_order(freepbx: Asterisk) -> None:
    async with peer(answers(*routes("full", "good"))) as server:
        done = await call(freepbx, "lookup-first", server.url)
    assert done.dialled == [f"trunk-full {NUMBER}", f"trunk-good {NUMBER}"]
    assert done.at("hangup")["DIALSTATUS"] == "ANSWER"


async def test_a_busy_number_is_busy_and_not_dialled_again(freepbx: Asterisk) -> None:
    async with peer(answers(*routes("busy", "good"))) as server:
        done = await call(freepbx, "lookup-first", server.url)
    assert done.dialled == [f"trunk-busy {NUMBER}"]
    assert done.at("hangup")["HANGUPCAUSE"] == "17"


async def test_a_number_that_rings_unanswered_is_not_dialled_again(freepbx: Asterisk) -> None:
    async with peer(answers(*routes("ringing", "good"))) as server:
        done = await call(freepbx, "lookup-first", server.url, AGI_LOOKUP_DIAL_TIMEOUT_S="1")
    assert done.dialled == [f"trunk-ringing {NUMBER}"]
    assert done.at("hangup")["DIALSTATUS"] == "NOANSWER"


async def test_without_routes_freepbx_takes_its_next_trunk(freepbx: Asterisk) -> None:
    async with peer(answers(("LOOKUP_STATUS", "OK"))) as server:
        done = await call(freepbx, "lookup-first", server.url)
    assert done.dialled == [f"trunk-good {NUMBER}"]


async def test_routes_that_all_fail_leave_freepbx_its_next_trunk(freepbx: Asterisk) -> None:
    async with peer(answers(*routes("full", "full"))) as server:
        done = await call(freepbx, "lookup-first", server.url)
    assert done.dialled == [f"trunk-full {NUMBER}"] * 2 + [f"trunk-good {NUMBER}"]


async def test_without_a_server_freepbx_dials_as_ever(freepbx: Asterisk) -> None:
    done = await call(freepbx, "lookup-first", closed_port())
    assert done.dialled == [f"trunk-good {NUMBER}"]
    assert done.at("hangup")["DIALSTATUS"] == "ANSWER"


async def test_a_server_that_hangs_frees_the_call_for_each_trunk(freepbx: Asterisk) -> None:
    """F1: the watchdog comes back into FreePBX's own steps."""
    async with peer(silence) as server:
        done = await call(freepbx, "plain", server.url, AGI_LOOKUP_WATCHDOG_S="0.3")
    assert done.dialled == [f"trunk-full {NUMBER}", f"trunk-good {NUMBER}"]


@pytest.mark.parametrize("number", ["112", "911", "9112"])
async def test_an_emergency_call_is_dialled_and_nobody_is_asked(freepbx: Asterisk, number: str) -> None:
    """B1: also on a route that nobody has marked as an emergency route, behind an outside line's 9."""
    async with peer(BLOCK) as server:
        done = await call(freepbx, "lookup-first", server.url, number)
    assert server.sessions == []
    assert done.dialled == [f"trunk-good {number}"]


async def test_an_emergency_route_is_left_alone_whatever_its_number(freepbx: Asterisk) -> None:
    """B1."""
    async with peer(BLOCK) as server:
        done = await call(freepbx, "plain", server.url, EMERGENCYROUTE="YES")
    assert server.sessions == []
    assert done.dialled == [f"trunk-full {NUMBER}", f"trunk-good {NUMBER}"]
