"""What Asterisk reports when the server misbehaves, and that the call goes on whatever it does.

The rows are those of res_agi.c's AGISTATUS, tried through the shipped `agi-lookup`. The thing to see: AGISTATUS says SUCCESS also
when the server crashed, so only a committed LOOKUP_STATUS may be believed.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.asterisk.lab import UNKNOWN, Asterisk
from tests.asterisk.peers import Behaviour, Session, answers, closed_port, listener, peer, sets, silence

NUMBER = "+447400123456"
HALF = sets(("LOOKUP_ACTION", "block"), ("LOOKUP_CAUSE", "1"), ("LCR_COUNT", "1"), ("LOOKUP_CARRIER", "Nobody"))
"""All that a blocking answer has but its commit."""


async def test_port_closed_is_failure_and_the_call_goes_on(asterisk: Asterisk) -> None:
    call = await asterisk.call(NUMBER, AGI_LOOKUP_URL=closed_port())
    assert call.route["AGISTATUS"] == "FAILURE"
    assert call.lookup == UNKNOWN


async def test_full_backlog_is_failure_and_the_call_goes_on(asterisk: Asterisk) -> None:
    """res_agi.c MAX_AGI_CONNECT: the connect is given up after 2 s."""
    with listener(0, full=True) as url:
        call = await asterisk.call(NUMBER, AGI_LOOKUP_URL=url)
    assert call.route["AGISTATUS"] == "FAILURE"
    assert call.lookup == UNKNOWN


async def test_unresolvable_name_is_failure_and_the_call_goes_on(asterisk: Asterisk) -> None:
    call = await asterisk.call(NUMBER, AGI_LOOKUP_URL="agi://nobody.invalid:4573")
    assert call.route["AGISTATUS"] == "FAILURE"
    assert call.lookup == UNKNOWN


async def test_whole_answer_is_committed(asterisk: Asterisk) -> None:
    answer = UNKNOWN | {"LOOKUP_CARRIER": "EE Limited", "LOOKUP_MCCMNC": "23430", "LOOKUP_STATUS": "OK"}
    async with peer(answers(*answer.items())) as server:
        call = await asterisk.call(NUMBER, AGI_LOOKUP_URL=server.url)
    assert call.route["AGISTATUS"] == "SUCCESS"
    assert call.lookup == answer


async def closes(session: Session) -> None:
    """Dies after the environment: no command at all."""


async def resets(session: Session) -> None:
    session.reset()


async def closes_after_half(session: Session) -> None:
    await session.command(HALF)


async def resets_after_half(session: Session) -> None:
    await session.command(HALF)
    session.reset()


async def closes_without_awaiting_the_reply(session: Session) -> None:
    session.send(f"{HALF}\n".encode())
    await session.writer.drain()


async def closes_after_nonsense(session: Session) -> None:
    """A bug: 510 for an unknown command, the many lines of 520 for a wrong one."""
    assert (await session.command("NONSENSE")).startswith("510")
    assert (await session.command("SET VARIABLE X")).startswith("520-")


CRASHES = [
    closes,
    resets,
    closes_after_half,
    resets_after_half,
    closes_without_awaiting_the_reply,
    closes_after_nonsense,
]


@pytest.mark.parametrize("crash", CRASHES, ids=lambda crash: crash.__name__)
async def test_crash_counts_as_success_but_commits_nothing(asterisk: Asterisk, crash: Behaviour) -> None:
    """O1: half an answer that says block, with no commit behind it, must read as allow."""
    async with peer(crash) as server:
        call = await asterisk.call(NUMBER, AGI_LOOKUP_URL=server.url)
    assert call.route["AGISTATUS"] == "SUCCESS"
    assert call.lookup == UNKNOWN


async def test_close_before_the_environment_commits_nothing(asterisk: Asterisk) -> None:
    async with peer(closes, reads=False) as server:
        call = await asterisk.call(NUMBER, AGI_LOOKUP_URL=server.url)
    assert call.lookup == UNKNOWN


async def test_failure_line_is_failure_and_commits_nothing(asterisk: Asterisk) -> None:
    async def gives_up(session: Session) -> None:
        await session.command(HALF)
        session.send(b"FAILURE\n")

    async with peer(gives_up) as server:
        call = await asterisk.call(NUMBER, AGI_LOOKUP_URL=server.url)
    assert call.route["AGISTATUS"] == "FAILURE"
    assert call.lookup == UNKNOWN


# ------------------------------------------------------------------------------------------------- the watchdog


async def hangs_after_half(session: Session) -> None:
    await session.command(HALF)
    await silence(session)


@pytest.mark.parametrize("hang", [silence, hangs_after_half], ids=lambda hang: hang.__name__)
async def test_watchdog_brings_the_call_back_from_a_silent_server(asterisk: Asterisk, hang: Behaviour) -> None:
    """O2: Asterisk itself would wait for ever."""
    async with peer(hang) as server:
        call = await asterisk.call(NUMBER, AGI_LOOKUP_URL=server.url, AGI_LOOKUP_WATCHDOG_S=2)
    assert call.route["AGISTATUS"] == "HANGUP"
    assert call.lookup == UNKNOWN


async def test_watchdog_is_armed_by_default(asterisk: Asterisk) -> None:
    """O2: a stopped process still has its queue, so the connect succeeds and nobody ever reads."""
    with listener(16, full=False) as url:
        calls = await asyncio.gather(
            *(asterisk.call(NUMBER, AGI_LOOKUP_URL=url, AGI_LOOKUP_WATCHDOG_S="") for _ in range(8))
        )
    assert [call.route["AGISTATUS"] for call in calls] == ["HANGUP"] * 8
    assert [call.lookup for call in calls] == [UNKNOWN] * 8


async def test_answer_committed_before_the_hang_is_kept(asterisk: Asterisk) -> None:
    async def commits_then_hangs(session: Session) -> None:
        await session.command(sets(("LOOKUP_CARRIER", "EE"), ("LOOKUP_STATUS", "OK")))
        await silence(session)

    async with peer(commits_then_hangs) as server:
        call = await asterisk.call(NUMBER, AGI_LOOKUP_URL=server.url, AGI_LOOKUP_WATCHDOG_S=2)
    assert (call.route["LOOKUP_STATUS"], call.route["LOOKUP_CARRIER"]) == ("OK", "EE")


async def test_half_a_line_is_beyond_the_watchdog_and_ends_with_the_connection(asterisk: Asterisk) -> None:
    """F19: res_agi.c reads on for the rest of the line and looks at nothing else, so a server must never leave one."""
    consoles: list[str] = []

    async def closes_within_a_line(session: Session) -> None:
        session.send(HALF[:-5].encode())
        await asyncio.sleep(3.5)
        consoles.append(asterisk.cli("core show channels concise"))

    async with peer(closes_within_a_line) as server:
        call = await asterisk.call(NUMBER, AGI_LOOKUP_URL=server.url, AGI_LOOKUP_WATCHDOG_S=2)
    assert "!AGI!" in consoles[0]
    assert call.lookup == UNKNOWN


async def test_answer_cut_at_any_byte_commits_nothing(asterisk: Asterisk) -> None:
    """O1, F19: Asterisk runs what it got of a line when the connection ends, an open quote and all."""
    line = sets(("LOOKUP_ACTION", "block"), ("LOOKUP_CAUSE", "1"), ("LOOKUP_STATUS", "DEGRADED"))
    lengths = iter(range(len(line) - 1))

    async def closes_within_a_line(session: Session) -> None:
        session.send(line[: next(lengths)].encode())

    async with peer(closes_within_a_line) as server:
        calls = await asyncio.gather(*(asterisk.call(NUMBER, AGI_LOOKUP_URL=server.url) for _ in range(len(line) - 1)))
    assert [call.lookup for call in calls] == [UNKNOWN] * len(calls)


# --------------------------------------------------------------------------------------------------- hang-up


async def test_hangup_during_the_lookup_lets_go_at_once_and_runs_the_sites_h(asterisk: Asterisk) -> None:
    """F13: the server sees the end of the connection, the site's own h extension runs."""
    ended = asyncio.Event()

    async def waits_for_the_end(session: Session) -> None:
        assert await session.line() == ""
        ended.set()

    async with peer(waits_for_the_end) as server:
        call = await asterisk.call(NUMBER, AGI_LOOKUP_URL=server.url, AGI_LOOKUP_WATCHDOG_S=20, patience_s=2)
        await asyncio.wait_for(ended.wait(), 30)
    assert not call.went_on
    assert call.at("hangup")["AGISTATUS"] == "HANGUP"
    assert call.at("hangup")["LOOKUP_STATUS"] == "NONE"


BARE = """
[bare-agi]
exten => s,1,Set(AGISIGHUP=${LAB_SIGHUP})
 same => n,AGI(${AGI_LOOKUP_URL})
 same => n,Return()
exten => h,1,Goto(lab,h,1)
"""


async def test_without_the_shipped_settings_a_hangup_is_a_line_on_the_wire(asterisk: Asterisk) -> None:
    """F14: the channel is dead then, yet variables can be set, and Asterisk waits until the server closes."""
    asterisk.load_dialplan(BARE)

    async def outlives_the_caller(session: Session) -> None:
        assert await session.line() == "HANGUP"
        assert await session.command('SET VARIABLE LOOKUP_STATUS "late"') == "200 result=1"
        assert (await session.command("ANSWER")).startswith("511")

    async with peer(outlives_the_caller) as server:
        call = await asterisk.call(NUMBER, context="bare-agi", AGI_LOOKUP_URL=server.url, LAB_SIGHUP="", patience_s=2)
    assert call.at("hangup")["AGISTATUS"] == "HANGUP"
    assert call.at("hangup")["LOOKUP_STATUS"] == "late"


async def test_agisighup_no_keeps_the_hangup_line_back(asterisk: Asterisk) -> None:
    asterisk.load_dialplan(BARE)

    async def learns_it_only_from_a_refusal(session: Session) -> None:
        await asyncio.sleep(4)
        assert (await session.command("ANSWER")).startswith("511")

    async with peer(learns_it_only_from_a_refusal) as server:
        call = await asterisk.call(NUMBER, context="bare-agi", AGI_LOOKUP_URL=server.url, LAB_SIGHUP="no", patience_s=1)
    assert call.at("hangup")["AGISTATUS"] == "HANGUP"


# ---------------------------------------------------------------------------------------- the site's own limit

SITE = """
[site-limit]
exten => s,1,Set(TIMEOUT(absolute)=${LAB_LIMIT_S})
 same => n,Gosub(agi-lookup,s,1(${ARG1}))
 same => n,Gosub(lab-report,s,1(route))
 same => n,Wait(${LAB_WAIT_S})
 same => n,Return()
exten => T,1,Gosub(lab-report,s,1(site-timeout))
 same => n,Hangup()
exten => h,1,Goto(lab,h,1)
"""


@pytest.mark.parametrize("behave", [answers(("LOOKUP_STATUS", "OK")), silence], ids=["answered", "silent"])
async def test_the_sites_time_limit_is_given_back_less_the_lookup(asterisk: Asterisk, behave: Behaviour) -> None:
    asterisk.load_dialplan(SITE)
    async with peer(behave) as server:
        call = await asterisk.call(
            NUMBER,
            context="site-limit",
            LAB_LIMIT_S=100,
            AGI_LOOKUP_URL=server.url,
            AGI_LOOKUP_WATCHDOG_S=2,
            LAB_WAIT_S=0,
        )
    spent_at_least = 2 if behave is silence else 0
    assert 60 < float(call.route["absolute"]) <= 100 - spent_at_least


async def test_a_site_limit_that_ran_out_meanwhile_reaches_the_sites_t(asterisk: Asterisk) -> None:
    asterisk.load_dialplan(SITE)
    async with peer(silence) as server:
        call = await asterisk.call(
            NUMBER,
            context="site-limit",
            LAB_LIMIT_S=2,
            AGI_LOOKUP_URL=server.url,
            AGI_LOOKUP_WATCHDOG_S=3,
            LAB_WAIT_S=5,
        )
    assert call.went_on
    assert call.at("site-timeout")["LOOKUP_STATUS"] == "NONE"


async def test_a_call_without_a_limit_gets_none(asterisk: Asterisk) -> None:
    async with peer(silence) as server:
        call = await asterisk.call(NUMBER, AGI_LOOKUP_URL=server.url, AGI_LOOKUP_WATCHDOG_S=0.3)
    assert call.route["absolute"] == "0"


async def test_settings_of_the_watchdog_do_not_leak_into_the_sites_own_agis(asterisk: Asterisk) -> None:
    async with peer(answers(("LOOKUP_STATUS", "OK"))) as server:
        call = await asterisk.call(NUMBER, AGI_LOOKUP_URL=server.url)
    assert call.route["AGISIGHUP"] == ""
