"""`agi-lookup-dial` over SIP carriers: what each of their answers does to the call, to its caller and to the report."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from tests.asterisk.carriers import DIAL, TRUNKS, Carrier, Router, carrier, said, to
from tests.asterisk.hostile import NUMBER
from tests.asterisk.invite import Invite
from tests.asterisk.lab import DIALPLAN, Asterisk
from tests.asterisk.peers import peer

HOLD_MS: Final = 300
UNHURRIED_MS: Final = 10_000
"""A post-dial delay of less: the carriers answer at once, or ring at once."""


@pytest.fixture(scope="module")
def asterisk(unhurried: Asterisk) -> Asterisk:
    return unhurried


@pytest.fixture(scope="module")
def good(asterisk: Asterisk) -> Iterator[Carrier]:
    with carrier(asterisk, 200, hold_ms=HOLD_MS) as running:
        yield running


class Told(NamedTuple):
    """What a carrier's answers come to, where it is the first of two and where it is the last."""

    codes: tuple[int, ...]
    advances: bool
    caller: int  # the final SIP code that the caller gets when no other carrier is left
    dialstatus: str
    cause: int | None
    sip_code: int | None
    rang: bool = False


TABLE: Final = [
    Told((200,), False, 200, "ANSWER", 16, 200, rang=True),
    Told((180, 200), False, 200, "ANSWER", 16, 200, rang=True),
    Told((183, 200), False, 200, "ANSWER", 16, 200, rang=True),
    # the callee's own word, or a ring: final everywhere
    Told((486,), False, 486, "BUSY", 17, 486),
    Told((180, 486), False, 486, "BUSY", 17, 486, rang=True),
    Told((600,), False, 486, "BUSY", 17, 600),
    Told((603,), False, 403, "CHANUNAVAIL", 21, 603),
    Told((180, 603), False, 403, "CHANUNAVAIL", 21, 603, rang=True),
    Told((608,), False, 500, "CHANUNAVAIL", 127, 608),
    Told((410,), False, 410, "CHANUNAVAIL", 22, 410),
    Told((180, 480), False, 480, "NOANSWER", 19, 480, rang=True),
    Told((180, 408), False, 408, "CHANUNAVAIL", 18, 408, rang=True),
    # the carrier's trouble, whatever it played before
    Told((500,), True, 500, "CHANUNAVAIL", 38, 500),
    Told((502,), True, 502, "CHANUNAVAIL", 27, 502),
    Told((503,), True, 503, "CONGESTION", 34, 503),
    Told((180, 503), True, 503, "CONGESTION", 34, 503, rang=True),
    Told((404,), True, 404, "CHANUNAVAIL", 1, 404),
    Told((183, 404), True, 404, "CHANUNAVAIL", 1, 404, rang=True),
    Told((402,), True, 500, "CHANUNAVAIL", 127, 402),
    # either: it is the carrier's trouble when nothing rang
    Told((403,), True, 403, "CHANUNAVAIL", 21, 403),
    Told((408,), True, 408, "CHANUNAVAIL", 18, 408),
    Told((480,), True, 480, "NOANSWER", 19, 480),
    Told((488,), True, 488, "CHANUNAVAIL", 58, 488),
    # a redirection is not followed: the carrier would choose what is dialled next
    Told((302,), True, 503, "CHANUNAVAIL", None, None),
]


@pytest.mark.parametrize("told", TABLE, ids=lambda told: "-".join(map(str, told.codes)))
async def test_answer_advances_or_ends_the_call_and_is_reported(asterisk: Asterisk, good: Carrier, told: Told) -> None:
    before = len(good.calls)
    with carrier(asterisk, *told.codes, pause_ms=30, hold_ms=HOLD_MS) as first:
        routes = [("first", first.dial("1" + NUMBER[1:])), ("second", good.dial(NUMBER))]
        router = Router(lambda _: routes)
        async with peer(router) as server:
            status, call = await asterisk.sip_call(Invite(NUMBER), server.url, context=DIAL)
            both = router.results.copy()
            del routes[1]
            alone, _ = await asterisk.sip_call(Invite(NUMBER), server.url, context=DIAL)
    assert (status, alone) == (200 if told.advances else told.caller, told.caller)
    assert len(good.calls) - before == told.advances
    assert [report.trunk for report in both] == ["first", "second"][: 1 + told.advances]
    assert {report.number for report in router.results} == {NUMBER}
    assert said(both[0]) == said(router.results[-1]) == (told.dialstatus, told.cause, told.sip_code, told.rang)
    assert router.channels[0] == call.at("hangup")["UNIQUEID"]
    assert all((report.pdd_ms or 0) < UNHURRIED_MS for report in router.results)


# ------------------------------------------------------------------------------------------------- no answer at all


async def test_silent_carrier_is_passed_over_but_a_ringing_one_is_not(asterisk: Asterisk, good: Carrier) -> None:
    """Both end by Dial()'s own time-out. What an earlier trunk said (503, cause 34) is no word of theirs."""
    with carrier(asterisk, 503) as full, carrier(asterisk) as silent, carrier(asterisk, 180) as ringing:
        for last, advances in ((silent, True), (ringing, False)):
            router = to(full, last, good)
            async with peer(router) as server:
                call = await asterisk.call(NUMBER, context=DIAL, AGI_LOOKUP_URL=server.url, AGI_LOOKUP_DIAL_TIMEOUT_S=2)
            assert [report.trunk for report in router.results] == list(TRUNKS[: 2 + advances])
            assert router.results[1].dialstatus == "NOANSWER"
            assert (router.results[1].cause, router.results[1].rang) == (None, not advances)
            assert call.at("hangup")["HANGUPCAUSE"] == ("16" if advances else "19")


async def test_ringing_time_counts_apart_from_the_time_to_say_anything(asterisk: Asterisk, good: Carrier) -> None:
    with carrier(asterisk) as silent, carrier(asterisk, 180) as ringing:
        router = to(silent, ringing, good)
        async with peer(router) as server:
            await asterisk.call(NUMBER, context=DIAL, AGI_LOOKUP_URL=server.url, AGI_LOOKUP_DIAL_TIMEOUT_S="4^2")
    assert [said(report) for report in router.results] == [
        ("CHANUNAVAIL", None, None, False),
        ("NOANSWER", None, 180, True),
    ]


@pytest.mark.parametrize(
    ("dial", "cause"),
    [
        ("PJSIP/1@nobody", 3),  # no such endpoint
        ("Local/1@nowhere/n", None),  # no such extension
        ("NONE/1", 66),  # no such technology
    ],
)
async def test_trunk_that_cannot_be_dialled_is_passed_over(
    asterisk: Asterisk, good: Carrier, dial: str, cause: int | None
) -> None:
    router = Router(lambda number: [("first", dial), ("second", good.dial(number))])
    async with peer(router) as server:
        await asterisk.call(NUMBER, context=DIAL, AGI_LOOKUP_URL=server.url)
    assert [said(report) for report in router.results] == [
        ("CHANUNAVAIL", cause, None, False),
        ("ANSWER", 16, 200, True),
    ]


@pytest.mark.soak
@pytest.mark.skipif("SOAK" not in os.environ, reason="SIP's own time-out is half a minute: make soak")
async def test_carrier_that_is_silent_until_sip_gives_up_is_passed_over(asterisk: Asterisk, good: Carrier) -> None:
    with carrier(asterisk) as silent:
        router = to(silent, good)
        async with peer(router) as server:
            await asterisk.call(NUMBER, context=DIAL, AGI_LOOKUP_URL=server.url, patience_s=45)
    assert [said(report) for report in router.results] == [
        ("CHANUNAVAIL", 18, None, False),
        ("ANSWER", 16, 200, True),
    ]


# ------------------------------------------------------------------------------------------------------- settings


ADVANCE: Final = [
    ("486", "", 1),
    ("486(-RANG)?", "", 2),
    ("503", ".*", 2),
    (".*", "503", 1),
    (".*", "", 2),
]
"""For all trunks, for the first, and how many of three are tried: one that is busy after a ring, then one that answers."""


async def test_operator_names_the_outcomes_that_advance_for_all_and_for_a_trunk(
    asterisk: Asterisk, good: Carrier
) -> None:
    """And whatever is named, a call that was answered is over."""
    with carrier(asterisk, 180, 486, pause_ms=10) as busy:
        for everywhere, first, tried in ADVANCE:
            router = to(busy, good, good)
            async with peer(router) as server:
                await asterisk.call(
                    NUMBER,
                    context=DIAL,
                    AGI_LOOKUP_URL=server.url,
                    AGI_LOOKUP_ADVANCE=everywhere,
                    AGI_LOOKUP_ADVANCE_first=first,
                )
            assert [report.trunk for report in router.results] == list(TRUNKS[:tried])


@pytest.mark.parametrize(
    ("policy", "caller", "shown"),
    [
        ("", "Alice <+442079460001>", "+442079460001"),
        ("+442079460999", "Alice <+442079460001>", "+442079460999"),
        ("anonymous", "Alice <+442079460001>", "anonymous"),
        ("{digits}", "Alice <+442079460001>", "442079460001"),
        ("+{digits}", "Alice <442079460001>", "+442079460001"),
        ("+{digits}", "Alice <>", "asterisk"),
    ],
)
async def test_each_trunk_is_shown_the_caller_that_it_wants(
    asterisk: Asterisk, policy: str, caller: str, shown: str
) -> None:
    """The caller's own channel keeps its caller id, so the next trunk is shown that one."""
    with carrier(asterisk, 503) as first, carrier(asterisk, 200, hold_ms=10) as second:
        async with peer(to(first, second)) as server:
            await asterisk.call(
                NUMBER, context=DIAL, caller=caller, AGI_LOOKUP_URL=server.url, AGI_LOOKUP_CALLERID_first=policy
            )
        own = "".join(char for char in caller if char in "+0123456789")
        assert first.calls == [f"{NUMBER} {shown}"]
        assert second.calls == [f"{NUMBER} {own or 'asterisk'}"]


async def test_redirection_is_never_followed(asterisk: Asterisk) -> None:
    """The carrier's endpoint leads into a context that would dial what the carrier says."""
    with carrier(asterisk, 302) as redirecting:
        async with peer(to(redirecting)) as server:
            call = await asterisk.call(NUMBER, context=DIAL, AGI_LOOKUP_URL=server.url)
    assert call.dialled == []


def test_readme_shows_the_outcomes_that_advance_by_default() -> None:
    shipped = (DIALPLAN / "extensions_agi_lookup.conf").read_text()
    always, unrung = re.findall(r'REGEX\("\^(\(.*\S)\$" \$\{GOSUB_RETVAL\}\)\}\?next', shipped)
    assert f"{always}|{unrung.removeprefix('(').removesuffix(')')}\n" in (DIALPLAN / "README.md").read_text()
