"""The server as users run it behind a real Asterisk: answers under load, and calls that go on whatever happens to it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.asterisk.hostile import CALLER, DIALLED, NUMBER
from tests.asterisk.lab import NOTHING, Asterisk
from tests.asterisk.sipp import load
from tests.processes import Site, make_site

NUMBERS: Final = [f"+{n}" for n in range(447400123400, 447400123420)] + [
    f"+{n}" for n in range(33612345600, 33612345620)
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server for all tests here that leave it alive."""
    site = make_site(tmp_path_factory.mktemp("site"))
    with site.serve():
        yield site


def url(site: Site) -> str:
    return f"agi://{site.agi}"


async def oracle(asterisk: Asterisk, site: Site) -> list[dict[str, str]]:
    """What a lone call to each of the numbers gets."""
    return [(await asterisk.call(number, AGI_LOOKUP_URL=url(site))).facts for number in NUMBERS]


async def loaded(asterisk: Asterisk, site: Site, *, rate: int, seconds: int, context: str = "agi-lookup") -> None:
    expected = await oracle(asterisk, site)
    calls = await load(asterisk, NUMBERS, url=url(site), rate=rate, seconds=seconds, context=context)
    assert [call.facts for call in calls] == [expected[n % len(NUMBERS)] for n in range(rate * seconds)]


async def test_every_call_of_a_load_gets_the_answer_of_a_lone_call(asterisk: Asterisk, site: Site) -> None:
    await loaded(asterisk, site, rate=100, seconds=3)


@pytest.mark.soak
@pytest.mark.skipif("SOAK" not in os.environ, reason="a minute of 300 calls a second: make soak")
@pytest.mark.timeout(300, func_only=True)
async def test_three_hundred_calls_a_second_for_a_minute(asterisk: Asterisk, site: Site) -> None:
    """G1."""
    await loaded(asterisk, site, rate=300, seconds=60, context="as-shipped")


async def test_killed_and_restarted_server_loses_no_call(asterisk: Asterisk, tmp_path: Path) -> None:
    """O1: a call gets its whole answer or none."""
    site = make_site(tmp_path)
    with site.serve() as process:
        expected = await oracle(asterisk, site)
        calling = asyncio.create_task(load(asterisk, NUMBERS, url=url(site), rate=60, seconds=6))
        await asyncio.sleep(1)
        process.end(signal.SIGKILL)
        await asyncio.sleep(0.5)
        with site.serve():
            got = [call.facts for call in await calling]
            assert (await asterisk.call(NUMBERS[0], AGI_LOOKUP_URL=url(site))).facts == expected[0]
    assert [facts for n, facts in enumerate(got) if facts not in (expected[n % len(NUMBERS)], NOTHING)] == []
    assert NOTHING in got


BEHIND: Final = {"NONE", "TIMEOUT", "DEGRADED"}
"""What it may say until it has caught up."""


async def test_stopped_server_holds_no_call_and_answers_again_when_it_goes_on(
    asterisk: Asterisk, tmp_path: Path
) -> None:
    """O2."""
    site = make_site(tmp_path)
    with site.serve() as process:
        answered = (await asterisk.call(NUMBER, AGI_LOOKUP_URL=url(site))).facts
        os.kill(process.pid, signal.SIGSTOP)
        held = await asyncio.gather(
            *(asterisk.call(NUMBER, AGI_LOOKUP_URL=url(site), AGI_LOOKUP_WATCHDOG_S=0.5) for _ in range(20))
        )
        os.kill(process.pid, signal.SIGCONT)
        assert [call.facts for call in held] == [NOTHING] * 20
        while (again := (await asterisk.call(NUMBER, AGI_LOOKUP_URL=url(site))).facts)["LOOKUP_STATUS"] in BEHIND:
            await asyncio.sleep(0.1)
        assert again == answered


READABLE: Final = {"space": f"{NUMBER}4", "name_quotes": NUMBER, "from_quotes": NUMBER}
"""Odd, but no lie about the number that was dialled."""


@pytest.mark.parametrize("name", [*DIALLED, *CALLER])
async def test_hostile_call_past_a_bare_dialplan_gets_no_answer_for_another_number(
    asterisk: Asterisk, site: Site, name: str
) -> None:
    """F7 to F10: the second line of defence, without the shipped filters in front."""
    invite = replace((DIALLED | CALLER)[name], source="127.0.0.2")
    _, call = await asterisk.sip_call(invite, url(site))
    readable = name in READABLE
    assert call.route["LOOKUP_NUMBER"] == READABLE.get(name, "")
    assert (call.route["LOOKUP_STATUS"] in ("OK", "PARTIAL")) is readable
    assert call.route["LOOKUP_ACTION"] in ("", "allow")


@pytest.mark.parametrize("number", ["112", "911", "999", "9*911", "112#", "0112", "+1911", "0044999"])
async def test_server_itself_takes_emergency_numbers_for_what_they_are(
    asterisk: Asterisk, site: Site, number: str
) -> None:
    """B1: also when a dialplan without the shipped patterns hands them over."""
    asterisk.load_dialplan("""
[past-the-patterns]
exten => s,1,AGI(${AGI_LOOKUP_URL}/lookup,${ARG1},${UNIQUEID},-)
 same => n,Return()
""")
    call = await asterisk.call(number, context="past-the-patterns", AGI_LOOKUP_URL=url(site))
    assert (call.route["LOOKUP_STATUS"], call.route["LOOKUP_ACTION"]) == ("EMERGENCY", "allow")
