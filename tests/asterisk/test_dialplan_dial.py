"""`agi-lookup-dial` and the FreePBX hook: what is blocked, what is dialled, in which order."""

from __future__ import annotations

import pytest

from tests.asterisk.hostile import DIALLED, NUMBER
from tests.asterisk.invite import Invite
from tests.asterisk.lab import Asterisk
from tests.asterisk.peers import answers, closed_port, peer

OK = answers(("LOOKUP_CARRIER", "EE"), ("LOOKUP_STATUS", "OK"))


def route(number: int, trunk: str) -> tuple[str, str]:
    return f"LCR_{number}_DIAL", f"Local/{NUMBER}@trunk-{trunk}/n"


@pytest.mark.parametrize(
    ("cause", "sip"), [(1, 404), (3, 404), (17, 486), (19, 480), (20, 480), (21, 403), (22, 410), (28, 484), (34, 503)]
)
async def test_blocked_call_ends_with_the_servers_cause(asterisk: Asterisk, cause: int, sip: int) -> None:
    """And its caller gets the SIP code that Asterisk has for it: 404 for 1, "unallocated number". Nothing is reported."""
    block = answers(
        ("LOOKUP_NUMBER", NUMBER), ("LOOKUP_ACTION", "block"), ("LOOKUP_CAUSE", str(cause)), ("LOOKUP_STATUS", "OK")
    )
    async with peer(block) as server:
        status, call = await asterisk.sip_call(Invite(NUMBER), server.url, context="agi-lookup-dial")
    assert (status, call.at("hangup")["HANGUPCAUSE"]) == (sip, str(cause))
    assert not call.went_on
    assert len(server.sessions) == 1


async def test_blocked_call_without_a_cause_is_rejected(asterisk: Asterisk) -> None:
    async with peer(answers(("LOOKUP_ACTION", "block"), ("LOOKUP_STATUS", "OK"))) as server:
        call = await asterisk.call(NUMBER, context="agi-lookup-dial", AGI_LOOKUP_URL=server.url)
    assert call.at("hangup")["HANGUPCAUSE"] == "21"


async def test_uncommitted_block_does_not_block(asterisk: Asterisk) -> None:
    trunk = "Local/{num}@trunk-good/n"
    async with peer(answers(("LOOKUP_ACTION", "block"), ("LCR_COUNT", "1"), route(1, "busy"))) as server:
        call = await asterisk.call(
            NUMBER, context="agi-lookup-dial", AGI_LOOKUP_URL=server.url, AGI_LOOKUP_DEFAULT_DIAL=trunk
        )
    assert call.dialled == [f"trunk-good {NUMBER}"]


@pytest.mark.parametrize("number", [NUMBER, "07400123456", "112", "9*911", "*43"])
async def test_default_trunk_gets_the_number_as_dialled(asterisk: Asterisk, number: str) -> None:
    call = await asterisk.call(
        number,
        context="agi-lookup-dial",
        AGI_LOOKUP_URL=closed_port(),
        AGI_LOOKUP_DEFAULT_DIAL="Local/{num}@trunk-good/n",
    )
    assert call.dialled == [f"trunk-good {number}"]
    assert call.at("hangup")["DIALSTATUS"] == "ANSWER"


async def test_emergency_calls_take_their_own_trunk_when_there_is_one(asterisk: Asterisk) -> None:
    call = await asterisk.call(
        "112",
        context="agi-lookup-dial",
        AGI_LOOKUP_URL=closed_port(),
        AGI_LOOKUP_DEFAULT_DIAL="Local/{num}@trunk-full/n",
        AGI_LOOKUP_EMERGENCY_DIAL="Local/{num}@trunk-good/n",
    )
    assert call.dialled == ["trunk-good 112"]


@pytest.mark.parametrize("written", ["9-1-1", "1.1.2", "9 1 1", "112;phone-context=x"])
async def test_a_call_for_help_is_dialled_however_it_is_written(asterisk: Asterisk, written: str) -> None:
    call = await asterisk.call(
        written,
        context="agi-lookup-dial",
        AGI_LOOKUP_URL=closed_port(),
        AGI_LOOKUP_EMERGENCY_DIAL="Local/{num}@trunk-good/n",
    )
    assert call.dialled == ["trunk-good " + "".join(c for c in written if c.isdigit())]


async def test_routes_are_tried_in_order_until_one_takes_the_call(asterisk: Asterisk) -> None:
    routes = (("LCR_COUNT", "3"), route(1, "full"), route(2, "good"), route(3, "busy"), ("LOOKUP_STATUS", "OK"))
    async with peer(answers(*routes)) as server:
        call = await asterisk.call(
            NUMBER,
            context="agi-lookup-dial",
            AGI_LOOKUP_URL=server.url,
            AGI_LOOKUP_DEFAULT_DIAL="Local/{num}@trunk-good/n",
        )
    assert call.dialled == [f"trunk-full {NUMBER}", f"trunk-good {NUMBER}"]


async def test_busy_is_not_tried_again_elsewhere(asterisk: Asterisk) -> None:
    routes = (("LCR_COUNT", "2"), route(1, "busy"), route(2, "good"), ("LOOKUP_STATUS", "OK"))
    async with peer(answers(*routes)) as server:
        call = await asterisk.call(NUMBER, context="agi-lookup-dial", AGI_LOOKUP_URL=server.url)
    assert call.dialled == [f"trunk-busy {NUMBER}"]
    assert call.at("hangup")["HANGUPCAUSE"] == "17"


async def test_call_ends_with_the_last_trunks_cause_when_none_takes_it(asterisk: Asterisk) -> None:
    routes = (("LCR_COUNT", "2"), route(1, "full"), route(2, "full"), ("LOOKUP_STATUS", "OK"))
    async with peer(answers(*routes)) as server:
        call = await asterisk.call(NUMBER, context="agi-lookup-dial", AGI_LOOKUP_URL=server.url)
    assert call.dialled == [f"trunk-full {NUMBER}"] * 2
    assert call.at("hangup")["HANGUPCAUSE"] == "34"


async def test_without_any_trunk_the_call_goes_back_to_the_site(asterisk: Asterisk) -> None:
    async with peer(OK) as server:
        call = await asterisk.call(NUMBER, context="agi-lookup-dial", AGI_LOOKUP_URL=server.url)
    assert call.went_on
    assert call.dialled == []


@pytest.mark.parametrize("name", DIALLED)
async def test_hostile_dialled_numbers_are_never_dialled(asterisk: Asterisk, name: str) -> None:
    """F7 to F11: 28, "invalid number format", is SIP's 484."""
    status, call = await asterisk.sip_call(DIALLED[name], closed_port(), context="agi-lookup-dial")
    assert (status, call.dialled, call.went_on) == (484, [], False)


# ---------------------------------------------------------------------------------------------------- FreePBX

FREEPBX = """
[freepbx]
exten => s,1,Set(DIAL_NUMBER=${ARG1})
 same => n,Gosub(macro-dialout-trunk-predial-hook,s,1())
 same => n,Return()
"""


async def test_freepbx_hook_looks_up_and_returns(asterisk: Asterisk) -> None:
    asterisk.load_dialplan(FREEPBX)
    async with peer(OK) as server:
        call = await asterisk.call(NUMBER, context="freepbx", AGI_LOOKUP_URL=server.url)
    assert call.route["LOOKUP_CARRIER"] == "EE"


async def test_freepbx_hook_ends_a_blocked_call(asterisk: Asterisk) -> None:
    asterisk.load_dialplan(FREEPBX)
    async with peer(answers(("LOOKUP_ACTION", "block"), ("LOOKUP_CAUSE", "1"), ("LOOKUP_STATUS", "OK"))) as server:
        call = await asterisk.call(NUMBER, context="freepbx", AGI_LOOKUP_URL=server.url)
    assert not call.went_on
    assert call.at("hangup")["HANGUPCAUSE"] == "1"


async def test_freepbx_hook_leaves_emergency_routes_alone(asterisk: Asterisk) -> None:
    asterisk.load_dialplan(FREEPBX)
    async with peer(OK) as server:
        call = await asterisk.call(NUMBER, context="freepbx", AGI_LOOKUP_URL=server.url, EMERGENCYROUTE="YES")
    assert server.sessions == []
    assert call.went_on
