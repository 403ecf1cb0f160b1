"""The call log on disk: SQLite, plain `sqlite3`, for one thread; `calls.log` gives it one. Reading needs no hold on it.

By their keyed hashes all calls and lookups of a number can be found and erased; the key is in `NAME.key`. A result belongs to the
last call of its channel before it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from agi_lookup.cache.sqlite import file
from agi_lookup.cache.sqlite.lock import WriterLock
from agi_lookup.calls import rows
from agi_lookup.calls.options import CallLogOptions
from agi_lookup.calls.records import CallRecord, LoggedCall, LookupRecord
from agi_lookup.calls.shape import SHAPE, TABLES
from agi_lookup.domain.errors import CacheError
from agi_lookup.domain.model import CallResult
from agi_lookup.keyed import key_of, keyed

CALLS_FILE: Final = "calls.sqlite"
DAY_S: Final = 86_400.0
SLICE_ROWS: Final = 500
PAGE_ROWS: Final = 1000
AHEAD_S: Final = DAY_S
"""What is further ahead was written by a clock that was wrong: it would stay too long, and keep those behind it from leaving."""

_DECIDED: Final = f"INSERT INTO call ({rows.COLUMNS}, number_hash, caller_hash) VALUES (NULL{', ?' * 20})"  # noqa: S608
_RESULT: Final = """INSERT INTO result
SELECT NULL, (SELECT max(id) FROM call WHERE channel = ?2 AND at <= ?1), ?1, ?3, ?4, ?5, ?6, ?7, ?8"""
_LOOKUP: Final = f"INSERT INTO lookup ({rows.LOOKUP_COLUMNS}) VALUES (NULL{', ?' * 14})"  # noqa: S608
_SPAN: Final = "SELECT min(id), max(id) FROM {table}"
_SHED: Final = "DELETE FROM {table} WHERE id < ? AND (id <= ? OR at NOT BETWEEN ? AND ?)"
_OF_NUMBER: Final = "SELECT id FROM call WHERE number_hash = ?1 OR number = ?2"
_FORGET: Final = tuple(
    f"DELETE FROM {table} WHERE {column} IN ({_OF_NUMBER})"  # noqa: S608
    for table, column in (("result", "call"), ("call", "id"))
)
_FORGET_LOOKUPS: Final = "DELETE FROM lookup WHERE number_hash = ?"
_PAGE: Final = f"SELECT {rows.COLUMNS} FROM call WHERE id > ? AND at >= ? ORDER BY id LIMIT {PAGE_ROWS}"  # noqa: S608
_RECENT: Final = f"SELECT {rows.COLUMNS} FROM call ORDER BY id DESC LIMIT ?"  # noqa: S608
_RESULTS: Final = f"SELECT call, {rows.RESULT_COLUMNS} FROM result WHERE call BETWEEN ? AND ? ORDER BY call, id"  # noqa: S608


class Reported(NamedTuple):
    """A result as it came: at what time, of which channel."""

    at: float
    channel: str
    result: CallResult


Row: TypeAlias = CallRecord | LookupRecord | Reported
_INSERTS: Final = {CallRecord: _DECIDED, LookupRecord: _LOOKUP, Reported: _RESULT}


class CallFile:
    """One process's hold on the log, from `open` to `close`. All may raise `sqlite3.Error`, `OSError` or `CacheError`;
    after that it has to be opened again.
    """

    def __init__(self, path: Path, options: CallLogOptions) -> None:
        self._path = path
        self._options = options
        self._lock = WriterLock(path, for_life=True)
        self._connection: sqlite3.Connection | None = None
        self._hashed: rows.Hash = lambda _text: b""

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    def open(self) -> None:
        self._lock.acquire()
        self._hashed = partial(keyed, key_of(self._path.with_suffix(".key")))
        self._connection = file.open_writer(self._path, SHAPE)

    def write(self, batch: Sequence[Row]) -> int:
        """All or nothing, but for what cannot be written down: returns how many these were."""
        made = [(_INSERTS[type(one)], self._row(one)) for one in batch]
        with self._transaction() as connection:
            for insert, several in groupby(made, itemgetter(0)):
                connection.executemany(insert, [row for _, row in several if row is not None])
        return sum(row is None for _, row in made)

    def purge(self, now: float) -> bool:
        """A slice of what is too old, too much or of no time that was; may there be more?"""
        with self._transaction() as connection:
            return sum(self._shed(connection, table, now) for table in TABLES) > 0

    def forget(self, number: str) -> int:
        """Erase the calls to an E.164 number, and its lookups; returns how many calls there were."""
        with self._transaction() as connection:
            connection.execute(_FORGET_LOOKUPS, (self._hashed(number),))
            gone = [connection.execute(statement, (self._hashed(number), number)).rowcount for statement in _FORGET]
        for _ in range(file.EMPTY_TRIES):
            busy, _, _ = self._connected().execute(file.EMPTY_LOG).fetchone()
            if not busy:
                break
            time.sleep(file.EMPTY_PAUSE_S)
        return gone[-1]

    def put_aside(self, now: float) -> Path:
        """A damaged file, so that a new one can be made."""
        self._drop()
        return file.put_aside(self._path, now)

    def close(self) -> None:
        self._drop()
        self._lock.release()

    def _row(self, one: Row) -> rows.Row | None:
        """None for text that is no Unicode, as a vendor may send it."""
        if isinstance(one, LookupRecord):
            return rows.lookup_row(one, self._hashed)
        if isinstance(one, CallRecord):
            try:
                return rows.call_row(one, self._options.numbers, self._hashed)
            except UnicodeEncodeError:
                return None
        r = one.result
        return (one.at, one.channel, r.trunk, r.dialstatus, r.cause, r.sip_code, r.pdd_ms, r.billsec)

    def _shed(self, connection: sqlite3.Connection, table: str, now: float) -> int:
        """Ids have few gaps: how far they reach says how many rows there are at most, and nothing need be counted."""
        first, last = connection.execute(_SPAN.format(table=table)).fetchone()
        if first is None:
            return 0
        since, until = now - self._options.keep_days * DAY_S, now + AHEAD_S
        bounds = (first + SLICE_ROWS, last - self._options.max_rows, since, until)
        return connection.execute(_SHED.format(table=table), bounds).rowcount

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            raise CacheError("the call log is not open")
        return self._connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connected()
        try:
            with connection:
                yield connection
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def read(path: Path, since: float = 0.0) -> Iterator[LoggedCall | None]:
    """Calls decided since then, in order, with how they went; None for a row that does not fit. From any process at any time.

    Raises like `CallFile`.
    """
    with closing(file.open_reader(path, SHAPE)) as connection:
        after = -1
        while page := connection.execute(_PAGE, (after, since)).fetchall():
            after = page[-1][0]
            yield from _with_results(connection, page)


def recent(path: Path, count: int) -> list[LoggedCall]:
    """The last calls, the newest first. Raises like `read`."""
    with closing(file.open_reader(path, SHAPE)) as connection:
        page = connection.execute(_RECENT, (count,)).fetchall()
        return [call for call in _with_results(connection, page[::-1]) if call is not None][::-1]


def span(path: Path) -> int:
    """How many calls there are, at most. Raises like `read`."""
    with closing(file.open_reader(path, SHAPE)) as connection:
        first, last = connection.execute(_SPAN.format(table="call")).fetchone()
        return 0 if first is None else int(last - first + 1)


def _with_results(connection: sqlite3.Connection, page: Sequence[rows.Row]) -> Iterator[LoggedCall | None]:
    found: dict[Any, list[rows.Row]] = {}
    if page:
        for call, *result in connection.execute(_RESULTS, (page[0][0], page[-1][0])):
            found.setdefault(call, []).append(tuple(result))
    for row in page:
        try:
            yield rows.logged(row, found.get(row[0], []))
        except ValueError:
            yield None
