"""The connection that calls read from: query-only, bounded in time, and left alone for a while when it fails.

It is a second connection because on one connection a read waits behind the batch that is being written: 25 ms and more for 500
rows, measured, and a checkpoint longer still. A read that is given up is a miss, and a miss is paid for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiosqlite

from agi_lookup.cache.base import Count
from agi_lookup.cache.sqlite import file
from agi_lookup.cache.sqlite.writer import TROUBLE
from agi_lookup.domain.errors import CacheError

OPEN_S: Final = 2.0
FAILING_S: Final = 0.2
"""Nothing but failures for so long: calls stop trying."""
MAX_WAITING: Final = 1_000
FIRST_PAUSE_S: Final = 1.0
LAST_PAUSE_S: Final = 30.0


class Reader:
    """Calls get rows or a `CacheError` within `timeout_s`. After trouble one task at a time, and no call, tries to open again."""

    def __init__(self, path: Path, *, timeout_s: float, on_damage: Callable[[str], None], count: Count) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._on_damage = on_damage
        self._count = count
        self._connection: aiosqlite.Connection | None = None
        self._waiting = 0
        self._why = "not open yet"
        self._failing_since: float | None = None
        self._pause_s = FIRST_PAUSE_S
        self._retry_at = 0.0
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Try once, and wait for the end of it. Never raises: what cannot be opened now is tried again later."""
        await asyncio.wait([self._reopen()])

    async def rows(self, sql: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Raises `CacheError`."""
        now = asyncio.get_running_loop().time()
        connection = self._connection
        if connection is None:
            if now >= self._retry_at:
                self._reopen()
            raise CacheError(f"not read for a while: {self._why}")
        if self._waiting >= MAX_WAITING:
            raise CacheError("too many reads wait")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                rows = await connection.execute_fetchall(sql, parameters)
        except TROUBLE as error:
            self._count("sqlite_read_timeout" if isinstance(error, TimeoutError) else "sqlite_read_failed")
            if connection is self._connection:
                self._failed(error, now)
            raise CacheError(self._why) from error
        finally:
            self._waiting -= 1
        self._failing_since = None
        self._pause_s = FIRST_PAUSE_S
        return [tuple(row) for row in rows]

    def drop(self) -> None:
        """The file was put aside: let go of it."""
        if self._opening is not None:
            self._opening.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.stop()

    def retry_now(self) -> None:
        """The file was made, replaced or mended: no need to wait."""
        self._retry_at = 0.0
        if self._connection is None:
            self._reopen()

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            async with asyncio.timeout(OPEN_S):
                await connection.close()
        except TROUBLE:
            self._count("sqlite_close_failed")
            connection.stop()

    def _failed(self, error: BaseException, now: float) -> None:
        self._why = str(error) or type(error).__name__
        if file.is_corruption(error):
            self._suspend(now)
            self._on_damage(str(error))
        elif self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since >= FAILING_S:
            self._suspend(now)

    def _suspend(self, now: float) -> None:
        if self._connection is not None:
            self.drop()
            self._count("sqlite_suspended")
            self._failing_since = None
            self._pause(now)

    def _pause(self, now: float) -> None:
        self._retry_at = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, LAST_PAUSE_S)

    def _reopen(self) -> asyncio.Task[None]:
        """Start to open, unless that is under way."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._try_to_open())
        return self._opening

    async def _try_to_open(self) -> None:
        try:
            async with asyncio.timeout(OPEN_S):
                self._connection = await aiosqlite.Connection(partial(file.open_reader, self._path), iter_chunk_size=64)
        except TROUBLE as error:
            self._count("sqlite_open_failed")
            self._why = str(error) or type(error).__name__
            self._pause(asyncio.get_running_loop().time())
            if file.is_corruption(error):
                self._on_damage(str(error))
