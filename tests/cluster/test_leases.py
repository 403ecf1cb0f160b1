"""Limits that hold for all instances: never overshot while the server is there, else by no more than `cluster.lease` says."""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import Decimal

import pytest

from agi_lookup.cluster.lease import GIVEN_BACK_S, RENEW_S
from agi_lookup.cluster.options import ClusterOptions
from agi_lookup.lookup.budget import DAY_SHIFT, Snapshot, Spent
from agi_lookup.lookup.caps import DAY_S
from agi_lookup.lookup.line import Line
from tests.cache.servers import Server
from tests.cluster.boxes import PREFIX, Box, boxes, line, total
from tests.lookup.money import NOW, TODAY, options, per_day

CAP = 100


@dataclass(frozen=True)
class Vendor:
    """Its options, as far as they limit."""

    max_concurrency: int = 8
    max_per_minute: int | None = None
    timeout_s: float = 5.0


async def test_a_days_cap_holds_for_all_and_is_used_up_whoever_buys(valkey: Server) -> None:
    """B8: three instances that buy as they please, and renew when they happen to."""
    for seed in range(5):
        draw = random.Random(seed)
        valkey.admin("FLUSHALL")
        async with boxes(valkey, 3, per_day(str(CAP))) as some:
            for _ in range(400):
                box = draw.choice(some[: 1 + seed % 3])
                if draw.random() < 0.4:
                    await box.renew()
                else:
                    for _ in range(draw.randrange(10)):
                        box.buy()
                assert total(some) <= CAP
            for _ in range(8):
                for box in some:
                    await box.renew()
                    box.buy_all()
            assert CAP - 3 <= total(some) <= CAP


async def test_who_buys_gets_what_the_idle_hold(valkey: Server) -> None:
    async with boxes(valkey, 2, per_day(str(CAP))) as (busy, idle):
        for _ in range(10):
            await idle.renew()
            await busy.renew()
            busy.buy_all()

        assert busy.bought >= CAP - 1


async def test_nobody_asks_again_and_again_for_what_is_used_up(valkey: Server) -> None:
    """B8: else each lookup of the rest of the day would make its instance renew at once."""
    async with boxes(valkey, 2, per_day("10")) as (one, other):
        assert hurries(one), "the idle one holds more"
        await use_up(one, other)
        await one.renew()
        assert not hurries(one)


async def test_nobody_asks_again_and_again_who_does_not_hear(valkey: Server) -> None:
    """C13."""
    async with boxes(valkey, 2, per_day("10")) as (one, _):
        assert hurries(one)
        one.wire.cut = True
        await one.renew()
        assert not hurries(one)


async def test_an_instance_that_finds_a_cap_used_up_by_all_says_so_once(valkey: Server) -> None:
    """B8: none of them has spent it alone."""
    async with boxes(valkey, 2, per_day("10")) as (one, other):
        await use_up(one, other)
        for box in (one, other):
            assert "budget_reached" not in box.alarms.codes, "others may give something back"
            await box.renew()
            assert not box.buy()
            box.monotonic.ahead_s += GIVEN_BACK_S
            await box.renew()
            assert not box.buy()
            assert not box.buy()
            assert box.alarms.codes.count("budget_reached") == 1


async def test_a_cap_that_the_idle_give_back_is_not_said_to_be_used_up(valkey: Server) -> None:
    """B8: before it is."""
    async with boxes(valkey, 2, per_day(str(CAP))) as (busy, idle):
        for _ in range(20):
            await idle.renew()
            await busy.renew()
            busy.buy_all()
            assert busy.bought >= CAP - 1 or "budget_reached" not in busy.alarms.codes
            for box in (busy, idle):
                box.monotonic.ahead_s += RENEW_S
        assert "budget_reached" in busy.alarms.codes


async def use_up(*some: Box) -> None:
    """All of the cap, as far as it can be: the last ones wanted more."""
    for _ in range(6):
        for box in some:
            await box.renew()
            box.buy_all()


def hurries(box: Box) -> bool:
    """Does a lookup for which there is no money have it renew at once?"""
    box.leases._wake.clear()
    box.buy_all()
    return box.leases._wake.is_set()


async def test_a_lease_outlives_a_restart_of_its_instance(valkey: Server) -> None:
    """B7: what the ledger says was spent is told again, and what the dead one held is not lent to others."""
    async with boxes(valkey, 2, per_day(str(CAP))) as (one, other):
        one.buy_all()
        again = Box("box0", valkey, per_day(str(CAP)), ClusterOptions(instances=2))
        await again.wire.open()
        spent = Spent("npl", "default", "credits", Decimal(one.bought), Decimal(1))
        again.budget.restore(Snapshot(last_id=TODAY << DAY_SHIFT, last_at=NOW, spent=(spent,)))
        for _ in range(10):
            await again.renew()
            await other.renew()
            other.buy_all()
            again.buy_all()
        await again.wire.close()

        assert CAP - 2 <= one.bought + again.bought + other.bought <= CAP


async def test_when_the_server_is_gone_for_all_the_cap_still_holds(valkey: Server) -> None:
    """C13, B8: with the default share, what nobody held is parted evenly."""
    async with boxes(valkey, 4, per_day(str(CAP))) as some:
        for box in some:
            box.buy()
            await box.renew()
        for box in some:  # all have seen the same
            await box.renew()
        for box in some:
            box.cut_off()
            await box.renew()
        for box in some:
            box.buy_all()

        assert 0.7 * CAP <= total(some) <= CAP


async def test_who_is_cut_off_alone_overshoots_by_its_share_of_what_was_free(valkey: Server) -> None:
    """C13, B8."""
    async with boxes(valkey, 4, per_day(str(CAP)), alone_share=0.25) as some:
        *others, alone = some
        await alone.renew()
        free = CAP - sum(held(box) for box in some)
        alone.cut_off()
        alone.buy_all()
        for _ in range(20):
            for box in others:
                await box.renew()
                box.buy_all()

        assert CAP < total(some) <= CAP + 0.25 * free


async def test_a_day_that_begins_without_the_server_has_its_share_of_the_cap(valkey: Server) -> None:
    """C13, B7: none of them more than its part, and a restart makes it no larger."""
    async with boxes(valkey, 4, per_day(str(CAP))) as some:
        for box in some:
            box.buy()
            box.cut_off()
            assert box.buy_all(NOW + DAY_S) == CAP / 4


async def test_a_server_that_lost_its_data_is_told_again_what_is_held(valkey: Server) -> None:
    """C13: at most what was lent since an instance last looked is lent twice."""
    async with boxes(valkey, 3, per_day(str(CAP))) as some:
        for _ in range(3):
            for box in some:
                await box.renew()
                box.buy_all()
        for box in some:
            await box.renew()
        for box in some:
            box.buy_all()
        valkey.admin("FLUSHALL")
        for _ in range(12):
            for box in some:
                await box.renew()
                box.buy_all()

        assert total(some) <= CAP


async def test_who_comes_first_after_the_loss_gets_nothing_that_others_held(valkey: Server) -> None:
    """C13."""
    async with boxes(valkey, 2, per_day(str(CAP))) as (first, other):
        while other.bought < CAP // 2:
            await other.renew()
            other.buy()
        for _ in range(3):
            await first.renew()
        while first.bought < first.leases._caps[("provider", "npl", "credits", DAY_S), TODAY].held // 1_000_000:
            assert first.buy()
        first.leases.short(("provider", "npl", "credits", DAY_S), NOW, Decimal(CAP))
        valkey.admin("FLUSHALL")
        await first.renew()
        first.buy_all()

        assert total([first, other]) <= CAP


async def test_a_burst_holds_for_all_in_every_window(valkey: Server) -> None:
    """B8."""
    burst = options(providers={"npl": {"burst": {"credits": "20", "seconds": 60}}})
    draw, sold = random.Random(3), []
    async with boxes(valkey, 3, burst) as some:
        at = NOW
        for _ in range(600):
            at += draw.random()
            box = draw.choice(some)
            await box.renew(at)
            while box.buy(at):
                sold.append(at)
    most = max(sum(begin <= at < begin + 59 for at in sold) for begin in sold)
    assert 18 <= most <= 20


async def test_a_vendors_connections_are_parted_by_need(valkey: Server) -> None:
    """B8: all that is free for who needs it, an equal part when all do; what is open is never taken for free."""
    lines = [line(8), line(8)]
    both = iter(lines)
    async with boxes(valkey, 2, options(), set_up=lambda box: box.leases.share_line("npl", next(both), Vendor())) as (
        one,
        other,
    ):
        for _ in range(12):  # one is busy: each connection that it may open is open
            enter_all(lines[0])
            await one.renew()
            await other.renew()
            assert sum(one_line.gates.max_concurrency for one_line in lines) <= 8
        assert lines[0].gates.under_way >= 6

        for _ in range(20):  # the other becomes busy, too: requests end, and begin where they may
            enter_all(lines[0])
            enter_all(lines[1])
            lines[0].gates.abandoned(0, 0.0)
            await other.renew()
            await one.renew()
            assert lines[0].gates.under_way + lines[1].gates.under_way <= 8
        assert lines[1].gates.under_way >= 2


def enter_all(one: Line) -> None:
    while one.gates.delay_s(0.0) == 0:
        one.gates.enter(0.0)


async def test_a_vendors_rate_is_parted_evenly_and_a_part_that_was_left_counts_for_a_minute(valkey: Server) -> None:
    lines = [line(8, 60), line(8, 60)]
    both = iter(lines)
    vendor = Vendor(max_per_minute=60)
    async with boxes(valkey, 2, options(), set_up=lambda box: box.leases.share_line("npl", next(both), vendor)) as (
        one,
        other,
    ):
        assert [one_line.gates.rate and one_line.gates.rate.per_minute for one_line in lines] == [30, 30]
        other.cut_off()
        await other.renew()
        assert lines[1].gates.rate is not None
        assert lines[1].gates.rate.per_minute == 30, "alone, its share"
        one.leases.instances = 3
        await one.renew()
        await one.renew()
        assert lines[0].gates.rate is not None
        assert lines[0].gates.rate.per_minute == 20
        row = valkey.admin("HGET", f"{PREFIX}:lease:1:rate:npl", "box0")
        assert row.split()[0] == b"30", "nobody else gets the rest for a minute"


@pytest.mark.parametrize("row", [b"", b"x", b"1 2", b"-1 0 0", b"9e99 1 1", b"nan nan nan"])
async def test_rows_that_make_no_sense_lend_nothing(valkey: Server, row: bytes) -> None:
    """C15: it goes on as if alone."""
    async with boxes(valkey, 2, per_day(str(CAP))) as (one, _):
        keys = valkey.keys()
        key = next(key for key in keys if ":cap:" in key)
        valkey.admin("HSET", key, "stranger", row)
        before = held(one)
        await one.renew()
        assert held(one) == before


async def test_a_key_of_another_type_lends_nothing(valkey: Server) -> None:
    """C13."""
    async with boxes(valkey, 2, per_day(str(CAP))) as (one, _):
        keys = valkey.keys()
        key = next(key for key in keys if ":cap:" in key)
        valkey.admin("SET", key, "x")
        before = held(one)
        await one.renew()
        assert held(one) == before


def held(box: Box) -> float:
    """Credits of the day's cap."""
    (lease,) = box.leases._caps.values()
    return lease.held / 1_000_000
