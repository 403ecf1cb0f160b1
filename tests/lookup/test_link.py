"""A link under load, under failure and under cancellation. Time is virtual, so that seconds cost nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_lookup.domain.errors import (
    ProviderAuthError,
    ProviderBusy,
    ProviderError,
    ProviderFailedNumber,
    ProviderNotBooked,
    ProviderNotCovered,
    ProviderOutcomeUnknown,
    ProviderOutOfCredit,
    ProviderOverBudget,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderShut,
    ProviderSilent,
    ProviderTimeout,
    ProviderUnavailable,
)
from agi_lookup.domain.model import LookupAnswer, Number
from agi_lookup.lookup.budget import Payer
from agi_lookup.lookup.link import Link
from agi_lookup.providers.base import NumberResult, Pending
from agi_lookup.providers.notices import Notices
from tests.lookup.vendor import FakePurse, Reply, Script, Vendor, World, after, answer, failing, good, number
from tests.lookup.virtual_time import VirtualTimeLoop, run

DOWN = ProviderUnavailable()
CANCELLATIONS = 100_000 if os.environ.get("SOAK") else 20_000


def loop() -> VirtualTimeLoop:
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualTimeLoop)
    return running


def settled(world: World) -> bool:
    """Nobody waits, nothing is under way, and every reservation has ended."""
    health = world.link.health()
    states = {one.state for one in world.purse.all} if world.purse else set()
    return (health.under_way, health.waiting, world.vendor.under_way) == (0, 0, 0) and states <= {"settled", "released"}


# --- a lone call


def test_a_lone_call_goes_at_once_without_a_task_a_future_or_a_timer() -> None:
    async def main() -> None:
        world = World(purse=FakePurse())
        before = loop().made, loop().timers()
        assert await world.ask(1) == answer(number(1))
        assert (loop().made, loop().timers()) == before

    run(main())


def test_a_number_gets_its_own_answer_or_none() -> None:
    """P8: each of a batch for itself."""
    wrong, missing, failed = number(1), number(2), number(3)

    async def script(numbers: Sequence[Number]) -> Reply:
        reply: dict[str, NumberResult] = dict(await good(numbers))
        reply[wrong.e164] = answer(number(9))
        reply[failed.e164] = ProviderFailedNumber()
        reply.pop(missing.e164, None)
        return reply

    async def main() -> None:
        world = World(after(1.0, script), max_batch=10, max_concurrency=1)
        results = await world.ask_all(5)
        assert [type(result) for result in results[1:4]] == [
            ProviderProtocolError,
            ProviderProtocolError,
            ProviderFailedNumber,
        ]
        assert [results[0], results[4]] == [answer(number(0)), answer(number(4))]
        assert world.link.health().state == "ok"

    run(main())


# --- waiting, and going together


@pytest.mark.parametrize(("waiting", "max_batch"), [(1, 10), (10, 10), (11, 10), (95, 10), (7, 1)])
def test_numbers_that_wait_share_as_few_requests_as_they_fit_in(waiting: int, max_batch: int) -> None:
    async def main() -> None:
        world = World(after(1.0), max_batch=max_batch, max_concurrency=1)
        results = await world.ask_all(1 + waiting, within_s=100.0)

        assert results == [answer(number(index)) for index in range(1 + waiting)]
        assert len(world.vendor.requests) == 1 + ceil(waiting / max_batch)
        assert world.vendor.most == 1

    run(main())


def test_who_waits_is_told_busy_when_the_time_is_over_and_is_never_paid_for() -> None:
    """P15."""

    async def main() -> None:
        world = World(after(3.0), max_concurrency=1)
        first, second = world.start(1), world.start(2, within_s=1.0)

        assert isinstance(await second, ProviderBusy)
        assert loop().time() <= 1001.2
        assert await first == answer(number(1))
        assert world.vendor.requests == [[number(1).e164]]

    run(main())


def test_who_is_late_by_a_moment_is_not_sent_any_more() -> None:
    """P15: the slot came free just after the last call had gone on."""

    async def main() -> None:
        world = World(after(1.06), max_concurrency=1)
        first, second = world.start(1), world.start(2, within_s=1.05)
        assert isinstance(await second, ProviderBusy)
        await first
        assert len(world.vendor.requests) == 1

    run(main())


def test_a_newcomer_does_not_overtake_who_waits() -> None:
    async def main() -> None:
        world = World(max_per_minute=60)
        tasks = [world.start(index, within_s=30.0) for index in range(5)]
        await asyncio.sleep(0)
        assert len(world.line) == 2
        loop().jump(1.2)  # the gate is open now, and its timer has not run yet
        tasks.append(world.start(5, within_s=30.0))
        await asyncio.gather(*tasks)
        assert [request[0] for request in world.vendor.requests] == [number(index).e164 for index in range(6)]

    run(main())


def test_one_number_asked_for_twice_is_never_twice_in_a_request() -> None:
    async def main() -> None:
        world = World(after(1.0), max_batch=10, max_concurrency=1, purse=FakePurse())
        results = await asyncio.gather(*(world.start(index % 3) for index in range(6)))
        assert results == [answer(number(index % 3)) for index in range(6)]
        assert all(len(request) == len(set(request)) for request in world.vendor.requests)
        assert settled(world)

    run(main())


def test_who_is_joined_by_somebody_more_patient_waits_longer() -> None:
    async def main() -> None:
        world = World(after(3.0), max_concurrency=1)
        deadline = loop().time() + 1.0
        first = world.start(1)
        second = asyncio.create_task(world.link.ask(number(2), 0.0, lambda: deadline))
        await asyncio.sleep(0.5)
        deadline += 9.0

        await first
        assert await second == answer(number(2))

    run(main())


def test_time_spent_waiting_counts_for_the_time_of_the_request() -> None:
    async def main() -> None:
        world = World(after(3.0), max_concurrency=1)
        await world.ask_all(2)
        assert world.vendor.now == [1_700_000_000.0, 1_700_000_003.0]

    run(main())


def test_a_line_has_one_timer_however_many_wait() -> None:
    async def main() -> None:
        world = World(max_per_minute=60)
        tasks = [world.start(index, within_s=30.0) for index in range(25)]
        await asyncio.sleep(0)
        assert len(world.line) > 20
        assert loop().timers() == 1
        await asyncio.gather(*tasks)

    run(main())


def test_a_rate_limit_is_kept_and_who_cannot_go_in_time_is_told_at_once() -> None:
    async def main() -> None:
        world = World(max_per_minute=60)
        tasks = [world.start(index, within_s=10.0) for index in range(100)]
        await asyncio.sleep(0)
        refused = [task for task in tasks if task.done() and isinstance(task.result(), ProviderRateLimited)]
        assert 85 < len(refused) < 95

        await asyncio.gather(*tasks)
        assert len(world.vendor.requests) == 100 - len(refused), "who was let into the line did go in time"

    run(main())


def test_a_fast_rate_is_used_to_the_full() -> None:
    async def main() -> None:
        world = World(max_per_minute=1200)
        await world.ask_all(42)  # one more than go at once
        assert loop().time() - 1000.0 < 0.06
        results = await world.ask_all(180, within_s=10.0)
        assert all(isinstance(result, LookupAnswer) for result in results)

    run(main())


def test_two_configs_with_the_same_account_share_its_limits() -> None:
    """A reload must not double what a vendor is asked at once, nor leave somebody waiting for the other's slot."""

    async def main() -> None:
        old = World(after(1.0), max_concurrency=1)
        vendor = Vendor(after(1.0))
        new = Link(vendor, vendor, old.line, timeout_s=10.0)
        first = old.start(1)
        await asyncio.sleep(0)
        deadline = loop().time() + 5.0

        assert await new.ask(number(2), 0.0, lambda: deadline) == answer(number(2))
        assert first.done()

    run(main())


# --- what a vendor says


def test_a_shut_vendor_is_asked_by_one_of_a_thousand() -> None:
    async def main() -> None:
        world = World(failing(DOWN), max_concurrency=1000)
        await world.ask_all(5)
        assert (world.link.health().state, world.link.health().why) == ("shut", "unavailable")
        await asyncio.sleep(0.6)
        world.vendor.requests.clear()
        world.vendor.script = after(1.0)

        results = await world.ask_all(1000)

        assert Counter(type(result) for result in results) == {LookupAnswer: 1, ProviderShut: 999}
        assert len(world.vendor.requests) == 1
        assert await world.ask(1) == answer(number(1))

    run(main())


def test_a_probe_that_is_cancelled_hands_the_probe_on() -> None:
    async def main() -> None:
        world = World(failing(DOWN))
        await world.ask_all(5)
        await asyncio.sleep(0.6)
        world.vendor.script = after(1.0)
        probe = world.start(1)
        await asyncio.sleep(0.1)
        assert isinstance(await world.try_to_ask(2), ProviderShut)
        probe.cancel()
        await asyncio.sleep(0)

        assert await world.ask(3) == answer(number(3))

    run(main())


def test_who_waits_when_it_shuts_is_told_at_once() -> None:
    async def main() -> None:
        world = World(after(0.1, failing(ProviderAuthError())), max_concurrency=1)
        results = await world.ask_all(100)
        assert Counter(type(result) for result in results) == {ProviderAuthError: 1, ProviderShut: 99}
        assert loop().time() < 1000.2

    run(main())


def test_a_refused_key_is_shown_once() -> None:
    """P11."""

    async def main() -> None:
        world = World(failing(ProviderAuthError()))
        for hour in range(24):
            await world.ask_all(3)
            await asyncio.sleep(3600.0 * hour)

        assert len(world.vendor.requests) == 1

    run(main())


def test_an_empty_account_is_left_alone_until_there_is_credit() -> None:
    """P12."""

    async def main() -> None:
        world = World(failing(ProviderOutOfCredit()), balance_known=True)
        await world.ask_all(2)
        await asyncio.sleep(7200.0)
        assert isinstance(await world.try_to_ask(3), ProviderShut)
        assert len(world.vendor.requests) == 1
        world.vendor.script = good

        world.link.credited()

        assert await world.ask(4) == answer(number(4))

    run(main())


def test_retry_after_is_honoured_and_who_cannot_wait_for_it_goes_on() -> None:
    """P13."""

    async def main() -> None:
        world = World(failing(ProviderRateLimited(retry_after_s=60.0)))
        assert isinstance(await world.try_to_ask(1), ProviderRateLimited)
        world.vendor.script = good
        begin = loop().time()

        assert isinstance(await world.try_to_ask(2, within_s=59.0), ProviderRateLimited)
        assert loop().time() == begin
        health = world.link.health()
        assert (health.state, health.why, health.for_s) == ("paused", "rate_limited", 60.0)
        assert (health.last_error, health.last_error_age_s) == ("rate_limited", 0.0)
        assert await world.ask(3, within_s=61.0) == answer(number(3))
        assert loop().time() - begin >= 60.0
        assert len(world.vendor.requests) == 2

    run(main())


def slow_network(numbers: Sequence[Number]) -> bool:
    return any(one.e164.startswith("+93") for one in numbers)


async def throttling(numbers: Sequence[Number]) -> Reply:
    if slow_network(numbers):
        raise ProviderRateLimited(scope="network")
    return await good(numbers)


def test_a_network_that_takes_no_more_holds_only_its_own_numbers_back() -> None:
    async def main() -> None:
        world = World(throttling, network_of=lambda one: one.e164[:3])
        assert isinstance(await world.try_to_ask(number(1, "+937000"), 0.5), ProviderRateLimited)

        assert isinstance(await world.try_to_ask(number(2, "+937000"), 0.5), ProviderRateLimited)
        assert await world.ask_all(50) == [answer(number(index)) for index in range(50)]
        assert sum(1 for request in world.vendor.requests if request[0].startswith("+93")) == 1

    run(main())


def test_after_a_batch_of_several_networks_was_refused_each_goes_with_its_own_kind() -> None:
    async def main() -> None:
        world = World(after(0.1, throttling), max_batch=10, max_concurrency=1, network_of=lambda one: one.e164[:6])
        mixed = [number(0, "+44770"), number(1, "+93700"), number(2, "+44771"), number(3, "+44772")]
        first = world.start(number(9, "+44779"))
        await asyncio.gather(*(world.start(one, 0.3) for one in mixed))
        await first
        await asyncio.sleep(1.0)
        world.vendor.requests.clear()

        blocker = world.start(number(8, "+44779"), 30.0)
        results = await asyncio.gather(*(world.start(one, 0.9) for one in mixed), blocker)

        assert [isinstance(result, LookupAnswer) for result in results] == [True, False, True, True, True]
        assert all(len({one[:6] for one in request}) == 1 for request in world.vendor.requests)

    run(main())


def values(**by_index: NumberResult) -> Script:
    """Good answers but for some numbers, by their index (`_3=...`)."""

    async def script(numbers: Sequence[Number]) -> Reply:
        await asyncio.sleep(0.1)
        special = {number(int(index[1:])).e164: result for index, result in by_index.items()}
        return {one.e164: special.get(one.e164) or answer(one) for one in numbers}

    return script


def together(script: Script, **gates: Any) -> World:
    return World(script, max_batch=10, max_concurrency=1, network_of=lambda one: one.e164[-1], **gates)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ProviderAuthError(), "shut"),
        (ProviderOutOfCredit(), "shut"),
        (ProviderRateLimited(), "paused"),
        (ProviderRateLimited(scope="network"), "ok"),
        (ProviderFailedNumber(), "ok"),
        (ProviderTimeout(), "ok"),
    ],
)
def test_what_is_said_of_one_number_and_holds_for_all_is_heeded(error: ProviderError, state: str) -> None:
    """P10: an error within a good reply."""

    async def main() -> None:
        world = together(values(_2=error))
        results = await world.ask_all(5)
        assert results[2] is error
        assert world.link.health().state == state

    run(main())


def test_a_vendor_of_which_every_number_fails_is_shut() -> None:
    async def main() -> None:
        world = together(values(_2=ProviderProtocolError()))
        for _ in range(12):
            await world.ask_all(5)
        assert world.link.health().state == "ok", "only one of them fails"

        world = together(values(**{f"_{index}": ProviderProtocolError() for index in range(100)}))
        for _ in range(5):
            await world.ask_all(3)
        assert world.link.health().state == "shut"

    run(main())


def test_numbers_of_a_network_that_takes_no_more_are_told_at_once_and_pause_longer_each_time() -> None:
    async def main() -> None:
        held = ProviderRateLimited(scope="network")
        world = together(values(_2=held))
        tasks = [world.start(index, within_s=0.9) for index in range(11)]
        tasks += [world.start(12, within_s=0.9)]  # of the same network, and not in the same request
        results = await asyncio.gather(*tasks)
        assert isinstance(results[-1], ProviderRateLimited)
        assert [index for index, result in enumerate(results[:11]) if isinstance(result, ProviderError)] == [2]
        assert loop().time() < 1000.5
        await asyncio.sleep(1.0)
        assert await world.try_to_ask(2, within_s=1.5) is held
        begin = loop().time()
        await world.try_to_ask(12, within_s=5.0)
        assert loop().time() - begin > 1.9

    run(main())


def test_an_error_that_many_share_does_not_grow() -> None:
    """It may be remembered for a while, with all that its traceback holds."""

    async def main() -> None:
        shared = ProviderTimeout()
        world = World(after(1.0, failing(shared)), max_batch=100, max_concurrency=1)
        await world.ask_all(100)
        depth, trace = 0, shared.__traceback__
        while trace is not None:
            depth, trace = depth + 1, trace.tb_next
        assert depth <= 3

    run(main())


@pytest.mark.parametrize(
    "script",
    [good, failing(DOWN), failing(ProviderAuthError()), failing(ProviderRateLimited()), values(_1=ProviderTimeout())],
)
def test_a_call_leaves_nothing_to_the_garbage_collector(script: Script) -> None:
    """Whatever becomes of it: cycles cost the calls that come after."""

    async def main() -> None:
        world = World(script)
        await world.try_to_ask(1)
        gc.collect()
        for _ in range(20):
            await world.try_to_ask(1)
        assert gc.collect() == 0

    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()


# --- once more


def test_a_request_that_did_nothing_is_made_once_more_while_there_is_traffic_to_pay_for_it() -> None:
    """P18."""

    async def main() -> None:
        world = World()
        await world.ask_all(4)

        async def once(_numbers: Sequence[Number]) -> Reply:
            world.vendor.script = good
            raise DOWN

        world.vendor.script = once
        assert await world.ask(5) == answer(number(5))
        world.vendor.script = failing(DOWN)
        assert await world.try_to_ask(6) is DOWN
        assert len(world.vendor.requests) == 7, "the budget is used up"

    run(main())


@pytest.mark.parametrize("error", [ProviderTimeout(), ProviderOutcomeUnknown(), ProviderProtocolError()])
def test_what_may_have_been_charged_is_never_sent_again(error: ProviderError) -> None:
    """P5, P14."""

    async def main() -> None:
        world = World(max_concurrency=100)
        await world.ask_all(50)
        world.vendor.requests.clear()
        world.vendor.script = failing(error)
        await world.try_to_ask(1)
        assert len(world.vendor.requests) == 1

    run(main())


def test_no_retry_that_would_come_too_late() -> None:
    async def main() -> None:
        world = World()
        await world.ask_all(50)
        world.vendor.script = failing(ProviderRateLimited(retry_after_s=6.0))
        begin = loop().time()
        assert isinstance(await world.try_to_ask(1, within_s=5.0), ProviderRateLimited)
        assert loop().time() == begin

    run(main())


def test_no_retry_that_needs_a_slot_for_which_others_wait() -> None:
    async def main() -> None:
        world = World(max_concurrency=1)
        for index in range(50):
            await world.ask(index)
        world.vendor.requests.clear()
        world.vendor.script = after(1.0, failing(DOWN))
        results = await asyncio.gather(world.start(1), world.start(2))
        assert results[0] is DOWN
        assert [request[0] for request in world.vendor.requests] == [number(index).e164 for index in (1, 2, 2)]

    run(main())


def test_no_retry_beyond_the_rate() -> None:
    async def main() -> None:
        world = World(max_per_minute=300)
        for index in range(10):
            await world.ask(index)
        world.vendor.script = failing(DOWN)
        assert await world.try_to_ask(11, within_s=0.1) is DOWN

    run(main())


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_retries_are_at_most_a_fifth_of_the_traffic(share: float) -> None:
    """P14, G6: 50 requests a second for a minute, some of them refused."""

    async def main() -> None:
        chance, sent = random.Random(7), []

        async def flaky(numbers: Sequence[Number]) -> Reply:
            sent.append((loop().time(), numbers[0].e164))
            await asyncio.sleep(0.02)
            if chance.random() < share:
                raise ProviderUnavailable
            return await good(numbers)

        world = World(flaky, max_concurrency=50)
        tasks = []
        for index in range(3000):
            tasks.append(world.start(index))
            await asyncio.sleep(0.02)
        await asyncio.gather(*tasks)

        assert max(Counter(one for _, one in sent).values()) <= 2
        first = {one: at for at, one in reversed(sent)}
        retries = [at for at, one in sent if at > first[one]]
        for begin in {int(at) for at, _ in sent if at < sent[-1][0] - 10.0}:
            requests = sum(1 for at, _ in sent if begin <= at < begin + 10)
            assert sum(1 for at in retries if begin <= at < begin + 10) <= 0.2 * requests + 1
        assert share == 1.0 or len(retries) > 20

    run(main())


def test_one_poisoned_number_does_not_spoil_a_batch() -> None:
    poisoned = number(3)

    async def strict(numbers: Sequence[Number]) -> Reply:
        await asyncio.sleep(0.1)
        if poisoned in numbers:
            raise ProviderRejected
        return await good(numbers)

    async def main() -> None:
        world = World(strict, max_batch=10, max_concurrency=1)
        for index in range(100, 140):
            await world.ask(index)
        tasks = [world.start(index) for index in range(6)]
        await asyncio.sleep(0.15)
        tasks += [world.start(index) for index in range(50, 62)]  # who wait before them, and go together
        await asyncio.sleep(0.3)
        tasks += [world.start(index) for index in range(70, 73)]  # and after them
        results = await asyncio.gather(*tasks)
        assert [isinstance(result, LookupAnswer) for result in results] == [True] * 3 + [False] + [True] * 17
        assert [result.remember_s for result in results if isinstance(result, ProviderError)] == [60.0]
        assert sorted(map(len, world.vendor.requests[-9:])) == [1, 1, 1, 1, 1, 2, 3, 5, 10]

    run(main())


# --- money


def test_money_is_set_aside_for_each_number_and_settled_by_what_came_of_it() -> None:
    async def main() -> None:
        purse = FakePurse()
        world = World(after(1.0), max_batch=10, max_concurrency=1, purse=purse)
        await world.ask_all(8)
        world.vendor.script = failing(ProviderTimeout())
        await world.ask_all(3)
        assert settled(world)
        assert all(isinstance(one.result, LookupAnswer) and one.result.number == one.number for one in purse.all[:8])
        assert {type(one.result) for one in purse.all[8:]} == {ProviderTimeout}
        assert {one.payer for one in purse.all} == {Payer("default")}

    run(main())


def test_a_payer_shows_no_caller() -> None:
    assert "4477" not in repr(Payer("default", "+447700900001"))


def test_who_is_over_budget_is_not_sent_and_stops_nobody_else() -> None:
    """B6: alone, as a leader of others and as one of them."""

    async def main() -> None:
        purse = FakePurse(left=0)
        world = World(after(1.0), max_batch=3, max_concurrency=1, purse=purse)
        assert isinstance(await world.try_to_ask(1), ProviderOverBudget)
        assert not world.vendor.requests

        purse.left = 5
        results = await world.ask_all(20, within_s=30.0)
        assert Counter(type(result) for result in results) == {LookupAnswer: 5, ProviderOverBudget: 15}
        assert settled(world)
        assert sum(map(len, world.vendor.requests)) == 5

    run(main())


def test_what_cannot_be_written_down_is_not_sent() -> None:
    async def main() -> None:
        purse = FakePurse(writable=False, write_s=0.1)
        world = World(max_batch=3, max_concurrency=1, purse=purse)
        results = await world.ask_all(7)
        assert {type(result) for result in results} == {ProviderNotBooked}
        assert not world.vendor.requests
        assert purse.count("released") == 7
        assert settled(world)
        assert world.link.health().state == "ok"

    run(main())


# --- who leaves


def test_a_follower_may_leave_and_the_others_get_theirs() -> None:
    async def main() -> None:
        world = World(after(1.0), max_batch=10, max_concurrency=1, purse=FakePurse())
        tasks = [world.start(index) for index in range(8)]
        await asyncio.sleep(0.5)
        tasks[3].cancel()  # in the line
        await asyncio.sleep(1.0)
        tasks[4].cancel()  # under way: paid for, and not stopped
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results[3:5]] == [asyncio.CancelledError] * 2
        assert [result for result in results if isinstance(result, LookupAnswer)] == [
            answer(number(index)) for index in (0, 1, 2, 5, 6, 7)
        ]
        assert len(world.vendor.requests[1]) == 6
        assert settled(world)

    run(main())


def test_a_leader_that_is_stopped_leaves_nobody_hanging() -> None:
    async def main() -> None:
        world = World(after(1.0), max_batch=10, max_concurrency=1, purse=FakePurse())
        tasks = [world.start(index) for index in range(5)]
        await asyncio.sleep(1.5)
        tasks[1].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [
            LookupAnswer,
            asyncio.CancelledError,
            *[ProviderOutcomeUnknown] * 3,
        ]
        assert settled(world)
        assert await world.ask(9) == answer(number(9))

    run(main())


def test_a_leader_that_leaves_before_its_first_step_passes_the_lead_on() -> None:
    async def main() -> None:
        world = World(after(1.0), max_batch=10, max_concurrency=1, purse=FakePurse())
        landing = asyncio.get_running_loop().create_future()

        async def until_landing(numbers: Sequence[Number]) -> Reply:
            await landing
            return await good(numbers)

        world.vendor.script = until_landing
        tasks = [world.start(index) for index in range(5)]
        await asyncio.sleep(0.1)
        landing.set_result(None)
        await asyncio.sleep(0)  # the first has landed; the second has been told that it leads
        assert world.link.health().under_way == 1
        tasks[1].cancel()
        tasks[3].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [index for index, result in enumerate(results) if isinstance(result, LookupAnswer)] == [0, 2, 4]
        assert world.vendor.requests[1] == [number(index).e164 for index in (2, 4)]
        assert settled(world)

    run(main())


def test_a_bug_reaches_its_caller_hangs_nobody_and_does_not_spend_for_ever() -> None:
    async def main() -> None:
        world = World(after(1.0, failing(RuntimeError("bug"))), max_batch=10, max_concurrency=1, purse=FakePurse())
        tasks = [world.start(index) for index in range(30)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert Counter(type(result) for result in results) == {RuntimeError: 4, ProviderOutcomeUnknown: 26}
        assert settled(world)
        await asyncio.gather(world.start(1), return_exceptions=True)
        assert world.link.health().state == "shut"

    run(main())


# --- webhooks


class Ear:
    """Hears what the test says."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.said: dict[str, LookupAnswer | ProviderError] = {}

    def expect(self, provider: str, number: str, heard: Callable[[], None]) -> None:
        self.heard = heard
        self.log.append(f"expect {provider} {number}")

    async def result(self, provider: str, number: str, wait_s: float) -> LookupAnswer | ProviderError | None:
        await asyncio.sleep(wait_s / 2)
        if (said := self.said.get(number)) is not None:
            self.heard()
        return said

    def forget(self, provider: str, number: str) -> None:
        self.log.append(f"forget {provider} {number}")


def test_a_number_that_was_accepted_is_waited_for_without_its_slot_and_costs_what_was_said_then() -> None:
    async def accept(numbers: Sequence[Number]) -> Reply:
        await asyncio.sleep(1.0)
        return {one.e164: Pending(30.0, Decimal("0.005"), "EUR") for one in numbers}

    async def main() -> None:
        ear, purse = Ear(), FakePurse()
        world = World(accept, max_batch=10, max_concurrency=1, purse=purse, notices=ear)
        ear.said = {number(index).e164: answer(number(index)) for index in range(3)}
        tasks = [world.start(index) for index in range(5)]
        await asyncio.sleep(2.5)
        assert settled(world)
        assert {one.result for one in purse.all} == {Pending(30.0, Decimal("0.005"), "EUR")}

        results = await asyncio.gather(*tasks)

        priced = [replace(answer(number(index)), cost=Decimal("0.005"), currency="EUR") for index in range(3)]
        assert results[:3] == priced
        assert {type(result) for result in results[3:]} == {ProviderTimeout}
        assert [line.split()[0] for line in ear.log] == ["expect"] * 5

    run(main())


def test_a_price_that_only_the_webhook_tells_is_booked_when_it_comes() -> None:
    """B7, G5: what it may be is set aside until then, and counts as spent where nothing comes, and where nobody waits any more."""

    async def main() -> None:
        ear, purse = Ear(), FakePurse()
        ear.said = {number(0).e164: answer(number(0)), number(1).e164: ProviderNotCovered()}
        world = World(after(1.0, taken), max_batch=10, max_concurrency=1, purse=purse, notices=ear)
        tasks = [world.start(index) for index in range(4)]
        await asyncio.sleep(1.5)
        tasks[3].cancel()
        await asyncio.sleep(1.0)
        assert {one.number: one.state for one in purse.all} == {
            **{number(index).e164: "intended" for index in range(3)},
            number(3).e164: "settled",
        }

        results = await asyncio.gather(*tasks[:3])

        assert settled(world)
        assert results[0] == answer(number(0))
        assert {one.number: one.result for one in purse.all} == {
            number(0).e164: answer(number(0)),
            number(1).e164: ear.said[number(1).e164],
            number(2).e164: Pending(30.0),
            number(3).e164: Pending(30.0),
        }

    run(main())


async def taken(numbers: Sequence[Number]) -> Reply:
    return {one.e164: Pending(30.0) for one in numbers}


def test_a_vendor_whose_webhooks_never_come_is_not_paid_for_ever() -> None:
    """A5: it takes every number, so to the breaker all is well."""

    async def main() -> None:
        world = World(taken, notices=Ear(), purse=FakePurse())
        results = [await world.try_to_ask(index) for index in range(5)]
        assert [type(result) for result in results] == [ProviderTimeout] * 4 + [ProviderSilent]
        health = world.link.health()
        assert (health.state, health.why, health.for_s) == ("shut", "no_webhook", 10.0)

        begin = loop().time()
        results = [await world.try_to_ask(6)]
        assert [type(result) for result in results] == [ProviderShut]
        assert loop().time() == begin, "the next source is asked at once"
        for index in range(24 * 360):
            loop().jump(10.0)
            await world.try_to_ask(index)

        assert len(world.vendor.requests) < 200, "in a day"

    run(main())


def test_webhooks_that_never_came_raise_one_alarm_however_many_waited() -> None:
    async def main() -> None:
        world = World(taken, notices=Ear(), max_concurrency=100)
        results = await world.ask_all(100)
        assert Counter(type(result) for result in results) == {ProviderTimeout: 99, ProviderSilent: 1}

    run(main())


def test_who_waits_in_line_when_webhooks_are_missing_goes_on_at_once() -> None:
    async def main() -> None:
        world = World(taken, notices=Ear(), max_per_minute=6)
        results = await world.ask_all(10, within_s=100.0)
        assert [type(result) for result in results].count(ProviderShut) == 4
        assert len(world.vendor.requests) == 6
        assert loop().time() < 1070.0, "of a hundred seconds that they would have waited"

    run(main())


@pytest.mark.parametrize("late", [False, True])
def test_one_webhook_that_comes_opens_the_vendor_again(late: bool) -> None:
    async def main() -> None:
        ear = Ear()
        world = World(taken, notices=ear)
        await world.ask_all(5)
        assert isinstance(await world.try_to_ask(6), ProviderShut)
        if late:
            ear.heard()
        else:
            ear.said = {number(7).e164: answer(number(7))}
            await asyncio.sleep(11.0)
            assert isinstance(await world.ask(7), LookupAnswer)

        assert world.link.health().state == "ok"
        assert [type(await world.try_to_ask(index)) for index in range(10, 14)] == [ProviderTimeout] * 4

    run(main())


def test_a_webhook_in_between_starts_the_count_anew() -> None:
    async def main() -> None:
        ear = Ear()
        world = World(taken, notices=ear)
        for index in range(50):
            if index % 4 == 0:
                ear.said[number(index).e164] = answer(number(index))
            await world.try_to_ask(index)
        assert len(world.vendor.requests) == 50

    run(main())


def test_a_vendor_that_answers_at_once_again_is_in_use_again() -> None:
    """Some report by webhook only what takes them long."""

    async def main() -> None:
        world = World(taken, notices=Ear())
        await world.ask_all(5)
        world.vendor.script = good
        await asyncio.sleep(11.0)
        assert await world.ask_all(4) != []
        await asyncio.sleep(11.0)
        assert await world.ask(9) == answer(number(9))
        assert world.link.health().state == "ok"

    run(main())


def test_the_silence_of_webhooks_outlives_a_reload() -> None:
    async def main() -> None:
        old = World(taken, notices=Ear())
        await old.ask_all(5)
        new = Link(old.vendor, old.vendor, old.line, timeout_s=10.0, notices=Ear())
        with pytest.raises(ProviderShut):
            await new.ask(number(6), 0.0, lambda: loop().time() + 5.0)

    run(main())


def test_a_webhook_for_another_number_is_no_answer() -> None:
    """A5."""

    async def accept(numbers: Sequence[Number]) -> Reply:
        return {one.e164: Pending(30.0) for one in numbers}

    async def main() -> None:
        ear = Ear()
        ear.said = {number(1).e164: answer(number(2))}
        assert isinstance(await World(accept, notices=ear).try_to_ask(1), ProviderProtocolError)
        assert isinstance(await World(accept).try_to_ask(1), ProviderTimeout), "nobody listens"

    run(main())


@pytest.mark.parametrize(
    ("script", "forgotten"),
    [(good, True), (failing(ProviderRejected()), True), (failing(ProviderTimeout()), False)],
)
def test_no_webhook_is_awaited_for_what_was_not_accepted_but_after_an_unknown_outcome(
    script: Any, forgotten: bool
) -> None:
    async def main() -> None:
        ear = Ear()
        await World(script, notices=ear).try_to_ask(1)
        e164 = number(1).e164
        assert ear.log == [f"expect fake {e164}"] + [f"forget fake {e164}"] * forgotten

    run(main())


def test_the_real_ear_hears_a_webhook_that_overtakes_the_acknowledgement() -> None:
    notices = Notices()

    async def overtaken(numbers: Sequence[Number]) -> Reply:
        notices.deliver("fake", {one.e164: answer(one) for one in numbers})
        return {one.e164: Pending(30.0) for one in numbers}

    async def main() -> None:
        world = World(overtaken, notices=notices)
        assert await world.ask(1) == answer(number(1))
        assert loop().time() == 1000.0

    run(main())


# --- chaos


def test_a_vendor_that_turns_slow_holds_no_more_than_its_slots_and_recovers() -> None:
    """P15: 300 new numbers a second, 50 ms, then 5 s for ten seconds, then 50 ms again; calls wait for one second."""

    async def main() -> None:
        world = World(after(0.05), max_concurrency=20)
        late: list[float] = []
        good_from: list[float] = []

        async def call(index: int) -> None:
            begin = loop().time()
            result = await world.try_to_ask(index, within_s=1.0)
            if isinstance(result, LookupAnswer):
                good_from.append(begin)
            elif loop().time() > begin + 1.2:
                late.append(begin)

        tasks = []
        for index in range(9000):
            if index == 3000:
                world.vendor.script = after(5.0)
            if index == 6000:
                world.vendor.script = after(0.05)
            tasks.append(asyncio.create_task(call(index)))
            assert world.link.health().waiting <= 400
            await asyncio.sleep(1 / 300)
        await asyncio.gather(*tasks)

        assert world.vendor.most == 20
        assert not late
        assert settled(world)
        assert sum(1 for begin in good_from if begin < 1009.0) >= 2700
        assert sum(1 for begin in good_from if begin >= 1025.0) >= 1490

    run(main())


def test_a_vendor_that_is_back_is_in_use_within_ten_seconds() -> None:
    """G12, P16: silent for a minute; nobody waits for it meanwhile but one in some seconds."""

    async def main() -> None:
        world = World(after(10.0, failing(ProviderTimeout())))
        waited, back = [], 0.0

        async def call(index: int) -> None:
            nonlocal back
            begin = loop().time()
            result = await world.try_to_ask(index, within_s=1.0)
            waited.append(loop().time() - begin)
            if isinstance(result, LookupAnswer):
                back = back or begin

        tasks = []
        for index in range(14_000):
            if index == 12_000:
                world.vendor.script = after(0.05)
            tasks.append(asyncio.create_task(call(index)))
            await asyncio.sleep(0.005)
        await asyncio.gather(*tasks)

        assert 0.0 < back < 1060.0 + 10.0
        shut = waited[4000:12_000]
        assert sum(1 for seconds in shut if seconds > 0.0) < 0.01 * len(shut)

    run(main())


def test_cancelling_whoever_waits_harms_nobody_else() -> None:
    """P17, G17."""

    async def main() -> None:
        chance = random.Random(17)

        async def uneven(numbers: Sequence[Number]) -> Reply:
            await asyncio.sleep(chance.choice([0.0, 0.01, 0.05]))
            return await good(numbers)

        purse = FakePurse(write_s=0.0)
        world = World(uneven, max_batch=4, max_concurrency=10, purse=purse)
        cancelled = 0
        while cancelled < CANCELLATIONS:
            purse.all.clear()
            tasks = [world.start(index) for index in range(120)]
            await asyncio.sleep(0)
            for task in chance.sample(tasks, 110):
                if chance.random() < 0.1:
                    await asyncio.sleep(chance.choice([0.0, 0.005]))
                cancelled += task.cancel()
            for index, result in enumerate(await asyncio.gather(*tasks, return_exceptions=True)):
                if not isinstance(result, asyncio.CancelledError | ProviderBusy | ProviderOutcomeUnknown):
                    assert result == answer(number(index))
            assert settled(world)
        assert await world.ask_all(100) == [answer(number(index)) for index in range(100)]
        assert world.vendor.most <= 10

    run(main())


ERRORS: list[Exception] = [
    ProviderUnavailable(), ProviderTimeout(), ProviderRejected(), ProviderRateLimited(),
    ProviderRateLimited(scope="network"), ProviderBusy(), ProviderOutOfCredit(), ProviderNotBooked(), ValueError("bug"),
]  # fmt: skip


class Chaos:
    """A vendor that does anything, and whose webhooks come twice."""

    def __init__(self, seed: int, trouble: float) -> None:
        self.chance = random.Random(seed)
        self.notices = Notices()
        self._trouble = trouble

    async def __call__(self, numbers: Sequence[Number]) -> Reply:
        await asyncio.sleep(self.chance.choice([0.0, 0.01, 0.5]))
        if self.chance.random() < self._trouble:
            raise self.chance.choice(ERRORS)
        return {one.e164: self._result(one) for one in numbers}

    def _result(self, one: Number) -> NumberResult:
        kinds: list[NumberResult] = [Pending(1.0), ProviderFailedNumber(), answer(number(999))]
        result = self.chance.choice([answer(one)] * 4 + kinds)
        if isinstance(result, Pending) and self.chance.random() < 0.7:
            for delay_s in (0.1, 0.4):
                loop().call_later(delay_s, self.notices.deliver, "fake", {one.e164: answer(one)})
        return result

    async def call(self, world: World) -> list[Any]:
        """Callers who come, and leave, as they please."""
        tasks: list[asyncio.Task[LookupAnswer | ProviderError]] = []
        for index in range(self.chance.randrange(1, 40)):
            tasks.append(world.start(index, within_s=self.chance.choice([0.1, 1.0, 5.0])))
            if self.chance.random() < 0.3:
                self.chance.choice(tasks).cancel()
            if self.chance.random() < 0.5:
                await asyncio.sleep(self.chance.choice([0.0, 0.01, 0.2]))
        return await asyncio.gather(*tasks, return_exceptions=True)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 3), st.booleans(), st.sampled_from([0.0, 0.2, 0.7]))
def test_every_number_gets_its_own_answer_and_is_paid_for_once(
    seed: int, max_batch: int, max_concurrency: int, rated: bool, trouble: float
) -> None:
    """Whoever leaves, whatever fails, whenever the money ends."""
    chaos = Chaos(seed, trouble)
    purse = FakePurse(left=chaos.chance.choice([5, 1000]), write_s=chaos.chance.choice([None, 0.0, 0.1]))
    world = World(
        chaos,
        max_batch=max_batch,
        max_concurrency=max_concurrency,
        max_per_minute=600 if rated else None,
        purse=purse,
        notices=chaos.notices,
        network_of=lambda one: one.e164[-1],
    )

    async def main() -> None:
        for index, result in enumerate(await chaos.call(world)):
            if isinstance(result, LookupAnswer):
                assert (result.number, result.identity) == (number(index).e164, answer(number(index)).identity)
            else:
                assert isinstance(result, ProviderError | asyncio.CancelledError | ValueError)
        assert settled(world)
        sent = Counter(one for request in world.vendor.requests for one in request)
        assert sent == Counter(one.number for one in purse.all if one.state == "settled")

    run(main())
