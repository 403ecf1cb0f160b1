"""Rows of many numbers in one go: while one read is under way, those who come meanwhile wait for the next one together.

A read's own work is some 10 µs; the way to SQLite's thread and back costs several times that, and under load it is what costs.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from agi_lookup.cache.sqlite import statements
from agi_lookup.cache.sqlite.reader import MAX_WAITING, Reader
from agi_lookup.domain.errors import CacheError

Row = tuple[Any, ...]


class SharedReads:
    """`Reader.rows`, shared. Each caller has a future of its own and may leave."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._asked: dict[int, list[asyncio.Future[list[Row]]]] = {}
        self._task: asyncio.Task[None] | None = None

    async def of(self, number: int) -> list[Row]:
        """The rows of one number. Raises `CacheError`."""
        if len(self._asked) >= MAX_WAITING:
            raise CacheError("too many reads wait")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Row]] = loop.create_future()
        self._asked.setdefault(number, []).append(answer)
        if self._task is None:
            self._task = loop.create_task(self._read())
        return await answer

    async def close(self) -> None:
        """Let the read that is under way end; nobody may ask any more."""
        if self._task is not None:
            await self._task

    async def _read(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, {}
                await self._read_all(asked)
        finally:
            self._task = None

    async def _read_all(self, asked: dict[int, list[asyncio.Future[list[Row]]]]) -> None:
        found: dict[int, list[Row]] = {number: [] for number in asked}
        stray = next(iter(found.values()))  # rows of a damaged file go to somebody, who sees that they are not theirs
        failure: CacheError | None = CacheError("the read broke off")
        try:
            for row in await self._reader.rows(statements.READ, (msgspec.json.encode(list(asked)).decode(),)):
                found.get(row[0], stray).append(row)
            failure = None
        except CacheError as error:
            failure = error
        finally:
            for number, answers in asked.items():
                _tell(answers, found[number], failure)


def _tell(answers: list[asyncio.Future[list[Row]]], rows: list[Row], failure: CacheError | None) -> None:
    for answer in answers:
        if answer.done():
            continue
        if failure is None:
            answer.set_result(rows)
        else:
            answer.set_exception(CacheError(str(failure)))
