"""Timelines of a trunk that rests and comes back."""

from __future__ import annotations

from agi_lookup.routing.options import SuspendOptions
from agi_lookup.routing.signs import Sign
from agi_lookup.routing.suspension import Suspensions
from tests.routing.routes import NOW


def resting() -> Suspensions:
    suspensions = Suspensions(SuspendOptions(first_s=60, max_s=200))
    suspensions.suspend("T1", NOW)
    return suspensions


def test_a_trunk_rests_until_its_probe_is_due() -> None:
    rests = resting()

    assert [rests.holds("T1", NOW + s) for s in (0, 59, 60, 500)] == [True, True, False, False]
    assert not rests.holds("T2", NOW)


def test_one_call_goes_to_see_and_others_keep_away() -> None:
    rests = resting()
    rests.offered("T1", NOW + 60)

    assert [rests.holds("T1", NOW + s) for s in (60, 119, 120)] == [True, True, False]  # of which nothing was heard


def test_a_call_that_gets_through_ends_the_rest() -> None:
    rests = resting()
    rests.offered("T1", NOW + 60)

    assert rests.ended("T1", Sign.DELIVERED, NOW + 60, NOW + 63)
    assert not rests


def test_each_failed_probe_doubles_the_rest_up_to_the_most() -> None:
    rests, due, lengths = resting(), NOW + 60, []
    for _ in range(4):
        rests.offered("T1", due)
        assert not rests.ended("T1", Sign.FAILED, due, due + 1)
        since = due + 1
        lengths.append(next(s for s in range(1000) if not rests.holds("T1", since + s)))
        due = since + lengths[-1]

    assert lengths == [120, 200, 200, 200]


def test_results_of_calls_from_before_the_rest_prove_nothing() -> None:
    rests = resting()

    assert not rests.ended("T1", Sign.ANSWERED, NOW - 1, NOW + 70)
    assert rests.holds("T1", NOW + 59)
    assert not rests.ended("T1", Sign.FAILED, NOW - 1, NOW + 70)
    assert not rests.holds("T1", NOW + 60)


def test_a_call_that_could_only_go_there_ends_the_rest_when_it_gets_through() -> None:
    assert resting().ended("T1", Sign.ANSWERED, NOW + 5, NOW + 90)


def test_a_call_that_could_only_go_there_and_failed_makes_the_rest_no_longer() -> None:
    rests = resting()
    rests.ended("T1", Sign.FAILED, NOW + 5, NOW + 6)

    assert not rests.holds("T1", NOW + 60)


def test_a_probe_that_tells_nothing_changes_nothing() -> None:
    rests = resting()
    rests.offered("T1", NOW + 60)

    assert not rests.ended("T1", Sign.UNCLEAR, NOW + 60, NOW + 61)
    assert [rests.holds("T1", NOW + s) for s in (119, 120)] == [True, False]


def test_failures_while_it_rests_do_not_begin_the_rest_anew() -> None:
    rests = resting()
    rests.suspend("T1", NOW + 50)

    assert not rests.holds("T1", NOW + 60)
