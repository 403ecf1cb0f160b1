"""Who waits for which number: webhooks early, late, repeated, out of order and unasked."""

from __future__ import annotations

import asyncio
import gc
import weakref
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from agi_lookup.domain.errors import ProviderError, ProviderFailedNumber
from agi_lookup.domain.model import LookupAnswer
from agi_lookup.providers.notices import Notices
from tests.fakes import Clock, answer

ONE, OTHER = "+33639981200", "+33639981201"
FIRST, SECOND = answer(number=ONE, now=1.0), answer(number=ONE, now=2.0)


def waiting(
    notices: Notices, number: str = ONE, wait_s: float = 30.0
) -> asyncio.Task[LookupAnswer | ProviderError | None]:
    return asyncio.create_task(notices.result("sms", number, wait_s))


async def settle() -> None:
    """Let what is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


def deliver(notices: Notices, result: LookupAnswer | ProviderError, number: str = ONE, provider: str = "sms") -> str:
    """The one word for one result."""
    (word,) = notices.deliver(provider, {number: result})
    return word


async def test_a_notice_ends_the_wait() -> None:
    notices = Notices()
    notices.expect("sms", ONE)
    task = waiting(notices)
    await settle()
    assert deliver(notices, FIRST) == "accepted"
    assert await task == FIRST


async def test_a_failed_number_is_a_value() -> None:
    notices, failure = Notices(), ProviderFailedNumber()
    notices.expect("sms", ONE)
    task = waiting(notices)
    await settle()
    deliver(notices, failure)
    assert await task is failure


async def test_a_notice_that_overtakes_the_acknowledgement_is_not_lost() -> None:
    notices = Notices()
    notices.expect("sms", ONE)
    assert deliver(notices, FIRST) == "accepted"
    assert await notices.result("sms", ONE, 30.0) == FIRST


async def test_everybody_who_waits_for_a_number_gets_the_first_notice() -> None:
    notices = Notices()
    for _ in range(3):
        notices.expect("sms", ONE)
    tasks = [waiting(notices), waiting(notices)]
    await settle()
    deliver(notices, FIRST)
    assert await asyncio.gather(*tasks) == [FIRST, FIRST]
    assert await notices.result("sms", ONE, 30.0) == FIRST, "the third was still being acknowledged"


async def test_no_notice_in_time_is_nothing() -> None:
    notices = Notices()
    notices.expect("sms", ONE)
    result = await notices.result("sms", ONE, 0.0)
    assert result is None


async def test_who_expected_a_notice_hears_of_it_however_late_but_not_of_what_nobody_asked_for() -> None:
    heard: list[str] = []
    notices = Notices()
    notices.expect("sms", ONE, lambda: heard.append(ONE))
    deliver(notices, answer(number=OTHER), OTHER)
    await notices.result("sms", ONE, 0.0)
    assert heard == []
    deliver(notices, FIRST)
    assert heard == [ONE]


async def test_a_number_that_nobody_asked_for_changes_nothing() -> None:
    """A5: nor does one that another provider was asked for."""
    late: list[LookupAnswer] = []
    notices = Notices(on_late=late.append)
    notices.expect("other", ONE)
    notices.expect("sms", OTHER)
    task = waiting(notices, OTHER)
    await settle()
    assert deliver(notices, FIRST) == "unasked"
    assert not task.done()
    assert late == []
    assert deliver(notices, FIRST, provider="other") == "accepted"
    deliver(notices, answer(number=OTHER), OTHER)
    await task


async def test_what_comes_after_the_wait_is_handed_on_once() -> None:
    """P20, A4: paid for, so kept; sent again, it is no news."""
    late: list[LookupAnswer] = []
    notices = Notices(on_late=late.append)
    notices.expect("sms", ONE)
    await notices.result("sms", ONE, 0.0)
    assert [deliver(notices, FIRST), deliver(notices, FIRST), deliver(notices, SECOND)] == [
        "accepted",
        "repeated",
        "repeated",
    ]
    assert late == [FIRST]


async def test_an_early_notice_is_handed_on_too() -> None:
    """Its request may have been lost on the way back: then nobody will ever wait for it."""
    late: list[LookupAnswer] = []
    notices = Notices(on_late=late.append)
    notices.expect("sms", ONE)
    deliver(notices, FIRST)
    assert late == [FIRST]


async def test_what_somebody_waits_for_is_not_handed_on() -> None:
    late: list[LookupAnswer] = []
    notices = Notices(on_late=late.append)
    notices.expect("sms", ONE)
    task = waiting(notices)
    await settle()
    deliver(notices, FIRST)
    await task
    assert late == []


async def test_a_late_failure_is_no_answer_to_keep() -> None:
    late: list[LookupAnswer] = []
    notices = Notices(on_late=late.append)
    notices.expect("sms", ONE)
    deliver(notices, ProviderFailedNumber())
    assert late == []


async def test_an_old_notice_sent_again_does_not_use_up_what_is_owed() -> None:
    """A4: the vendor did not see our 200, and meanwhile the number was asked for once more."""
    late: list[LookupAnswer] = []
    notices = Notices(on_late=late.append)
    notices.expect("sms", ONE)
    deliver(notices, FIRST)
    assert await notices.result("sms", ONE, 30.0) == FIRST
    notices.expect("sms", ONE)
    task = waiting(notices)
    await settle()
    assert deliver(notices, FIRST) == "accepted", "as good as a vendor's own cache: its age is its own"
    assert await task == FIRST
    assert deliver(notices, SECOND) == "accepted"
    assert late == [FIRST, SECOND]


async def test_a_new_request_waits_for_a_notice_of_its_own() -> None:
    notices = Notices()
    notices.expect("sms", ONE)
    deliver(notices, FIRST)
    notices.expect("sms", ONE)
    task = waiting(notices)
    await settle()
    assert not task.done()
    deliver(notices, SECOND)
    assert await task == SECOND


async def test_a_number_that_the_vendor_did_not_take_is_owed_nothing() -> None:
    """A5"""
    notices = Notices()
    notices.expect("sms", ONE)
    notices.forget("sms", ONE)
    notices.forget("sms", ONE)
    notices.forget("sms", OTHER)
    assert deliver(notices, FIRST) == "repeated"
    notices.expect("sms", ONE)
    assert deliver(notices, FIRST) == "accepted"


async def test_the_refusal_of_one_request_leaves_the_wait_of_another() -> None:
    notices = Notices()
    notices.expect("sms", ONE)
    task = waiting(notices)
    notices.expect("sms", ONE)
    notices.forget("sms", ONE)
    await settle()
    assert deliver(notices, FIRST) == "accepted"
    assert await task == FIRST


async def test_notices_come_in_any_order() -> None:
    notices = Notices()
    numbers = [f"+336399812{n:02}" for n in range(20)]
    for number in numbers:
        notices.expect("sms", number)
    tasks = {number: waiting(notices, number) for number in numbers}
    await settle()
    counts = notices.deliver("sms", {number: answer(number=number) for number in reversed(numbers)})
    assert counts == {"accepted": 20}
    assert [(await task).number for task in tasks.values()] == numbers  # type: ignore[union-attr]


async def test_the_late_window_ends() -> None:
    clock = Clock()
    notices = Notices(3600.0, timer=clock)
    notices.expect("sms", ONE)
    notices.expect("sms", OTHER)
    clock.now += 3599
    assert deliver(notices, FIRST) == "accepted"
    clock.now += 2
    assert deliver(notices, answer(number=OTHER), OTHER) == "unasked"


async def test_a_wait_outlives_the_late_window_and_the_bound() -> None:
    clock = Clock()
    notices = Notices(60.0, timer=clock, max_asked=2)
    notices.expect("sms", ONE)
    task = waiting(notices)
    await settle()
    clock.now += 61
    for n in range(10):
        notices.expect("sms", f"+336399813{n:02}")
    assert deliver(notices, FIRST) == "accepted"
    assert await task == FIRST


async def test_no_more_numbers_are_remembered_than_the_bound() -> None:
    notices = Notices(max_asked=100)
    numbers = [f"+33639{n:06}" for n in range(1000)]
    for number in numbers:
        notices.expect("sms", number)
    counts = notices.deliver("sms", {number: answer(number=number) for number in numbers})
    assert counts == {"accepted": 100, "unasked": 900}


async def test_a_cancelled_wait_loses_nothing() -> None:
    late: list[LookupAnswer] = []
    notices = Notices(on_late=late.append)
    notices.expect("sms", ONE)
    task = waiting(notices)
    await settle()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert deliver(notices, FIRST) == "accepted"
    assert late == [FIRST]


async def test_an_answer_that_comes_in_the_moment_of_the_cancellation_is_handed_on() -> None:
    late: list[LookupAnswer] = []
    notices = Notices(on_late=late.append)
    notices.expect("sms", ONE)
    task = waiting(notices)
    await settle()
    deliver(notices, FIRST)
    task.cancel()
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(outcome, asyncio.CancelledError)
    assert late == [FIRST]


async def test_an_answer_that_comes_in_the_moment_of_the_timeout_is_handed_on() -> None:
    late: list[LookupAnswer] = []
    notices = Notices(on_late=late.append)
    notices.expect("sms", ONE)
    task = waiting(notices, wait_s=0.0)
    asyncio.get_running_loop().call_later(0.0, lambda: asyncio.get_running_loop().call_soon(deliver, notices, FIRST))
    result = await task
    await settle()
    assert (result, late) in [(None, [FIRST]), (FIRST, [])]


async def test_a_wait_that_ended_leaves_no_timer() -> None:
    notices, failure = Notices(), ProviderFailedNumber()
    seen = weakref.ref(failure)
    notices.expect("sms", ONE)
    task = waiting(notices, wait_s=3600.0)
    await settle()
    deliver(notices, failure)
    await task
    del notices, task, failure
    await settle()
    gc.collect()
    assert seen() is None, "an hour's timer still holds what came"


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(st.sampled_from(["expect", "forget", "deliver"]), max_size=30))
def test_no_more_notices_are_taken_than_requests_were_sent(steps: list[str]) -> None:
    """A4, A5: whatever the order, with nobody waiting."""
    late: list[LookupAnswer] = []
    notices = Notices(on_late=late.append)
    owed = taken = 0
    for place, step in enumerate(steps):
        if step == "deliver":
            word = deliver(notices, replace(FIRST, observed_at=float(place)))
            assert (word == "accepted") == (owed > 0)
            taken += word == "accepted"
            owed = max(0, owed - 1)
        elif step == "expect":
            notices.expect("sms", ONE)
            owed += 1
        else:
            notices.forget("sms", ONE)
            owed = max(0, owed - 1)
    assert len(late) == taken <= steps.count("expect")
