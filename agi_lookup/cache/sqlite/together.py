"""Rows of many numbers in one go: while one read is under way, those who come meanwhile wait for the next one together.

A read's own work is some 10 µs; the way to SQLite's thread and back costs several times that, and under load it is what costs.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import msgspec

from agi_lookup.cache.sqlite import statements
from agi_lookup.cache.sqlite.reader import MAX_WAITING, Reader
from agi_lookup.domain.errors import CacheError

BUSY_S: Final = 0.005
GATHER_S: Final = 0.002
"""When reads come close together, each waits a moment for more."""

AT_ONCE: Final = 16
"""A busy disk takes 4 ms a row: so many are read well within the time-out of a read (0.1 s), and fail alone when they are not."""

Row = tuple[Any, ...]
Answers = list[asyncio.Future[list[Row]]]


class SharedReads:
    """`Reader.rows`, shared. Each caller has a future of its own, may leave, and waits `line_s` seconds at most for a place."""

    def __init__(self, reader: Reader, line_s: float) -> None:
        self._reader = reader
        self._line_s = line_s
        self._asked: dict[int, tuple[float, Answers]] = {}  # since when, in the order of coming
        self._task: asyncio.Task[None] | None = None
        self._read_at = -BUSY_S

    async def of(self, number: int) -> list[Row]:
        """The rows of one number. Raises `CacheError`."""
        if len(self._asked) >= MAX_WAITING:
            raise CacheError("too many reads wait")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Row]] = loop.create_future()
        self._asked.setdefault(number, (time.monotonic(), []))[1].append(answer)
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
                if len(self._asked) < AT_ONCE and time.monotonic() - self._read_at < BUSY_S:
                    await asyncio.sleep(GATHER_S)
                if asked := self._next():
                    await self._read_all(asked)
                    self._read_at = time.monotonic()
        finally:
            self._task = None

    def _next(self) -> dict[int, Answers]:
        """Those who came first, but for who left, and who waited too long."""
        asked: dict[int, Answers] = {}
        now = time.monotonic()
        for number, (since, answers) in list(self._asked.items()):
            if len(asked) == AT_ONCE:
                break
            del self._asked[number]
            if now - since > self._line_s:
                _tell(answers, [], CacheError("the disk is too slow for all who ask"))
            elif not all(answer.done() for answer in answers):
                asked[number] = answers
        return asked

    async def _read_all(self, asked: dict[int, Answers]) -> None:
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


def _tell(answers: Answers, rows: list[Row], failure: CacheError | None) -> None:
    for answer in answers:
        if answer.done():
            continue
        if failure is None:
            answer.set_result(rows)
        else:
            answer.set_exception(CacheError(str(failure)))
