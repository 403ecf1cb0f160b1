"""Which rows are left to ask: not those that are done, hold no number, or a number that an earlier row holds too."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Protocol

from agi_lookup.bulk.answers import Shown
from agi_lookup.bulk.journal import Line
from agi_lookup.bulk.numbers import Numbers, Row
from agi_lookup.domain.dial_plan import DialPlan
from agi_lookup.domain.emergency import is_emergency
from agi_lookup.domain.errors import NumberError
from agi_lookup.domain.model import Decision, Status
from agi_lookup.domain.number import normalise
from agi_lookup.report import Report, lookup_json

BREATH: Final = 50
"""Rows that are passed over before something else may have its turn: reading a number takes 0.1 ms."""


@dataclass(slots=True)
class Totals:
    """Of rows, for people to watch; `spent` is what this run's answers say that they cost, by currency."""

    rows: int
    earlier: int = 0  # done by an earlier run
    done: int = 0
    open: int = 0
    bad: int = 0  # done too: they hold no number
    duplicates: int = 0
    asked: int = 0
    spent: dict[str, Decimal] = field(default_factory=dict)

    @property
    def passed(self) -> int:
        return self.earlier + self.done + self.open + self.duplicates


@dataclass(frozen=True, slots=True, repr=False)
class Wanted:
    """A row to ask about, not before `again_at` (Unix seconds)."""

    index: int
    text: str
    again_at: float


@dataclass(frozen=True, slots=True)
class Known:
    """A row that nobody need be asked about."""

    index: int
    shown: Shown


class Kept(Protocol):
    """What is known of rows: `journal.Journal`."""

    def is_done(self, row: int) -> bool: ...
    def again_at(self, row: int) -> float: ...
    def same(self, row: int, first: int) -> None: ...


def unasked(decision: Decision) -> Shown:
    """As if somebody had been asked."""
    return lookup_json(Report("", decision, (), 0.0, 0.0))


class Unkept:
    """Of rows for which the cache is all that is kept."""

    def is_done(self, _row: int) -> bool:
        return False

    def again_at(self, _row: int) -> float:
        return 0.0

    def same(self, row: int, first: int) -> None: ...
    def write(self, line: Line) -> None: ...
    async def sync(self) -> None: ...


class FirstRows:
    """In which row each number came first. SQLite's own temporary file: 20 bytes a number, and none in memory beyond 2 MiB."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        self._db.execute("CREATE TABLE first (number INTEGER PRIMARY KEY, row INTEGER NOT NULL)")
        self._db.execute("BEGIN")

    def row_of(self, e164: str, row: int) -> int:
        """`row`, unless the number came before."""
        number = int(e164)
        if self._db.execute("INSERT OR IGNORE INTO first VALUES (?, ?)", (number, row)).rowcount:
            return row
        found: int = self._db.execute("SELECT row FROM first WHERE number = ?", (number,)).fetchone()[0]
        return found

    def close(self) -> None:
        self._db.close()


class Rows:
    """The rows of the input, and what became of them."""

    def __init__(self, numbers: Numbers, plan: DialPlan) -> None:
        self.totals = Totals(numbers.count)
        self._numbers = numbers
        self._plan = plan
        self._first = FirstRows()

    def done_earlier(self, row: int, e164: str) -> None:
        """By another run; empty for what is no number."""
        self.totals.earlier += 1
        if e164:
            self._first.row_of(e164, row)

    def left(self, kept: Kept) -> Iterator[Wanted | Known | None]:
        """In their order, those that are not done; None now and then where many are passed over."""
        for row in self._numbers.rows():
            if row.index >= self._numbers.count:
                return  # the file has grown, which its digest will tell
            found = None if kept.is_done(row.index) else self._sorted(row, kept)
            if found is not None or row.index % BREATH == 0:
                yield found

    def _sorted(self, row: Row, kept: Kept) -> Wanted | Known | None:
        if is_emergency(row.text, self._plan):
            return Known(row.index, unasked(Decision(Status.EMERGENCY)))
        try:
            e164 = normalise(row.text, self._plan).e164
        except NumberError as error:
            return Known(row.index, unasked(Decision(Status.BADNUMBER, error=error.code)))
        first = self._first.row_of(e164, row.index) if e164 else row.index
        if first == row.index:
            return Wanted(row.index, row.text, kept.again_at(row.index))
        kept.same(row.index, first)
        self.totals.duplicates += 1
        return None
