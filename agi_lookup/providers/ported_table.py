"""The table of ported numbers in SQLite: its file, and the driver that reads it. `ported_import` writes it.

Reading and importing never wait for each other: the file is in WAL mode, an import is one transaction, and one process imports at
a time. The reader's connection is read-only, so that it never checkpoints: SQLite before 3.51.3 can corrupt a WAL that two
connections reset at once (https://sqlite.org/wal.html#walresetbug).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agi_lookup.domain.errors import ProviderBusy, ProviderError
from agi_lookup.domain.model import NumberType, Tri
from agi_lookup.providers.base import NumberResult
from agi_lookup.providers.ported_csv import E164_DIGITS
from agi_lookup.providers.ported_numbers import Row, TableLookup, TableQuery, TableReply, TableUnusable

APPLICATION_ID: Final = 0x41474950  # "AGIP", at offset 68 of the file
SCHEMA_VERSION: Final = 1
MAX_WAITING: Final = 10_000
CLOSE_S: Final = 2.0
BUSY_S: Final = 0.2
"""A read waits so long for a process that just closes or recovers the file."""

FACTS: Final = ("ported", "ported_at", "carrier", "mcc", "mnc", "type", "lrn", "ocn", "removed")
_FACTS_SQL: Final = """import INTEGER NOT NULL, -- the run that brought it
  ported INTEGER, -- 1, 0, NULL: unknown
  ported_at TEXT, -- ISO 8601, UTC
  carrier TEXT, mcc TEXT, mnc TEXT, type TEXT, lrn TEXT, ocn TEXT,
  removed INTEGER NOT NULL"""
SCHEMA: Final = (
    """CREATE TABLE import (
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL, -- Unix seconds
  source TEXT NOT NULL,
  lines INTEGER NOT NULL,
  replaced INTEGER NOT NULL
)""",
    f"CREATE TABLE number (number INTEGER PRIMARY KEY, -- E.164 without its +\n  {_FACTS_SQL}\n)",
    f"""CREATE TABLE block (
  scale INTEGER NOT NULL, -- the digits of high - low: no block is wider than 10 to this power
  low INTEGER NOT NULL, -- as numbers of 15 digits
  high INTEGER NOT NULL,
  digits INTEGER NOT NULL, -- that a number must have
  {_FACTS_SQL},
  PRIMARY KEY (scale, low, high, digits)
) WITHOUT ROWID""",
)

_COLUMNS: Final = ", ".join(FACTS[:-1])
_NUMBER: Final = f"SELECT {_COLUMNS}, at FROM number JOIN import ON id = import WHERE number = ?"  # noqa: S608
_SCALES: Final = ", ".join(f"({scale}, {10**scale})" for scale in range(1, E164_DIGITS + 1))
# Of blocks no wider than w, those around a number begin in the w numbers before it: one short look at the index a scale.
_BLOCK: Final = f"""WITH around (w_scale, w) AS (VALUES {_SCALES})
SELECT {_COLUMNS}, at FROM around
CROSS JOIN block ON scale = w_scale AND low > :number - w AND low <= :number AND high >= :number AND digits <= :digits
JOIN import ON id = import ORDER BY high - low, import DESC, low DESC, digits DESC LIMIT 1"""  # noqa: S608
_TRI: Final = {1: Tri.YES, 0: Tri.NO, None: Tri.UNKNOWN}


class NotATable(ValueError):
    """A file that we never wrote."""


class Reader:
    """The reading connection, for one thread. Opens itself when it is asked, and again when the file was replaced."""

    def __init__(self, table: Path) -> None:
        self._table = table
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def read(self, numbers: Collection[str]) -> TableReply:
        """All from one state of the table: an import shows whole or not at all. Raises `TableUnusable`."""
        try:
            connection = self._opened()
            connection.execute("BEGIN")
            try:
                found = {number: row for number in numbers if (row := _find(connection, number)) is not None}
                (last,) = connection.execute("SELECT ifnull(max(at), 0) FROM import").fetchone()
                return TableReply(found, float(last))
            finally:
                connection.rollback()
        except FileNotFoundError:
            failure = "there is no table yet: run agi-lookup ports import"
        except (sqlite3.Error, OSError, ValueError, TypeError, KeyError) as error:  # the last three: a damaged row
            failure = f"the table cannot be read: {getattr(error, 'sqlite_errorname', type(error).__name__)}"
        self.close()
        raise TableUnusable(failure)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _opened(self) -> sqlite3.Connection:
        status = os.stat(self._table)
        file = (status.st_dev, status.st_ino)
        if self._connection is None or file != self._file:
            self.close()
            self._connection = open_reader(self._table)
            self._file = file
        return self._connection


class TableDriver:
    """Runs lookups against the table. The way to the reading thread costs more than a read: who comes meanwhile goes together."""

    def __init__(self, table: Path) -> None:
        self._reader = Reader(table)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ported-numbers")
        self._waiting: list[tuple[TableQuery, asyncio.Future[TableReply]]] = []
        self._reading: asyncio.Task[None] | None = None

    async def run(self, lookup: TableLookup, *, timeout_s: float) -> Mapping[str, NumberResult]:
        """Raises `ProviderError`."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._drive(lookup)
        except TimeoutError:
            raise TableUnusable("the table was not read in time") from None
        finally:
            lookup.close()

    async def close(self) -> None:
        """A read that hangs is left behind with its thread."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        try:
            async with asyncio.timeout(CLOSE_S):
                await asyncio.get_running_loop().run_in_executor(self._thread, self._reader.close)
        except TimeoutError:
            pass
        finally:
            self._thread.shutdown(wait=False)

    async def _drive(self, lookup: TableLookup) -> Mapping[str, NumberResult]:
        try:
            query = next(lookup)
            while True:
                try:
                    reply = await self._ask(query)
                except ProviderError as error:
                    query = lookup.throw(error)
                else:
                    query = lookup.send(reply)
        except StopIteration as done:
            results: Mapping[str, NumberResult] = done.value
            return results

    async def _ask(self, query: TableQuery) -> TableReply:
        if len(self._waiting) >= MAX_WAITING:
            raise ProviderBusy
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[TableReply] = loop.create_future()
        self._waiting.append((query, answer))
        if self._reading is None:
            self._reading = loop.create_task(self._read())
        return await answer

    async def _read(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, []
                await self._read_for(asked)
        finally:
            self._reading = None

    async def _read_for(self, asked: Sequence[tuple[TableQuery, asyncio.Future[TableReply]]]) -> None:
        numbers = {number for query, answer in asked if not answer.done() for number in query.numbers}
        reply, failure = None, "the read broke off"
        try:
            reply = await asyncio.get_running_loop().run_in_executor(self._thread, self._reader.read, numbers)
        except TableUnusable as error:
            failure = str(error)
        finally:
            for answer in (answer for _, answer in asked if not answer.done()):
                if reply is None:
                    answer.set_exception(TableUnusable(failure))
                else:
                    answer.set_result(reply)


@dataclass(frozen=True, slots=True)
class Run:
    """One import; `at` is Unix seconds."""

    at: int
    source: str
    lines: int
    replaced: bool


def counts(connection: sqlite3.Connection) -> tuple[int, int]:
    """Numbers and blocks: a scan, some 0.1 s a million."""
    (numbers,) = connection.execute("SELECT count(*) FROM number").fetchone()
    (blocks,) = connection.execute("SELECT count(*) FROM block").fetchone()
    return numbers, blocks


def last_runs(connection: sqlite3.Connection, limit: int) -> list[Run]:
    """Newest first."""
    found = connection.execute("SELECT at, source, lines, replaced FROM import ORDER BY id DESC LIMIT ?", (limit,))
    return [Run(at, source, lines, bool(replaced)) for at, source, lines, replaced in found]


def open_reader(table: Path) -> sqlite3.Connection:
    """Read-only; the file must be there. Raises `sqlite3.Error` or `NotATable`."""
    return _opened(f"{table.absolute().as_uri()}?mode=ro", _judge)


def open_writer(table: Path) -> sqlite3.Connection:
    """For the one importer; makes what is missing. Raises like `open_reader`, or `OSError`."""
    os.close(open_file(table))
    return _opened(f"{table.absolute().as_uri()}?mode=rw", _set_up)


def open_file(path: Path) -> int:
    """A file descriptor. Root imports and the server reads: what root makes goes to whom the folder belongs. Raises `OSError`."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.fchown(fd, folder.st_uid, folder.st_gid)
    return fd


def _opened(uri: str, prepare: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
    try:
        prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection) -> None:
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    _judge(connection)


def _judge(connection: sqlite3.Connection) -> None:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if (application_id, version) != (APPLICATION_ID, SCHEMA_VERSION):
        raise NotATable("another program's file, or another version's")
    connection.execute("PRAGMA cell_size_check = ON")


def _find(connection: sqlite3.Connection, number: str) -> Row | None:
    """The number's own row, else that of the narrowest block around it; of two as narrow the one imported later."""
    digits = number.removeprefix("+")
    if found := connection.execute(_NUMBER, (int(digits),)).fetchone():
        return _row(found, in_block=False)
    found = connection.execute(
        _BLOCK, {"number": int(digits.ljust(E164_DIGITS, "0")), "digits": len(digits)}
    ).fetchone()
    return _row(found, in_block=True) if found else None


def _row(found: tuple[Any, ...], *, in_block: bool) -> Row:
    """Raises `ValueError`, `TypeError` or `KeyError` for what no import wrote."""
    ported, *texts, at = found
    if not all(isinstance(value, str | None) for value in texts):
        raise TypeError("not text")
    ported_at, carrier, mcc, mnc, kind, lrn, ocn = texts
    number_type = NumberType(kind or NumberType.UNKNOWN)
    return Row(carrier, mcc, mnc, _TRI[ported], ported_at, number_type, lrn, ocn, float(at), in_block)
