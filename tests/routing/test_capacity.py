"""How many calls a trunk carries: never more than it may, and none for ever."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_lookup.routing.capacity import BEHIND_S, FULL, NEXT_HELD_S, TOO_FAST, Calls, Course
from agi_lookup.routing.trunks import Trunk
from tests.routing.routes import NOW, result, trunk

ONE = trunk("ONE", max_calls=2)
TWO = trunk("TWO", max_calls=2)
FAST = trunk("FAST", max_calls_per_s=3)
FAILED: dict[str, Any] = {"dialstatus": "CONGESTION", "sip_code": 503}
GONE: dict[str, Any] = {"dialstatus": "CHANUNAVAIL", "cause": 22, "sip_code": 410}
BUSY: dict[str, Any] = {"dialstatus": "BUSY", "cause": 17, "sip_code": 486}


def course(*trunks: Trunk) -> Course:
    return Course(trunks, "23415", "GB", "")


def started(*trunks: Trunk, channels: str = "a", **options: Any) -> Calls:
    calls = Calls(3600, **options)
    for channel in channels:
        calls.start(channel, course(*trunks), NOW)
    return calls


def test_a_trunk_is_full_until_a_call_ends() -> None:
    calls = started(ONE, channels="ab")
    assert calls.refusal(ONE, NOW) == FULL

    ended = calls.ended("a", result("ONE"), NOW + 60)

    assert ended is not None
    assert ended.started_at == NOW
    assert calls.refusal(ONE, NOW + 60) == ""


def test_a_result_that_never_comes_holds_no_place_for_ever() -> None:
    calls = started(ONE, channels="ab")

    assert [calls.refusal(ONE, NOW + s) for s in (3599, 3600)] == [FULL, ""]


@pytest.mark.parametrize(
    ("said", "goes_on"),
    [(FAILED, True), ({"dialstatus": "CONGESTION", "sip_code": 404}, True), (BUSY, False), (GONE, False),
     ({"dialstatus": "NOANSWER", "cause": 19, "sip_code": 480}, True), ({**FAILED, "pdd_ms": 900}, True), ({}, False),
     ({"dialstatus": "CANCEL"}, False)],
    ids=["503", "404", "busy", "gone", "480 before a ring", "503 after a ring", "answered", "caller left"],
)  # fmt: skip
def test_a_call_that_is_tried_elsewhere_is_carried_there(said: dict[str, Any], goes_on: bool) -> None:
    calls = started(ONE, TWO)

    calls.ended("a", result("ONE", **said), NOW + 2)

    assert (calls.on("ONE", NOW + 2), calls.on("TWO", NOW + 2)) == (0, int(goes_on))


def test_a_call_that_went_to_the_next_trunk_started_there_when_it_went() -> None:
    calls = started(ONE, TWO)
    calls.ended("a", result("ONE", **FAILED), NOW + 2)

    ended = calls.ended("a", result("TWO"), NOW + 90)

    assert ended is not None
    assert ended.started_at == NOW + 2


def test_a_trunk_that_calls_may_never_have_reached_is_not_full_for_long() -> None:
    """The site tries no other trunk after this, or the callers left in between: no result ever comes."""
    calls = started(ONE, TWO, channels="abcd")
    for channel in "abcd":
        calls.ended(channel, result("ONE", **FAILED), NOW + 2)

    refusals = [calls.refusal(TWO, NOW + 2 + s) for s in (0, NEXT_HELD_S - 1, NEXT_HELD_S)]

    assert refusals == [FULL, FULL, ""]


def test_a_long_call_over_the_next_trunk_is_still_heard_of() -> None:
    calls = started(ONE, TWO)
    calls.ended("a", result("ONE", **FAILED), NOW + 2)
    assert calls.on("TWO", NOW + 1800) == 0

    ended = calls.ended("a", result("TWO"), NOW + 1800)

    assert ended is not None
    assert ended.started_at == NOW + 2
    assert calls.on("TWO", NOW + 1800) == 0


def test_a_site_that_tries_more_than_we_ship_is_heard_of() -> None:
    calls, three = started(ONE, TWO, trunk("THREE")), trunk("THREE")
    assert calls.ended("a", result("ONE", **BUSY), NOW + 2)
    assert calls.on("TWO", NOW + 2) == 0

    assert calls.ended("a", result("TWO", **FAILED), NOW + 300)
    assert calls.on("THREE", NOW + 300) == 1
    assert calls.ended("a", result(three.name), NOW + 400)
    assert calls.on("THREE", NOW + 400) == 0


@pytest.mark.parametrize("said", [{}, {"dialstatus": "CANCEL"}], ids=["answered", "caller left"])
def test_nothing_comes_after_a_call_that_was_had_or_given_up(said: dict[str, Any]) -> None:
    calls = started(ONE, TWO)
    calls.ended("a", result("ONE", **said), NOW + 2)

    assert calls.ended("a", result("TWO"), NOW + 3) is None


def test_failed_calls_are_remembered_for_as_long_as_a_call_may_last_and_no_more_than_so_many() -> None:
    calls = started(ONE, TWO, channels="abc", max_calls=3)
    for channel in "abc":
        calls.ended(channel, result("ONE", **BUSY), NOW)
    calls.start("d", course(ONE, TWO), NOW)
    calls.ended("d", result("ONE", **BUSY), NOW + 1)

    assert calls.ended("a", result("TWO"), NOW + 2) is None
    assert calls.ended("b", result("TWO"), NOW + 2)
    assert calls.on("ONE", NOW + 3600) == 0
    assert calls.ended("c", result("TWO"), NOW + 3600) is None
    assert calls.ended("d", result("TWO"), NOW + 3600)


def test_a_result_that_comes_twice_counts_once() -> None:
    calls = started(ONE, TWO)
    assert calls.ended("a", result("ONE", **FAILED), NOW)

    assert calls.ended("a", result("ONE", **FAILED), NOW) is None
    assert calls.on("TWO", NOW) == 1


def test_a_result_that_was_lost_is_made_up_for_by_the_next() -> None:
    calls = started(ONE, TWO)

    assert calls.ended("a", result("TWO"), NOW + 9)
    assert (calls.on("ONE", NOW + 9), calls.on("TWO", NOW + 9)) == (0, 0)


@pytest.mark.parametrize(("channel", "name"), [("b", "ONE"), ("a", "TWO")], ids=["channel", "trunk"])
def test_a_result_of_what_was_never_given_is_ignored(channel: str, name: str) -> None:
    calls = started(ONE)

    assert calls.ended(channel, result(name), NOW) is None
    assert calls.on("ONE", NOW) == 1


def test_a_channel_that_asks_again_holds_one_place() -> None:
    calls = started(ONE, channels="aa")

    assert calls.on("ONE", NOW) == 1


def test_the_oldest_call_is_forgotten_when_there_are_too_many() -> None:
    calls = started(ONE, channels="abc", max_calls=2)

    assert calls.on("ONE", NOW) == 2
    assert calls.ended("a", result("ONE"), NOW) is None


def test_a_trunk_takes_so_many_calls_in_any_second() -> None:
    calls = started(FAST, channels="abc")

    assert [calls.refusal(FAST, NOW + s) for s in (0, 0.99, 1)] == [TOO_FAST, TOO_FAST, ""]


def test_calls_that_come_from_another_trunk_count_as_fast_too() -> None:
    calls = Calls(3600)
    for channel in "abc":
        calls.start(channel, course(ONE, FAST), NOW)
        calls.ended(channel, result("ONE", **FAILED), NOW + 5)

    assert calls.refusal(FAST, NOW + 5.5) == TOO_FAST


def test_a_call_that_waited_for_its_lookup_is_no_way_past_the_limit() -> None:
    """Its `now` is from before the wait, and others have started since."""
    calls = started(FAST, channels="abc")

    assert calls.refusal(FAST, NOW - 0.4) == TOO_FAST


def test_a_start_that_came_late_hides_none_of_the_others() -> None:
    calls = started(FAST, channels="ab")
    calls.start("c", course(FAST), NOW - 2)

    assert [calls.refusal(FAST, NOW + s) for s in (-0.4, 0.5, 1)] == [TOO_FAST, TOO_FAST, ""]


@pytest.mark.parametrize("back_s", [3, 5, 3600])
def test_a_clock_that_was_set_back_shuts_no_trunk(back_s: float) -> None:
    """For longer than calls that waited are allowed for."""
    calls = started(ONE, TWO, channels="ab")
    for channel in "cde":
        calls.start(channel, course(FAST), NOW)
    for channel in "ab":
        calls.ended(channel, result("ONE", **FAILED), NOW)

    after = NOW - back_s + BEHIND_S

    assert (calls.refusal(FAST, after + 1), calls.refusal(TWO, after + NEXT_HELD_S)) == ("", "")


def test_calls_from_before_the_clock_was_set_back_hold_no_place() -> None:
    assert started(ONE, channels="ab").refusal(ONE, NOW - 3600) == ""


def test_a_reload_that_changes_the_limit_keeps_the_count() -> None:
    calls = started(FAST, channels="ab")

    assert calls.refusal(trunk("FAST", max_calls_per_s=2), NOW) == TOO_FAST


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["start", "end", "fail", "lose"]), st.floats(0, 30)), max_size=80))
def test_no_more_calls_than_a_trunk_takes_and_every_place_comes_back(events: list[tuple[str, float]]) -> None:
    """Against a count by hand of the calls that are really on the trunk."""
    calls, now, busy, made = Calls(100), NOW, dict[str, float](), 0
    for event, wait_s in events:
        now += wait_s
        busy = {channel: since for channel, since in busy.items() if now - since < 100}
        if event == "start" and not calls.refusal(ONE, now):
            made += 1
            busy[str(made)] = now
            calls.start(str(made), course(ONE), now)
        elif event in ("end", "fail") and busy:
            channel = next(iter(busy))
            del busy[channel]
            calls.ended(channel, result("ONE", **(FAILED if event == "fail" else {})), now)
        assert calls.on("ONE", now) == len(busy) <= 2

    assert calls.on("ONE", now + 100) == 0


@settings(deadline=None)
@given(st.lists(st.floats(0, 0.6), max_size=60))
def test_no_second_sees_more_calls_than_a_trunk_takes(gaps_s: list[float]) -> None:
    calls, now, starts = Calls(3600), NOW, []
    for place, gap_s in enumerate(gaps_s):
        now += gap_s
        if not calls.refusal(FAST, now):
            calls.start(str(place), course(FAST), now)
            starts.append(now)

    assert all(late - early >= 1 for early, late in zip(starts, starts[3:], strict=False))
    assert all(later >= earlier for earlier, later in pairwise(starts))
