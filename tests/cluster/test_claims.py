"""Claims on a real Valkey: one asks, the others are told; whatever is wrong with the server, nobody waits for it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from math import nan

import pytest

from agi_lookup.cache.valkey.options import SharedOptions
from agi_lookup.cluster import told
from agi_lookup.cluster.claims import KEPT_S, Claim
from agi_lookup.cluster.member import Member
from agi_lookup.cluster.options import ClusterOptions
from agi_lookup.domain.errors import (
    ProviderBusy,
    ProviderError,
    ProviderNotCovered,
    ProviderOutcomeUnknown,
    ProviderShut,
)
from agi_lookup.domain.model import LookupAnswer
from tests.cache.conftest import Heard, until
from tests.cache.servers import Server
from tests.cache.test_valkey_trouble import READING, WRITING, Trouble
from tests.fakes import answer

NUMBER = "+447400123456"
OTHER = "+447400123457"
ANSWER = answer(now=1_700_000_000.0, number=NUMBER)
FREE = replace(ANSWER, cost=None, currency=None)
LIVES_S = 5.0
SERIAL = itertools.count()


@asynccontextmanager
async def members(server: Server, heard: Heard, count: int = 2, timeout_ms: int = 5_000) -> AsyncIterator[list[Member]]:
    options = SharedOptions.model_validate({"url": server.url, "timeout_ms": timeout_ms})
    some = [
        Member(
            options,
            ClusterOptions(name=f"m{n}"),
            4573,
            on_alarm=heard.alarm,
            count=heard.count,
            bug=lambda where: heard.alarm("bug", where),
        )
        for n in range(count)
    ]
    try:
        for member in some:
            await member.open()
        yield some
    finally:
        for member in some:
            await member.close()


async def take(member: Member, number: str = NUMBER, waits_s: float = 5.0) -> Claim | LookupAnswer | None:
    deadline = asyncio.get_running_loop().time() + waits_s
    return await member.claims.take("fake", number, lambda: deadline, LIVES_S)


@pytest.mark.usefixtures("kept_long")
async def test_one_asks_and_all_others_are_told(valkey: Server, heard: Heard) -> None:
    """C1. Without what it cost: that was paid once."""
    async with members(valkey, heard, 3) as (one, two, three):
        claim = await take(one)
        assert isinstance(claim, Claim)
        waiting = [asyncio.create_task(take(member)) for member in (two, three, two)]
        await asyncio.sleep(0.02)
        claim.answered(ANSWER)
        assert await asyncio.gather(*waiting) == [FREE] * 3
        assert await take(two) == FREE, "who read the cache a moment too early finds it here"
        assert isinstance(await take(two, OTHER), Claim), "each number has its own"


async def test_a_claim_that_brings_nothing_is_the_next_ones(valkey: Server, heard: Heard) -> None:
    """C2: a failure that is not remembered, a flight that was stopped, and an instance that died."""
    async with members(valkey, heard) as (one, other):
        for end in (Claim.dropped, lambda claim: claim.failed(ProviderShut("auth"))):
            claim = await take(one)
            assert isinstance(claim, Claim)
            waiting = asyncio.create_task(take(other))
            await asyncio.sleep(0.02)
            end(claim)
            got = await waiting
            assert isinstance(got, Claim)
            got.dropped()
            await until(lambda: not claims(valkey))
        assert isinstance(await take(one), Claim)
        await one.close()
        valkey.admin("PEXPIRE", key_of(NUMBER), 50)
        assert isinstance(await take(other, waits_s=60.0), Claim), "it lapsed"


async def test_a_claim_lives_as_long_as_its_instance_asks(valkey: Server, heard: Heard) -> None:
    """C1: who has time stands in the vendor's line for minutes, and a flight that others join lasts longer than it was to."""
    async with members(valkey, heard, 1) as (one,):
        held, ended = await take(one), await take(one, OTHER)
        assert isinstance(held, Claim)
        assert isinstance(ended, Claim)
        ended.answered(ANSWER)
        valkey.admin("PEXPIRE", key_of(NUMBER), 60_000)
        held.life_s = 600.0  # of which more than a half is over
        await until(lambda: valkey.admin("PTTL", key_of(NUMBER)) > 60_000)
        await until(lambda: held.until > asyncio.get_running_loop().time() + 60)
        assert valkey.admin("PTTL", key_of(OTHER)) <= KEPT_S * 1000, "nothing to renew"


async def test_what_is_not_ours_any_more_is_not_renewed(valkey: Server, heard: Heard) -> None:
    async with members(valkey, heard) as (one, other):
        lost = await take(one)
        assert isinstance(lost, Claim)
        valkey.admin("DEL", key_of(NUMBER))
        assert isinstance(await take(other), Claim)
        lives_ms = valkey.admin("PTTL", key_of(NUMBER))
        lost.life_s = 600.0
        await one.claims.renew()
        assert valkey.admin("PTTL", key_of(NUMBER)) <= lives_ms
        lost.answered(ANSWER)
        await until(lambda: heard.counts["cluster_claim_lapsed"] == 1)


@pytest.mark.usefixtures("kept_long")
async def test_a_claim_whose_reply_came_too_late_is_ended_as_any_other(valkey: Server, heard: Heard) -> None:
    """C2, C14: else the others would wait for a claim that nobody holds."""
    async with members(valkey, heard, 1, timeout_ms=1_000) as (one,), members(valkey, heard, 1) as (other,):
        await until(lambda: one._in_call._usable)
        valkey.hang()
        claim, known = await take(one, waits_s=60.0), await take(one, OTHER)
        valkey.go_on()
        assert isinstance(claim, Claim)
        assert known is None, "it was not asked, as it hangs"
        await until(lambda: key_of(NUMBER) in claims(valkey))
        waiting = asyncio.create_task(take(other, waits_s=60.0))
        await asyncio.sleep(0.02)
        claim.answered(ANSWER)
        assert await waiting == FREE


@pytest.mark.parametrize("error", [ProviderNotCovered(), ProviderOutcomeUnknown()])
async def test_what_a_source_refused_or_may_have_charged_is_not_asked_by_the_others_either(
    valkey: Server, heard: Heard, error: ProviderError
) -> None:
    """P5: never paid twice."""
    async with members(valkey, heard) as (one, other):
        claim = await take(one)
        assert isinstance(claim, Claim)
        claim.failed(error)
        with pytest.raises(type(error)) as caught:
            await take(other)
        assert caught.value.remember_s == error.remember_s


async def test_nobody_waits_longer_than_its_call(valkey: Server, heard: Heard) -> None:
    async with members(valkey, heard) as (one, other):
        assert isinstance(await take(one), Claim)
        with pytest.raises(ProviderBusy):
            await take(other, waits_s=0.05)


async def test_a_claim_that_has_lapsed_ends_nothing_of_the_next_ones(valkey: Server, heard: Heard) -> None:
    async with members(valkey, heard) as (one, other):
        late = await take(one)
        assert isinstance(late, Claim)
        valkey.admin("DEL", key_of(NUMBER))
        assert isinstance(await take(other), Claim)
        late.answered(ANSWER)
        await one.claims.close()
        with pytest.raises(ProviderBusy):
            await take(one, waits_s=0.05)


async def test_numbers_are_soon_gone_from_the_server(valkey: Server, heard: Heard) -> None:
    """S16: a claim's key names one."""
    async with members(valkey, heard, 1) as (one,):
        for number, end in ((NUMBER, ANSWER), (OTHER, ProviderNotCovered())):
            claim = await take(one, number)
            assert isinstance(claim, Claim)
            claim.answered(end) if isinstance(end, LookupAnswer) else claim.failed(end)
        await one.claims.close()
        lives = sorted(valkey.admin("PTTL", key) for key in claims(valkey))
        assert 0 < lives[0] <= KEPT_S * 1000
        assert lives[0] < lives[1] <= 60_000


@pytest.mark.parametrize("name", [*READING, *WRITING])
async def test_whatever_the_servers_trouble_calls_go_on_alone_at_once_and_together_when_it_is_over(
    valkey: Server, heard: Heard, name: str
) -> None:
    """C13."""
    trouble: Trouble = {**READING, **WRITING}[name]
    async with members(valkey, heard, timeout_ms=1_000) as (one, other):
        assert isinstance(await take(one), Claim)
        trouble.begin(valkey)
        while "cluster_alone" not in heard.codes:
            await take(other, new_number())
            await asyncio.sleep(0)
        failed = heard.counts["cluster_claim_failed"]
        assert failed > 1
        for _ in range(200):
            assert await take(other, new_number()) is None
        assert heard.counts["cluster_claim_failed"] - failed <= 5, "calls do not try"
        trouble.end(valkey)
        async with asyncio.timeout(60):
            while await take(other, new_number()) is None:
                await asyncio.sleep(0.02)
    assert set(heard.codes) == {"cluster_alone"}


def key_of(number: str) -> str:
    return f"agi-lookup:cluster:claim:{told.FORMAT}:{number[1:]}:fake"


def claims(server: Server) -> list[str]:
    keys = server.keys()
    return [key for key in keys if ":claim:" in key]


def new_number() -> str:
    return f"+44740{next(SERIAL):07}"


@pytest.mark.parametrize(
    "said",
    [
        b"A",
        b"A" + b"\xc1" * 40,
        b"A" + told.answer_to_bytes(replace(ANSWER, number=OTHER))[1:],
        told.answer_to_bytes(replace(ANSWER, provider="another")),
        told.answer_to_bytes(replace(ANSWER, observed_at=nan)),
        told.answer_to_bytes(replace(ANSWER, observed_at=1e300)),
        told.answer_to_bytes(ANSWER)[:-3],
        b"Enonsense",
        b"E\xff",
        b"Z",
        b"A" + b"x" * 100_000,
    ],
)
async def test_what_is_no_word_of_ours_is_believed_by_nobody(valkey: Server, heard: Heard, said: bytes) -> None:
    """C14, C15: it asks for itself."""
    async with members(valkey, heard, 1) as (one,):
        valkey.admin("SET", key_of(NUMBER), said)
        assert await take(one) is None


async def test_a_key_of_another_type_is_believed_by_nobody(valkey: Server, heard: Heard) -> None:
    """C13."""
    async with members(valkey, heard, 1) as (one,):
        valkey.admin("LPUSH", key_of(NUMBER), "x")
        assert await take(one) is None


def test_an_answer_comes_through_whole_but_for_the_money() -> None:
    whole = replace(ANSWER, raw_code="1/2", fresh_s=5.0, balance_after=Decimal(7))
    assert told.from_bytes(told.answer_to_bytes(whole), "fake", NUMBER) == replace(FREE, raw_code="1/2", fresh_s=5.0)


def test_what_cannot_be_told_is_not() -> None:
    """C15."""
    assert told.answer_to_bytes(replace(ANSWER, raw_code="\ud800")) == b""
    assert told.answer_to_bytes(replace(ANSWER, raw_code="x" * 5_000)) == b""
