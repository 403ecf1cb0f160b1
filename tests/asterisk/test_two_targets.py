"""Two servers in the dialplan, as docs/cluster.md shows it: the second is asked when the first gave no answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.asterisk.lab import UNKNOWN, Asterisk, Call
from tests.asterisk.peers import Behaviour, Session, answers, closed_port, peer, sets, silence
from tests.processes import Site, make_site

NUMBER: Final = "+447400123456"
PAGE: Final = Path(__file__).parents[2] / "docs" / "cluster.md"
SECOND: Final = "agi://10.0.0.2:4573"
"""As the page has it."""
FOUND: Final = UNKNOWN | {"LOOKUP_CARRIER": "First", "LOOKUP_STATUS": "OK"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = make_site(tmp_path_factory.mktemp("second"))
    with site.serve():
        yield site


def snippet() -> str:
    [steps] = [block for block in re.findall(r"```ini\n(.*?)```", PAGE.read_text(), re.DOTALL) if SECOND in block]
    return str(steps).replace("${EXTEN}", "${ARG1}").replace(SECOND, "${SECOND}")


async def call(asterisk: Asterisk, first: str, second: str) -> Call:
    asterisk.load_dialplan(f"[two-targets]\nexten => s,1,NoOp()\n{snippet()} same => n,Return()\n")
    return await asterisk.call(
        NUMBER, context="two-targets", AGI_LOOKUP_URL=first, SECOND=second, AGI_LOOKUP_WATCHDOG_S=3
    )


async def test_who_cannot_be_reached_is_followed_by_the_second(asterisk: Asterisk, site: Site) -> None:
    """O1."""
    made = await call(asterisk, closed_port(), f"agi://{site.agi}")
    assert made.route["LOOKUP_STATUS"] in {"OK", "PARTIAL"}
    assert (made.route["LOOKUP_NUMBER"], made.route["LOOKUP_ACTION"]) == (NUMBER, "allow")


async def crashes_half_way(session: Session) -> None:
    await session.command(sets(("LOOKUP_ACTION", "block"), ("LOOKUP_CARRIER", "Nobody")))


@pytest.mark.parametrize("trouble", [silence, crashes_half_way])
async def test_who_gives_no_answer_is_followed_by_the_second(asterisk: Asterisk, trouble: Behaviour) -> None:
    """O1, O2: a crash counts as SUCCESS, and the watchdog ends a silence."""
    async with peer(trouble) as first, peer(answers(*FOUND.items())) as second:
        made = await call(asterisk, first.url, second.url)
    assert made.lookup == FOUND


async def test_the_second_is_not_asked_where_the_first_answered(asterisk: Asterisk) -> None:
    async with peer(answers(*FOUND.items())) as first, peer(answers(*UNKNOWN.items())) as second:
        made = await call(asterisk, first.url, second.url)
    assert made.lookup == FOUND
    assert second.sessions == []


async def test_a_call_goes_on_when_neither_can_be_reached(asterisk: Asterisk) -> None:
    """O1."""
    made = await call(asterisk, closed_port(), closed_port())
    assert made.went_on
    assert made.lookup == UNKNOWN
