"""What is kept is worked out once, and bounded."""

from __future__ import annotations

import pytest

from agi_lookup.routing.kept import Kept


def test_it_is_worked_out_once() -> None:
    asked: list[int] = []

    def square(number: int) -> int:
        asked.append(number)
        return number * number

    squares = Kept(square, 10)
    assert [squares[3], squares[3], squares[4]] == [9, 9, 16]
    assert asked == [3, 4]


def test_it_never_holds_more_than_it_may_and_stays_right() -> None:
    squares = Kept[int, int](lambda number: number * number, 3)
    for number in (*range(10), *range(10)):
        assert squares[number] == number * number
        assert len(squares) <= 3


def test_what_fails_is_not_kept() -> None:
    inverses = Kept[int, float](lambda number: 1 / number, 3)
    with pytest.raises(ZeroDivisionError):
        inverses[0]
    assert not inverses
