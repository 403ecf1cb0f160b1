"""When a trunk may be used: hours of the day on days of the week, in a place's own wall-clock time.

Pure but for reading the zone's rules once, when the config is checked. Daylight saving follows from the wall clock: an hour that
comes twice is open twice, one that does not come is never open.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

DAY_MIN: Final = 24 * 60
WEEK_MIN: Final = 7 * DAY_MIN
_HOURS: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-(?:([01][0-9]|2[0-3]):([0-5][0-9])|24:00)")


class Day(StrEnum):
    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


_WEEK: Final = tuple(Day)


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a name not there, a path that leads out, a folder
        raise ValueError(f"{name!r} is no time zone of this machine; use an IANA name such as Europe/Paris") from None
    return name


def _hours(text: str) -> str:
    minutes(text)
    return text


def minutes(hours: str) -> tuple[int, int]:
    """`22:00-06:00` -> (1320, 360), in minutes of the day. Raises `ValueError`."""
    match = _HOURS.fullmatch(hours)
    if not match:
        raise ValueError(f"{hours!r} are no hours; write them as 08:00-18:00, 22:00-06:00 or 00:00-24:00")
    from_hour, from_minute, to_hour, to_minute = match.groups()
    start = int(from_hour) * 60 + int(from_minute)
    end = DAY_MIN if to_hour is None else int(to_hour) * 60 + int(to_minute)
    if start == end:
        raise ValueError(f"{hours!r} is no time at all; for the whole day write 00:00-24:00")
    return start, end


class Window(BaseModel):
    """Hours that run past midnight belong to the day on which they begin."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hours: Annotated[str, AfterValidator(_hours)] = Field(default="00:00-24:00", description="such as 22:00-06:00")
    days: frozenset[Day] = Field(default=frozenset(Day), min_length=1, description="on which they begin")
    zone: Annotated[str, AfterValidator(_known_zone)] = Field(
        default="UTC", validate_default=True, description="IANA name of the place whose clock counts"
    )


class Hours:
    """Some windows made ready: open when any of them is."""

    def __init__(self, windows: Iterable[Window]) -> None:
        self._weeks: dict[ZoneInfo, bytearray] = {}
        for window in windows:
            week = self._weeks.setdefault(ZoneInfo(window.zone), bytearray(WEEK_MIN))
            start, end = minutes(window.hours)
            for day in window.days:
                opens = _WEEK.index(day) * DAY_MIN + start
                for minute in range(opens, opens + (end - start if start < end else end - start + DAY_MIN)):
                    week[minute % WEEK_MIN] = 1
        self._asked: tuple[int, bool] | None = None

    def open(self, now: float) -> bool:
        """At `now`, Unix seconds. Worked out once a minute: offsets from UTC are whole minutes."""
        minute = int(now // 60)
        if self._asked is None or self._asked[0] != minute:
            self._asked = (minute, any(week[_minute_of_week(now, zone)] for zone, week in self._weeks.items()))
        return self._asked[1]


def _minute_of_week(now: float, zone: ZoneInfo) -> int:
    local = datetime.fromtimestamp(now, zone)
    return local.weekday() * DAY_MIN + local.hour * 60 + local.minute
