"""What changes from deck to deck, against two dicts that are as slow as they are plain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.routing.deck_diff import Change, Differences, Word, compare
from agi_lookup.routing.rates import ALWAYS, FOR_EVER, Kind, Rate, Tariff
from tests.routing.decks import deck, tariff

NOW = 120.0
CENT = tariff(1)
Compared: TypeAlias = Callable[..., Differences]


@pytest.fixture
def compared(tmp_path: Path) -> Compared:
    def compare_(old: Sequence[Rate], new: Sequence[Rate], at: float | None = None, **options: Any) -> Differences:
        return compare(deck(tmp_path, "old", old), deck(tmp_path, "new", new), NOW, at, **options)

    return compare_


def rate(
    key: str, price: Tariff | None = CENT, kind: Kind = Kind.PREFIX, start: float = ALWAYS, end: float = FOR_EVER
) -> Rate:
    return Rate(kind, key, price, start, end)


def words(found: Differences) -> dict[Word, int]:
    return {word: count for word, count in found.counts.items() if count}


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        (CENT, CENT, Word.UNCHANGED),
        (CENT, tariff(2), Word.UP),
        (tariff(2), CENT, Word.DOWN),
        (CENT, CENT._replace(connect=1), Word.TERMS),
        (CENT, CENT._replace(first_s=60), Word.TERMS),
        (CENT, tariff(1, "EUR"), Word.CURRENCY),
        (CENT, None, Word.BLOCKED),
        (None, CENT, Word.UNBLOCKED),
        (None, None, Word.UNCHANGED),
    ],
)
def test_each_change_has_its_word(compared: Compared, before: Tariff | None, after: Tariff | None, word: Word) -> None:
    assert words(compared([rate("44", before)], [rate("44", after)])) == {word: 1}


def test_what_came_and_what_went_are_told_apart(compared: Compared) -> None:
    found = compared([rate("44"), rate("45")], [rate("45"), rate("46"), rate("47")])

    assert words(found) == {Word.GONE: 1, Word.UNCHANGED: 1, Word.NEW: 2}
    assert words(compared([], [rate("44")])) == {Word.NEW: 1}
    assert words(compared([rate("44")], [])) == {Word.GONE: 1}


def test_where_nothing_is_live_all_is_new(tmp_path: Path) -> None:
    found = compare(None, deck(tmp_path, "new", [rate("44"), rate("vodafone", kind=Kind.GROUP)]), NOW)

    assert (words(found), found.old) == ({Word.NEW: 2}, 0)


def test_a_key_of_another_kind_is_another_destination(compared: Compared) -> None:
    assert words(compared([rate("23415")], [rate("23415", kind=Kind.MCCMNC)])) == {Word.GONE: 1, Word.NEW: 1}


def test_the_biggest_changes_come_first_with_their_percent(compared: Compared) -> None:
    old = [rate("1", tariff(100)), rate("2", tariff(100)), rate("o2", tariff(0), Kind.GROUP), rate("4", tariff(100))]
    new = [rate("1", tariff(110)), rate("2", tariff(40)), rate("o2", tariff(1), Kind.GROUP), rate("4", tariff(100))]

    found = compared(old, new, jump=10, shown=3)

    assert [(change.key, change.percent) for change in found.biggest] == [("o2", inf), ("2", -60.0), ("1", 10.0)]
    assert found.biggest[1] == Change(Kind.PREFIX, "2", tariff(100), tariff(40), -60.0)
    assert (found.old, found.jumps) == (4, 2)


@pytest.mark.parametrize(("at", "cents"), [(None, 3), (50.0, 1), (100.0, 2), (199.9, 2), (200.0, 3)])
def test_one_rate_of_a_key_is_compared_the_last_one_or_that_of_a_time(
    compared: Compared, at: float | None, cents: int
) -> None:
    series = [rate("44", tariff(1)), rate("44", tariff(2), start=100.0), rate("44", tariff(3), start=200.0)]

    assert words(compared([rate("44", tariff(cents))], series, at)) == {Word.UNCHANGED: 1}


def test_what_has_ended_is_gone(compared: Compared) -> None:
    ending = [rate("44", end=100.0), rate("45", start=50.0, end=130.0)]
    going = [rate("44"), rate("45")]

    assert words(compared(going, ending)) == {Word.GONE: 1, Word.UNCHANGED: 1}
    assert words(compared(going, ending, 20.0)) == {Word.GONE: 1, Word.UNCHANGED: 1}
    assert words(compared(going, ending, 130.0)) == {Word.GONE: 2}


RATES = st.lists(
    st.builds(
        Rate,
        st.sampled_from(Kind),
        st.sampled_from(["1", "12", "123", "2", "23415", "7421"]),
        st.one_of(st.none(), st.builds(tariff, st.integers(0, 3), st.sampled_from(["USD", "EUR"]))),
        st.sampled_from([ALWAYS, 0.0, 10.0, 20.0]),
        st.sampled_from([30.0, FOR_EVER]),
        st.integers(1, 100),
    ),
    max_size=12,
    unique_by=lambda r: (r.kind, r.key, r.start, r.line),
)


def slowly(rates: Sequence[Rate], now: float, at: float | None) -> dict[tuple[Kind, str], Tariff | None]:
    counted = [r for r in rates if (r.end > now if at is None else r.start <= at < r.end)]
    return {(r.kind, r.key): r.tariff for r in sorted(counted, key=lambda r: (r.start, r.line))}


@given(RATES, RATES, st.sampled_from([25.0, 35.0]), st.sampled_from([None, 5.0, 15.0, 32.0]))
def test_two_decks_are_compared_as_two_dicts_are(
    tmp_path_factory: pytest.TempPathFactory, old: list[Rate], new: list[Rate], now: float, at: float | None
) -> None:
    folder = tmp_path_factory.mktemp("decks")
    before, after = slowly(old, now, at), slowly(new, now, at)
    both = before.keys() & after.keys()

    found = compare(deck(folder, "old", old), deck(folder, "new", new), now, at)

    unchanged = sum(before[key] == after[key] for key in both)
    expected = Counter(
        {Word.GONE: len(before) - len(both), Word.NEW: len(after) - len(both), Word.UNCHANGED: unchanged}
    )
    assert {word: found.counts[word] for word in expected} == expected
    assert found.counts.total() == len(before.keys() | after.keys())
    assert found.old == len(before)
    for change in found.biggest:
        assert (before[change.kind, change.key], after[change.kind, change.key]) == (change.old, change.new)
