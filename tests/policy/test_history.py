"""What calls tell, as timelines; and that no vendor alone, and no flood, can bend it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.domain.model import CallResult, Tri
from agi_lookup.policy.history import DAY_S, MAX_VENDORS, NOTHING_HEARD, Histories, History, HistoryOptions, life
from tests.fakes import NUMBER
from tests.policy.situations import (
    ANSWERED,
    BAD_FORMAT,
    BUSY,
    CANCELLED,
    DAY,
    DEAD_TRUNK,
    NO_ANSWER,
    NO_CIRCUIT,
    NO_SUCH_NUMBER,
    NOW,
    RANG,
)

HOUR = 3600.0


def told(*results: tuple[float, CallResult], options: HistoryOptions | None = None) -> Histories:
    """By results, each so long after NOW."""
    histories = Histories(options or HistoryOptions(), vendors={"a-1": "a", "a-2": "a"})
    for after_s, result in results:
        histories.learn(result, NOW + after_s)
    return histories


def at(after_s: float, *results: tuple[float, CallResult], options: HistoryOptions | None = None) -> History:
    return told(*results, options=options).recall(NUMBER.e164, NOW + after_s)


def over(trunk: str, result: CallResult = NO_SUCH_NUMBER) -> CallResult:
    return replace(result, trunk=trunk)


SIGNS = {
    Tri.YES: (ANSWERED, RANG, BUSY, replace(NO_SUCH_NUMBER, pdd_ms=900)),
    Tri.NO: (NO_SUCH_NUMBER, BAD_FORMAT),
    Tri.UNKNOWN: (NO_CIRCUIT, DEAD_TRUNK, NO_ANSWER, CANCELLED),
}


def test_only_a_few_results_say_whether_anybody_is_there() -> None:
    for sign, results in SIGNS.items():
        for result in results:
            assert life(result) is sign, result.dialstatus


TIMELINES = {
    "nothing was told": ([], 0, NOTHING_HEARD),
    "answered: alive for thirty days": ([(0, ANSWERED)], 30 * DAY - 1, History(alive=True)),
    "and then no more": ([(0, ANSWERED)], 30 * DAY, NOTHING_HEARD),
    "the last answer counts": ([(0, ANSWERED), (DAY, ANSWERED)], 31 * DAY - 1, History(alive=True)),
    "a clock that goes back does not end it": ([(0, ANSWERED)], -DAY, History(alive=True)),
    "ringing is no answer": ([(0, RANG)], 0, NOTHING_HEARD),
    "one carrier, many times: one vendor": (
        [(HOUR * n, over("a")) for n in range(9)],
        9 * HOUR,
        History(refused_by=1, tries=9),
    ),
    "two trunks of one vendor are one": ([(0, over("a-1")), (1, over("a-2"))], 2, History(refused_by=1, tries=1)),
    "two vendors are two": ([(0, over("a")), (1, over("b"))], 2, History(refused_by=2, tries=1)),
    "a vendor's word is forgotten": ([(0, over("a")), (DAY, over("b"))], 30 * DAY, History(refused_by=1, tries=2)),
    "then all of it is": ([(0, over("a")), (1, over("b"))], 30 * DAY + 1, NOTHING_HEARD),
    "an answer afterwards voids it": ([(0, over("a")), (1, over("b")), (2, ANSWERED)], 31 * DAY, NOTHING_HEARD),
    "so does a ring": ([(0, over("a")), (1, over("b")), (2, RANG)], 3, NOTHING_HEARD),
    "so does busy": ([(0, over("a")), (1, over("b")), (2, BUSY)], 3, NOTHING_HEARD),
    "an answer before it outweighs it": ([(0, ANSWERED), (1, over("a")), (2, over("b"))], 3, History(True, 2, 1)),
    "tries within an hour are one": ([(60.0 * n, NO_ANSWER) for n in range(60)], HOUR, History(tries=1)),
    "an hour apart they count": ([(HOUR * n, NO_ANSWER) for n in range(3)], 3 * HOUR, History(tries=3)),
    "the network's trouble says nothing": ([(0, NO_CIRCUIT), (1, DEAD_TRUNK), (2, CANCELLED)], 3, NOTHING_HEARD),
}


@pytest.mark.parametrize(("results", "after_s", "expected"), TIMELINES.values(), ids=TIMELINES.keys())
def test_what_was_told_counts_for_its_time(
    results: list[tuple[float, CallResult]], after_s: float, expected: History
) -> None:
    assert at(after_s, *results) == expected


def test_the_times_are_configured() -> None:
    options = HistoryOptions(answered_days=1, refused_days=2)

    assert at(DAY, (0, ANSWERED), options=options) == NOTHING_HEARD
    assert at(2 * DAY - 1, (0, over("a")), options=options) == History(refused_by=1, tries=1)
    assert at(2 * DAY, (0, over("a")), options=options) == NOTHING_HEARD


def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    numbers = [f"+4474001{index:05}" for index in range(20)]
    histories = told(options=HistoryOptions(max_numbers=5))
    for index, number in enumerate(numbers):
        histories.learn(replace(ANSWERED, number=number), NOW + index)
        histories.learn(replace(NO_SUCH_NUMBER, number=number), NOW + index)

    assert len(histories) == 10
    assert [number for number in numbers if histories.recall(number, NOW + 20).alive] == numbers[-5:]


def test_a_flood_of_failures_pushes_no_answer_out() -> None:
    histories = told((0, ANSWERED), options=HistoryOptions(max_numbers=5))
    for index in range(100):
        histories.learn(replace(NO_SUCH_NUMBER, number=f"+4474001{index:05}"), NOW + 1)

    assert histories.recall(NUMBER.e164, NOW + 2).alive


def test_vendors_of_a_number_are_bounded() -> None:
    many = [(float(index), over(f"v{index}")) for index in range(3 * MAX_VENDORS)]

    assert at(60, *many).refused_by == MAX_VENDORS


def test_a_number_is_forgotten_whole() -> None:
    histories = told((0, ANSWERED), (1, over("a")))
    histories.forget(NUMBER.e164)
    histories.forget(NUMBER.e164)

    assert (len(histories), histories.recall(NUMBER.e164, NOW)) == (0, NOTHING_HEARD)


RESULTS = st.lists(
    st.tuples(
        st.floats(0, 90 * DAY),
        st.sampled_from([ANSWERED, RANG, BUSY, NO_SUCH_NUMBER, NO_ANSWER, NO_CIRCUIT]),
        st.sampled_from("abc"),
        st.sampled_from([NUMBER.e164, "+33123456789"]),
    ),
    max_size=30,
)


@given(RESULTS, st.floats(0, 120 * DAY))
def test_what_was_exported_is_restored(results: list[tuple[float, CallResult, str, str]], after_s: float) -> None:
    histories = told(
        *((t, replace(r, trunk=trunk, number=number)) for t, r, trunk, number in sorted(results, key=lambda x: x[0]))
    )
    restored = told()
    restored.restore(json.loads(json.dumps(histories.export())), NOW + 90 * DAY)

    for number in (NUMBER.e164, "+33123456789"):
        assert restored.recall(number, NOW + after_s) == histories.recall(number, NOW + after_s)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"answered": 1},
        {"answered": {"+4412345678": "x"}},
        {"silent": {"+441234567": {"tries": "x"}}},
        {"x": {}},
    ],
)
def test_what_was_not_exported_is_refused_and_changes_nothing(data: Any) -> None:
    """C15."""
    histories = told((0, ANSWERED))
    with pytest.raises(ValueError, match="no exported history") as caught:
        histories.restore(data, NOW)

    assert histories.recall(NUMBER.e164, NOW).alive
    assert "+44" not in str(caught.value)


def test_what_is_restored_is_bounded_and_never_from_the_future() -> None:
    """C16."""
    exported = told((DAY * 365, ANSWERED)).export()
    exported["silent"] = {
        f"+4474001{index:05}": msgspec.to_builtins({"tries": 1, "tried_at": NOW}) for index in range(9)
    }
    histories = told(options=HistoryOptions(max_numbers=3))
    histories.restore(exported, NOW)

    assert len(histories) == 4
    assert not histories.recall(NUMBER.e164, NOW + 30 * DAY).alive


def test_an_answer_of_before_a_restart_counts_as_long_as_any() -> None:
    histories = Histories(HistoryOptions(answered_days=30))
    assert not histories.recall(ANSWERED.number, NOW).was_alive()
    histories.remember({b"hash": NOW}, lambda number: b"hash" if number == ANSWERED.number else b"")

    assert histories.recall(ANSWERED.number, NOW + 30 * DAY_S - 1).was_alive()
    assert not histories.recall(ANSWERED.number, NOW + 30 * DAY_S).was_alive()
    assert not histories.recall("+447400999999", NOW).was_alive()
    histories.learn(NO_SUCH_NUMBER, NOW)
    assert histories.recall(ANSWERED.number, NOW)[:3] == (False, 1, 1)
    assert histories.recall(ANSWERED.number, NOW).was_alive()
    assert histories.answered() == ({b"hash": NOW}, {})
    histories.forget(ANSWERED.number)
    assert not histories.recall(ANSWERED.number, NOW).was_alive()


def test_all_that_is_held_of_a_number_can_be_shown() -> None:
    histories = Histories(HistoryOptions())
    assert histories.of(ANSWERED.number) == {}
    histories.learn(ANSWERED, NOW)
    assert histories.of(ANSWERED.number) == {"answered_at": NOW}
    histories.learn(NO_SUCH_NUMBER, NOW + 1)
    shown = {"answered_at": NOW, "vendors": {"a": NOW + 1}, "tries": 1, "tried_at": NOW + 1}
    assert histories.of(ANSWERED.number) == shown
    del shown["answered_at"]
    silent = Histories(HistoryOptions())
    silent.learn(NO_SUCH_NUMBER, NOW + 1)
    assert silent.of(ANSWERED.number) == shown
