"""What `agi-lookup-dial` reports of calls over SIP carriers, whoever hangs up, and what it does not."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from typing import Final

import pytest

from tests.asterisk.carriers import DIAL, Carrier, Router, carrier, said, to
from tests.asterisk.hostile import NUMBER
from tests.asterisk.lab import Asterisk, Call
from tests.asterisk.peers import Session, answers, peer

HOLD_MS: Final = 300


@pytest.fixture(scope="module")
def asterisk(unhurried: Asterisk) -> Asterisk:
    return unhurried


@pytest.fixture(scope="module")
def good(asterisk: Asterisk) -> Iterator[Carrier]:
    with carrier(asterisk, 200, hold_ms=HOLD_MS) as running:
        yield running


@pytest.mark.parametrize(("codes", "last"), [((), None), ((180,), 180), ((183,), 183)])
async def test_caller_who_hangs_up_before_the_answer_is_reported_and_not_dialled_on(
    asterisk: Asterisk, good: Carrier, codes: tuple[int, ...], last: int | None
) -> None:
    before = len(good.calls)
    with carrier(asterisk, *codes) as first:
        router = to(first, good)
        async with peer(router) as server:
            await asterisk.call(NUMBER, context=DIAL, AGI_LOOKUP_URL=server.url, patience_s=3)
    assert [said(report) for report in router.results] == [("CANCEL", None, last, last is not None)]
    assert len(good.calls) == before


async def test_caller_who_hangs_up_after_the_answer_is_reported_with_the_length(asterisk: Asterisk) -> None:
    with carrier(asterisk, 180, 200) as first:
        router = to(first)
        began = time.monotonic()
        async with peer(router) as server:
            await answered_and_hung_up(asterisk, server.url, first, after_s=3)
        elapsed_s = time.monotonic() - began
    [report] = router.results
    assert said(report) == ("ANSWER", 16, 200, True)
    assert report.billsec is not None
    assert 1 <= report.billsec <= elapsed_s + 1


async def answered_and_hung_up(asterisk: Asterisk, url: str, first: Carrier, *, after_s: float) -> Call:
    calling = asyncio.ensure_future(asterisk.call(NUMBER, context=DIAL, AGI_LOOKUP_URL=url))
    while not first.calls:
        await asyncio.sleep(0.02)
    await asyncio.sleep(after_s)
    [caller] = re.findall(r"^Local/s@lab-[^!]*;1", asterisk.cli("core show channels concise"), re.MULTILINE)
    asterisk.cli(f"channel request hangup {caller}")
    return await calling


async def test_length_is_unknown_when_the_caller_was_up_before(asterisk: Asterisk, good: Carrier) -> None:
    """ANSWEREDTIME counts from when the caller's channel was answered: by an announcement, say."""
    asterisk.load_dialplan("""
[answered-first]
exten => s,1,Answer()
 same => n,Gosub(agi-lookup-dial,s,1(${ARG1}))
""")
    router = to(good)
    async with peer(router) as server:
        await asterisk.call(NUMBER, context="answered-first", AGI_LOOKUP_URL=server.url)
    [report] = router.results
    assert (report.dialstatus, report.billsec, report.pdd_ms) == ("ANSWER", None, None)


# ------------------------------------------------------------------------------------------------------- reporting


async def test_default_trunk_is_reported_too(asterisk: Asterisk, good: Carrier) -> None:
    router = Router(lambda _: [])
    async with peer(router) as server:
        await asterisk.call(NUMBER, context=DIAL, AGI_LOOKUP_URL=server.url, AGI_LOOKUP_DEFAULT_DIAL=good.dial("{num}"))
    assert [(report.trunk, report.dialstatus) for report in router.results] == [("default", "ANSWER")]


@pytest.mark.parametrize("number", ["112", "9*911", "+1911"])
async def test_emergency_calls_are_never_reported(asterisk: Asterisk, good: Carrier, number: str) -> None:
    """B1"""
    router = to(good)
    before = len(good.calls)
    async with peer(router) as server:
        await asterisk.call(number, context=DIAL, AGI_LOOKUP_URL=server.url, AGI_LOOKUP_DEFAULT_DIAL=good.dial("{num}"))
    assert server.sessions == []
    assert len(good.calls) == before + 1


async def test_call_without_an_answer_from_the_server_is_not_reported(asterisk: Asterisk, good: Carrier) -> None:
    """It would only wait for the same server again."""
    async with peer(answers(("LOOKUP_NUMBER", NUMBER), ("LCR_COUNT", "0"))) as server:
        call = await asterisk.call(
            NUMBER, context=DIAL, AGI_LOOKUP_URL=server.url, AGI_LOOKUP_DEFAULT_DIAL=good.dial("{num}")
        )
    assert len(server.sessions) == 1
    assert call.at("hangup")["DIALSTATUS"] == "ANSWER"


class Mute(Router):
    """Routes, and then never a word about results."""

    async def __call__(self, session: Session) -> None:
        if session.value("agi_network_script") == "result":
            await session.reader.read()
        await super().__call__(session)


async def test_server_that_hangs_over_a_result_delays_one_route_and_is_left_alone(
    asterisk: Asterisk, good: Carrier
) -> None:
    before = len(good.calls)
    with carrier(asterisk, 503) as first, carrier(asterisk, 404) as second:
        async with peer(Mute(to(first, second, good).routes)) as server:
            await asterisk.call(NUMBER, context=DIAL, AGI_LOOKUP_URL=server.url)
            asked = [session.value("agi_network_script") for session in server.sessions]
    assert asked == ["lookup", "result"]
    assert len(good.calls) == before + 1


async def test_call_whose_caller_left_ends_with_a_server_that_hung(asterisk: Asterisk) -> None:
    """A watchdog needs a living channel, so this one waits: with nobody on it, until the server is restarted."""
    with carrier(asterisk, 200) as first:
        async with peer(Mute(to(first).routes)) as server:
            calling = asyncio.create_task(answered_and_hung_up(asterisk, server.url, first, after_s=0.3))
            while len(server.sessions) < 2:
                await asyncio.sleep(0.02)
        call = await calling
    assert not call.went_on
