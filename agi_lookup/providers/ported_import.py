"""Lines of ported numbers into the table, all or nothing: first aside, sorted, then in one transaction that readers see whole.

Memory stays small however long the file is: what is read waits in a temporary file, and SQLite sorts there (in $SQLITE_TMPDIR,
$TMPDIR or /var/tmp: some 150 bytes a line). Sorted, because single rows in chance order would write the table over and over.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agi_lookup.domain.errors import ConfigError, OutsideError
from agi_lookup.providers.ported_csv import Line, Problem
from agi_lookup.providers.ported_table import FACTS, NotATable, counts, open_file, open_writer

CACHE_KIB: Final = 65_536
_FACTS: Final = ", ".join(FACTS)
_STAGE: Final = f"CREATE TEMP TABLE staged (low INTEGER NOT NULL, high INTEGER, digits INTEGER, {_FACTS})"
_PUT: Final = f"INSERT INTO staged VALUES ({', '.join('?' * (3 + len(FACTS)))})"  # noqa: S608
_RUN: Final = "INSERT INTO import (at, source, lines, replaced) VALUES (?, ?, ?, ?)"


def _merge(table: str, key: str, columns: str, wanted: str) -> str:
    """The later port wins; where either has no date, and of two on one day, the later line."""
    changes = ", ".join(f"{fact} = excluded.{fact}" for fact in ("import", *FACTS))
    return f"""INSERT INTO {table} ({key}, import, {_FACTS})
SELECT {columns}, ?, {_FACTS} FROM staged WHERE {wanted} ORDER BY {columns}, rowid
ON CONFLICT ({key}) DO UPDATE SET {changes}
WHERE excluded.ported_at IS NULL OR {table}.ported_at IS NULL OR excluded.ported_at >= {table}.ported_at"""  # noqa: S608


_MERGES: Final = (
    _merge("number", "number", "low", "high IS NULL"),
    _merge("block", "scale, low, high, digits", "length(high - low), low, high, digits", "high IS NOT NULL"),
)
_ENDED: Final = (
    "DELETE FROM number WHERE removed AND number IN (SELECT low FROM staged WHERE high IS NULL AND removed)",
    "DELETE FROM block WHERE removed",
)


@dataclass(frozen=True, slots=True)
class Terms:
    """`source` is shown by `ports stats`, `now` is Unix seconds. `replace`: what the lines do not name is gone."""

    source: str
    now: float
    replace: bool = False
    max_errors: int = 0


@dataclass(frozen=True, slots=True)
class Imported:
    """`written` lines were new or newer than what the table held; `numbers` and `blocks` are what it holds now."""

    lines: int
    malformed: int
    written: int
    numbers: int
    blocks: int


def import_lines(
    table: Path,
    lines: Iterable[Line | Problem],
    terms: Terms,
    *,
    on_problem: Callable[[Problem], None],
    on_merge: Callable[[], None],
) -> Imported:
    """Raises `ConfigError` when the lines are of no use, `OutsideError` for trouble of the disk: the table is as it was then.

    `on_merge` is called when all lines are read.
    """
    try:
        with _alone(table), closing(open_writer(table)) as connection:
            _make_ready(connection)
            read = _Lines(lines, on_problem)
            connection.execute("BEGIN")
            connection.executemany(_PUT, read)
            connection.execute("COMMIT")
            read.check(terms.max_errors)
            on_merge()
            written = _put_in(connection, terms, read.good)
            return Imported(read.good + read.malformed, read.malformed, written, *counts(connection))
    except (sqlite3.Error, OSError) as error:
        raise OutsideError(f"{table}: the import failed, the table is as it was ({error})") from None
    except NotATable as error:
        raise OutsideError(f"{table}: {error}; move it away and import again") from None


class _Lines:
    """The good lines as rows to stage, counted; the others reported."""

    def __init__(self, lines: Iterable[Line | Problem], on_problem: Callable[[Problem], None]) -> None:
        self.good = 0
        self.malformed = 0
        self._lines = lines
        self._on_problem = on_problem

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        for line in self._lines:
            if isinstance(line, Problem):
                self.malformed += 1
                self._on_problem(line)
            else:
                self.good += 1
                yield line.place + line.facts

    def check(self, max_errors: int) -> None:
        if self.malformed > max_errors:
            raise ConfigError(
                f"{self.malformed} of {self.good + self.malformed} lines are malformed; nothing is imported"
            )
        if not self.good:
            raise ConfigError("there is no line to import; nothing is changed")


def _make_ready(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = FULL")  # what is committed survives a power cut, checkpointed or not
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("PRAGMA temp_store = FILE")
    connection.execute("PRAGMA temp.journal_mode = OFF")
    connection.execute(_STAGE)


def _put_in(connection: sqlite3.Connection, terms: Terms, lines: int) -> int:
    connection.execute("BEGIN IMMEDIATE")
    run = connection.execute(_RUN, (int(terms.now), terms.source, lines, int(terms.replace))).lastrowid
    if terms.replace:
        connection.execute("DELETE FROM number")
        connection.execute("DELETE FROM block")
    written = sum(connection.execute(merge, (run,)).rowcount for merge in _MERGES)
    for statement in _ENDED:
        connection.execute(statement)
    connection.execute("COMMIT")
    with suppress(sqlite3.Error):  # it is in the log, and read from there: a later import tries again
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return written


@contextmanager
def _alone(table: Path) -> Iterator[None]:
    """One import at a time. The kernel takes the lock back when its holder dies; the file stays."""
    table.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = open_file(table.with_name(f"{table.name}.lock"))
    try:
        _lock(fd, table)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, table: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutsideError(f"{table}: another import is under way") from None
