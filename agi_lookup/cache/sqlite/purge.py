"""What leaves the file, a slice at a time: rows past use, then the first to end of what is over the cap."""

from __future__ import annotations

from typing import Final

import aiosqlite

from agi_lookup.cache.sqlite import statements

SLICE_ROWS: Final = 500
SLICES: Final = 20
"""A purge takes 10,000 rows at most: every 10 s that is above what 300 calls/s write, and a clock that jumps a year ahead
cannot empty the file before someone sets it right."""


class Purger:
    """Knows an upper bound of the row count, so that it need not count often: counting scans (0.01 s a million rows)."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._rows_at_most: int | None = None

    def wrote(self, rows: int) -> None:
        if self._rows_at_most is not None:
            self._rows_at_most += rows

    def start_over(self) -> None:
        """The file is another one."""
        self._rows_at_most = None

    async def slice(self, connection: aiosqlite.Connection, now: float) -> int:
        """Returns how many rows went; fewer than `SLICE_ROWS` when nothing more is to go."""
        gone = await statements.shed(connection, now, SLICE_ROWS)
        if gone == 0 and (over := await self._over(connection)) > 0:
            gone = await statements.shed(connection, statements.FOREVER, min(over, SLICE_ROWS))
        self.wrote(-gone)
        return gone

    async def _over(self, connection: aiosqlite.Connection) -> int:
        if self._rows_at_most is None or self._rows_at_most > self._max_rows:
            self._rows_at_most = await statements.count(connection)
        return self._rows_at_most - self._max_rows
