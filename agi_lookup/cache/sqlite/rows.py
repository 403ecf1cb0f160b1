"""Many rows in one statement.

Python's sqlite3 gives up the interpreter's lock at every step of a statement and takes it back after it, in the midst of the event
loop's work: by `executemany`, once a row. Each time costs the loop more than the row costs SQLite. One INSERT of a hundred rows is
one step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

Row = tuple[Any, ...]

MAX_ROWS: Final = 250
"""Of at most 100 values each: SQLite takes 32,766 values a statement (sqlite.org/limits.html, since 3.32)."""


def many(template: str, rows: Sequence[Row]) -> Iterator[tuple[str, list[Any]]]:
    """`template` with `{rows}` filled in, and the values to go with it: as many times as it takes for all rows."""
    for start in range(0, len(rows), MAX_ROWS):
        part = rows[start : start + MAX_ROWS]
        row = f"({','.join('?' * len(part[0]))})"
        yield template.replace("{rows}", ",".join([row] * len(part))), [value for one in part for value in one]
