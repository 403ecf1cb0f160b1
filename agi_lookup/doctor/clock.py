"""The clock: budgets end at midnight UTC, lifetimes and exchange rates are dated."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from agi_lookup.doctor.findings import Finding, fail, ok, skipped, warn

RELEASED: Final = 2026
"""No clock can be before the year that this was written in."""
LAST_YEAR: Final = 2100
JUMP_S: Final = 0.5
SKEW_S: Final = 5.0
STA_UNSYNC: Final = 0x40
"""timex.h."""
TIMEX_BYTES: Final = 256
"""More than the kernel's `struct timex`, whose `status` is the sixth word of the 64-bit form."""
STATUS_AT: Final = 40
FIX: Final = "timedatectl set-ntp true"


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Wall clock and monotonic clock at one moment."""

    wall: float = field(default_factory=time.time)
    steady: float = field(default_factory=time.monotonic)

    def jumped_s(self, now: Stopwatch) -> float:
        """How far the wall clock was set since."""
        return (now.wall - self.wall) - (now.steady - self.steady)


def check_clock(since: Stopwatch, now: Stopwatch, synchronised: bool | None) -> Iterator[Finding]:
    """`since` is when the examination began: a clock that was set meanwhile is set often."""
    moment = datetime.fromtimestamp(now.wall, UTC)
    if not RELEASED <= moment.year <= LAST_YEAR:
        yield fail("clock", f"it is the year {moment.year}, the clock says", FIX)
        return
    if abs(jump := since.jumped_s(now)) > JUMP_S:
        yield fail("clock", f"it was set by {jump:+.1f} s while this ran", FIX)
    elif synchronised is None:
        yield skipped("clock", f"{moment:%Y-%m-%d %H:%M} UTC; the kernel does not say whether it is synchronised")
    elif synchronised:
        yield ok("clock", f"{moment:%Y-%m-%d %H:%M} UTC, synchronised")
    else:
        yield warn("clock", f"{moment:%Y-%m-%d %H:%M} UTC, not synchronised", FIX)


def check_skew(skews: dict[str, float]) -> Iterator[Finding]:
    """By how many seconds we are ahead of each vendor's Date header."""
    for name, skew in skews.items():
        if abs(skew) > SKEW_S:
            yield warn("clock", f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} that of {name}", FIX)


def kernel_synchronised() -> bool | None:
    """As adjtimex(2) says; None where it cannot be asked."""
    timex = ctypes.create_string_buffer(TIMEX_BYTES)
    try:
        if ctypes.sizeof(ctypes.c_long) != 8 or ctypes.CDLL(None).adjtimex(timex) < 0:
            return None
    except (OSError, AttributeError):
        return None
    return not ctypes.c_int.from_buffer(timex, STATUS_AT).value & STA_UNSYNC
