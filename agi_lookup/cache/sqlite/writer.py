"""The one connection that writes, the lock that makes it the only one, and what it does about a broken file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import aiosqlite

from agi_lookup.cache.base import Count
from agi_lookup.cache.sqlite import file
from agi_lookup.cache.sqlite.lock import OtherWriter, WriterLock
from agi_lookup.domain.errors import CacheError

TROUBLE: Final = (sqlite3.Error, OSError, CacheError, TimeoutError, ValueError)
"""What a sick file can raise; `ValueError` is aiosqlite's word for a closed connection."""

REPLACE_EVERY_S: Final = 60.0
"""A disk that damages every new file gets one a minute."""

_LOCK_POLL_S: Final = 0.02
_UNDO_S: Final = 1.0


class Writer:
    """Opens when first needed. `for_life` keeps the lock and the connection; otherwise each session takes and returns them."""

    def __init__(
        self,
        path: Path,
        *,
        for_life: bool,
        lock_wait_s: float,
        clock: Callable[[], float],
        on_replaced: Callable[[str], None],
        count: Count,
    ) -> None:
        self._path = path
        self._for_life = for_life
        self._lock_wait_s = lock_wait_s
        self._clock = clock
        self._on_replaced = on_replaced
        self._count = count
        self._lock = WriterLock(path, for_life=for_life)
        self._connection: aiosqlite.Connection | None = None
        self._replace_again_at = 0.0
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[aiosqlite.Connection]:
        """One transaction, alone: committed at the end, undone by any exception. Raises one of `TROUBLE`."""
        async with self._turn:
            try:
                connection = await self._opened()
                try:
                    yield connection
                    await connection.commit()
                except BaseException as error:
                    await self._undo(connection)
                    if file.is_corruption(error):
                        await self._put_aside(str(error))
                    raise
            finally:
                if not self._for_life:
                    await self._let_go()

    @property
    def owns(self) -> bool:
        """Is the file ours alone to write, now and (`for_life`) from now on?"""
        return self._lock.held

    async def replace_file(self, why: str) -> None:
        """Start on a new file, because a reader met damage. Without the lock it is not ours to replace."""
        async with self._turn:
            if self._lock.held:
                await self._put_aside(why)

    async def close(self) -> None:
        async with self._turn:
            await self._let_go()

    async def _opened(self) -> aiosqlite.Connection:
        if self._connection is None:
            await self._take_lock()
            self._connection = await self._connect()
        return self._connection

    async def _take_lock(self) -> None:
        clock = asyncio.get_running_loop().time
        give_up = clock() + self._lock_wait_s
        while True:
            try:
                return await asyncio.to_thread(self._lock.acquire)
            except OtherWriter as error:
                if error.for_life:
                    give_up = min(give_up, clock() + _LOCK_POLL_S)  # once more: it may have been a look at the lock
                if clock() >= give_up:
                    raise
            await asyncio.sleep(_LOCK_POLL_S)

    async def _connect(self) -> aiosqlite.Connection:
        connector = partial(file.open_writer, self._path)
        try:
            return await aiosqlite.Connection(connector, iter_chunk_size=64)
        except (CacheError, sqlite3.Error) as error:
            if not file.is_corruption(error):
                raise
            await self._put_aside(str(error))
        return await aiosqlite.Connection(connector, iter_chunk_size=64)

    async def _put_aside(self, why: str) -> None:
        await self._disconnect()
        now = asyncio.get_running_loop().time()
        if now < self._replace_again_at:
            raise CacheError(f"damaged again within a minute: {why}")
        self._replace_again_at = now + REPLACE_EVERY_S
        aside = await asyncio.to_thread(file.put_aside, self._path, self._clock())
        self._on_replaced(f"{self._path.name} is damaged ({why}): kept as {aside.name}, a new one takes its place")

    async def _undo(self, connection: aiosqlite.Connection) -> None:
        """Roll back; a connection that cannot is dropped, and SQLite rolls back when it closes."""
        try:
            async with asyncio.timeout(_UNDO_S):
                await connection.rollback()
        except TROUBLE:
            self._count("sqlite_undo_failed")
            self._connection = None
            connection.stop()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            async with asyncio.timeout(_UNDO_S):
                await connection.close()
        except TROUBLE:
            self._count("sqlite_close_failed")
            connection.stop()

    async def _let_go(self) -> None:
        await self._disconnect()
        self._lock.release()
