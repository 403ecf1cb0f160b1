"""Sound decks pass in silence; each fault is said once, with its lines."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.routing.deck_check import SHOWN, Limits, Tally, check, compare_with_live, repeated
from agi_lookup.routing.deck_diff import Differences, Word
from agi_lookup.routing.deck_rows import Problem
from agi_lookup.routing.rates import ALWAYS, FOR_EVER, Kind, Rate
from tests.routing.decks import deck, tariff

DAY = 86_400.0
NOW = 100 * DAY


def rate(line: int, cents: int = 1, start: float = ALWAYS, end: float = FOR_EVER, key: str = "44") -> Rate:
    """Times in days."""
    return Rate(Kind.PREFIX, key, tariff(cents), start * DAY, end * DAY, line)


class Said(NamedTuple):
    errors: Tally
    warnings: Tally


def judge(folder: Path, *rates: Rate) -> Said:
    said = Said(Tally(), Tally())
    check(deck(folder, "acme", rates), NOW, *said)
    return said


def lines(tally: Tally) -> list[int]:
    return [problem.line for problem in tally.first]


@pytest.mark.parametrize(
    "rates",
    [
        [rate(2), rate(3, key="447"), rate(4, 2, key="45")],
        [rate(2), Rate(Kind.MCCMNC, "44", tariff(2), line=3)],
        [rate(2), rate(3, 2, start=200), rate(4, 3, start=300)],
        [rate(2, 1, 0, 200), rate(3, 2, 200, 300), rate(4, 3, 300)],
        [rate(2, 1, 0, 200), rate(3, 2, 200, 300)],
    ],
    ids=["other keys", "other kinds", "announced changes", "one after the other", "ending"],
)
def test_a_sound_deck_is_passed_in_silence(tmp_path: Path, rates: list[Rate]) -> None:
    assert judge(tmp_path, *rates) == (Tally(), Tally())


@pytest.mark.parametrize("start", [ALWAYS, 50.0])
def test_two_rates_from_the_same_time_are_an_error(tmp_path: Path, start: float) -> None:
    said = judge(tmp_path, rate(2, 1, start), rate(3, key="45"), rate(4, 2, start))

    assert said.errors.first == [Problem(4, "'44' has another rate from the same time on line 2; keep one")]
    assert said.warnings.count == 0


def test_the_same_line_twice_is_only_remarked(tmp_path: Path) -> None:
    said = judge(tmp_path, rate(2), rate(5), rate(9))

    assert (said.errors.count, lines(said.warnings)) == (0, [5, 9])
    assert "line 2 already" in said.warnings.first[0].what


def test_an_overlap_is_remarked_with_both_lines(tmp_path: Path) -> None:
    said = judge(tmp_path, rate(7, 1, 0, 210), rate(3, 2, 200))

    assert (said.errors.count, lines(said.warnings)) == (0, [3])
    assert "line 7 ends 1970-07-30 00:00:00Z" in said.warnings.first[0].what
    assert "--last-day excluded" in said.warnings.first[0].what


def test_a_gap_is_remarked_with_its_days(tmp_path: Path) -> None:
    said = judge(tmp_path, rate(2, 1, 0, 200), rate(3, 2, 210))

    assert lines(said.warnings) == [3]
    assert "no rate from 1970-07-20 00:00:00Z to 1970-07-30 00:00:00Z, after line 2" in said.warnings.first[0].what


def test_a_short_rate_within_a_long_one_leaves_no_gap_behind_it(tmp_path: Path) -> None:
    said = judge(tmp_path, rate(2, 1, 0, 300), rate(3, 2, 100, 110), rate(4, 3, 200, 210))

    assert "no rate" not in str(said)


def test_a_deck_of_the_past_is_remarked(tmp_path: Path) -> None:
    assert "have ended" in judge(tmp_path, rate(2, 1, 0, 50)).warnings.first[0].what


def test_what_is_free_is_remarked_once_with_its_first_line(tmp_path: Path) -> None:
    said = judge(tmp_path, *(rate(n, 0, key=str(40 + n)) for n in range(5, 9)), rate(2))

    assert said.warnings.first == [Problem(5, "4 rates are 0, this is the first; is it the right column?")]


def test_a_flood_is_cut_short_and_counted(tmp_path: Path) -> None:
    said = judge(tmp_path, *(rate(n, n, key=str(100 + n // 2)) for n in range(2, 200)))

    assert (len(said.errors.first), said.errors.count) == (SHOWN, 99)


@given(st.lists(st.tuples(st.sampled_from(["1", "12", "2", "3"]), st.integers(0, 3)), max_size=12))
def test_keys_that_stand_several_times_are_all_found(
    tmp_path_factory: pytest.TempPathFactory, keys: list[tuple[str, int]]
) -> None:
    rates = [rate(line, 1, start, key=key) for line, (key, start) in enumerate(keys)]
    counted = Counter(key for key, _ in keys)

    found = {same[0].key: same for same in repeated(deck(tmp_path_factory.mktemp("deck"), "acme", rates))}

    assert {key: len(same) for key, same in found.items()} == {key: n for key, n in counted.items() if n > 1}
    assert all(
        same == sorted((r for r in rates if r.key == key), key=lambda r: (-r.start, -r.line))
        for key, same in found.items()
    )


def compared(gone: int, of: int, jumps: int = 0) -> list[str]:
    warnings = Tally()
    compare_with_live(Differences(of, Counter({Word.GONE: gone}), jumps, ()), Limits(), warnings)
    return [problem.what for problem in warnings.first]


def test_a_deck_that_shrinks_or_jumps_against_the_live_one_is_remarked() -> None:
    assert compared(20, 100) == []
    assert compared(21, 100) == ["21 of 100 destinations of the live deck are gone; is the file whole?"]
    assert compared(0, 0) == []
    assert "3 rates move by more than 50 %" in compared(0, 100, 3)[0]
