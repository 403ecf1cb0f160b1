"""When a trunk may be used, by the clock on the wall of its zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agi_lookup.routing.windows import Day, Hours, Window

PARIS = ZoneInfo("Europe/Paris")


def at(utc: str) -> float:
    return datetime.fromisoformat(utc).replace(tzinfo=UTC).timestamp()


def hours(*windows: Mapping[str, object]) -> Hours:
    return Hours([Window.model_validate(window) for window in windows])


OFFICE = {"hours": "08:00-18:00", "days": ["mon", "tue", "wed", "thu", "fri"], "zone": "Europe/Paris"}


@pytest.mark.parametrize(
    ("utc", "is_open"),
    [
        ("2026-01-05T06:59", False),  # a Monday; Paris is an hour ahead
        ("2026-01-05T07:00", True),
        ("2026-01-05T16:59:59", True),
        ("2026-01-05T17:00", False),
        ("2026-07-06T06:00", True),  # two hours ahead in summer
        ("2026-07-06T05:59", False),
        ("2026-01-04T12:00", False),  # a Sunday
    ],
)
def test_hours_are_those_of_the_zone(utc: str, is_open: bool) -> None:
    assert hours(OFFICE).open(at(utc)) is is_open


@pytest.mark.parametrize(
    ("utc", "is_open"),
    [
        ("2026-01-09T21:00", False),
        ("2026-01-09T22:00", True),  # Friday
        ("2026-01-10T05:59", True),  # its night
        ("2026-01-10T06:00", False),
        ("2026-01-10T22:00", False),  # Saturday
        ("2026-01-11T23:30", True),  # Sunday
        ("2026-01-12T00:30", True),  # the week begins anew
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_begins(utc: str, is_open: bool) -> None:
    assert hours({"hours": "22:00-06:00", "days": ["fri", "sun"]}).open(at(utc)) is is_open


def test_an_hour_that_comes_twice_is_open_twice_and_not_longer() -> None:
    """In Paris on 25 October 2026 it is 02:00 to 03:00 first at 00:00 UTC, in summer time, and again at 01:00 UTC."""
    early = hours({"hours": "02:00-03:00", "zone": "Europe/Paris"})

    is_open = [early.open(at("2026-10-24T23:30") + 1800 * half) for half in range(6)]

    assert is_open == [False, True, True, True, True, False]


def test_an_hour_that_does_not_come_is_not_open() -> None:
    """On 29 March 2026 the clock goes from 02:00 to 03:00 at 01:00 UTC."""
    early = hours({"hours": "02:00-03:00", "zone": "Europe/Paris"})

    assert not any(early.open(at("2026-03-29T00:00") + 600 * step) for step in range(18))


def test_any_of_several_windows_opens_each_in_its_own_zone() -> None:
    both = hours({"hours": "09:00-10:00", "zone": "America/New_York"}, {"hours": "09:00-10:00", "zone": "Asia/Kolkata"})

    assert [both.open(at(f"2026-01-05T{hour}:00")) for hour in ("04", "09", "14", "15")] == [True, False, True, False]


WALL_CLOCK = st.integers(0, 24 * 60 - 1)


@settings(deadline=None)
@given(
    start=WALL_CLOCK,
    end=WALL_CLOCK,
    days=st.frozensets(st.sampled_from(Day), min_size=1),
    moment=st.integers(1_700_000_000, 1_900_000_000),
)
def test_open_is_what_a_look_at_the_clock_says(start: int, end: int, days: frozenset[Day], moment: int) -> None:
    if start == end:
        return
    window = Window(
        hours=f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}", days=days, zone="Europe/Paris"
    )
    local = datetime.fromtimestamp(moment, PARIS).replace(tzinfo=None)

    def covers(day: datetime) -> bool:
        """Does the window of that day hold `local`? Wall-clock arithmetic, naive on purpose."""
        opens = day + timedelta(minutes=start)
        closes = day + timedelta(minutes=end, days=0 if start < end else 1)
        return list(Day)[day.weekday()] in days and opens <= local < closes

    midnight = local.replace(hour=0, minute=0, second=0)
    assert Hours([window]).open(moment) is (covers(midnight) or covers(midnight - timedelta(days=1)))
