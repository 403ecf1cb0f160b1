"""The database file: how it is made, opened, judged and put aside. Plain `sqlite3`; it runs in a connection's own thread.

Only one process writes, and only over one connection, as SQLite before 3.51.3 can corrupt a WAL that two connections reset at once
(https://sqlite.org/wal.html#walresetbug). Readers open the file read-only, so that they can never checkpoint it.
Opening scans nothing: a million rows take as long as none. Damage that a look at the header, the schema and the ends of both trees
does not show is found by the check behind the running service, by the checksum in every body, or by the statement that meets it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import gmtime, strftime
from typing import Final

from agi_lookup.domain.errors import CacheError

CACHE_FILE: Final = "cache.sqlite"
KEPT_ASIDE: Final = 2
"""A dying disk must not fill with its own ruins."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What makes a database file ours, and how both ends of its trees are read."""

    application_id: int  # at offset 68 of the file
    version: int
    schema: Mapping[str, str]
    ends: tuple[str, ...]


ENTRIES: Final = Shape(
    application_id=0x4147494C,  # "AGIL"
    version=1,
    schema={
        "entry": """CREATE TABLE entry (
  number INTEGER NOT NULL, -- E.164 without its +
  facet INTEGER NOT NULL, -- 0 identity, 1 liveness
  observed_at INTEGER NOT NULL, -- Unix seconds
  stale_until INTEGER NOT NULL,
  body BLOB NOT NULL, -- cache/codec.py
  PRIMARY KEY (number, facet)
) WITHOUT ROWID""",
        "entry_by_end": "CREATE INDEX entry_by_end ON entry (stale_until)",
    },
    ends=tuple(
        f"SELECT number, body FROM entry ORDER BY {order} LIMIT 1"  # noqa: S608
        for order in ("number", "number DESC", "stale_until", "stale_until DESC")
    ),
)

MAGIC: Final = b"SQLite format 3\0"
"""https://sqlite.org/fileformat.html, section 1.3."""

EMPTY_LOG: Final = "PRAGMA wal_checkpoint(TRUNCATE)"
"""Moves all of the log into the database: what was erased is still in there. Its first column: was a reader in the way?"""
EMPTY_TRIES: Final = 20
EMPTY_PAUSE_S: Final = 0.05

_BROKEN: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SUFFIXES: Final = ("", "-wal", "-shm", "-journal")


class Corrupt(CacheError):
    """The file is damaged, or no database at all: to be put aside."""


class NotOurs(CacheError):
    """A newer version's file, or another program's: never touched."""

    alarm = "sqlite_not_ours"


def is_corruption(error: BaseException) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, Corrupt) or (code is not None and code & 0xFF in _BROKEN)


def open_writer(path: Path, shape: Shape = ENTRIES) -> sqlite3.Connection:
    """Make or open the database, for the holder of the lock. Raises `sqlite3.Error`, `OSError`, `Corrupt` or `NotOurs`."""
    new = not path.exists()
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb") as file:
        if not new and file.read(len(MAGIC)) != MAGIC:  # looked at first, as SQLite would replay a log into anything
            raise Corrupt("it is no database")
    # No time-out: our caller waits and retries, not SQLite.
    connection = sqlite3.connect(path, timeout=0, isolation_level="IMMEDIATE")
    try:
        if new or _is_blank(connection):
            _create(connection, shape)
        else:
            _upgrade(connection, shape)
            _judge(connection, shape)
        _set_up(connection)
        for statement in shape.ends:
            connection.execute(statement).fetchall()
    except BaseException:
        connection.close()
        if new:  # half made, for want of room perhaps: not to be taken for damage later
            for part in parts(path):
                part.unlink()
        raise
    return connection


def open_reader(path: Path, shape: Shape = ENTRIES) -> sqlite3.Connection:
    """Open for reading only; the file must be there. Raises like `open_writer`."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0, isolation_level=None)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA cell_size_check = ON")
        _judge(connection, shape)
    except BaseException:
        connection.close()
        raise
    return connection


def parts(path: Path) -> list[Path]:
    """The database and what belongs to it, as far as it is there."""
    return [part for suffix in _SUFFIXES if (part := path.with_name(path.name + suffix)).exists()]


def size(path: Path) -> int:
    """Bytes of all parts."""
    return sum(part.stat().st_size for part in parts(path))


def put_aside(path: Path, now: float) -> Path:
    """Rename the database, with its log, to `NAME.corrupt-TIME`. Raises `OSError`.

    Of such ruins the newest stays, and the `KEPT_ASIDE` largest of the others: those may hold something worth a rescue.
    """
    aside = path.with_name(f"{path.name}.corrupt-{strftime('%Y%m%dT%H%M%SZ', gmtime(now))}")
    for part in parts(path):
        part.rename(aside.with_name(aside.name + part.name.removeprefix(path.name)))
    ruins = (p for p in path.parent.glob(f"{path.name}.corrupt-*") if not p.name.endswith(_SUFFIXES[1:]) and p != aside)
    for old in sorted(ruins, key=size)[:-KEPT_ASIDE]:
        for part in parts(old):
            part.unlink()
    return aside


def _is_blank(connection: sqlite3.Connection) -> bool:
    """A database that was made and never filled: its maker was killed before the first commit."""
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return _pragma(connection, "application_id") == 0 and tables == (0,)


def _create(connection: sqlite3.Connection, shape: Shape) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in shape.schema.values():
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {shape.application_id}")
    connection.execute(f"PRAGMA user_version = {shape.version}")
    connection.commit()


def _upgrade(connection: sqlite3.Connection, shape: Shape) -> None:
    """Newer versions only ever add: make what an older one's file of ours lacks."""
    if _pragma(connection, "application_id") != shape.application_id:
        return
    if _pragma(connection, "user_version") >= shape.version:
        return
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        held = {name for (name,) in connection.execute("SELECT name FROM sqlite_master").fetchall()}
        for name, statement in shape.schema.items():
            if name not in held:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {shape.version}")


def _set_up(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise CacheError("this file system cannot hold SQLite's write-ahead log")
    connection.execute("PRAGMA synchronous = NORMAL")  # survives kill -9; a power cut may take the last commits
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA secure_delete = ON")  # what is erased or replaced is written over


def _judge(connection: sqlite3.Connection, shape: Shape) -> None:
    """Is it ours, of a version that we know, and shaped as we made it?"""
    if _pragma(connection, "application_id") != shape.application_id:
        raise NotOurs("the file belongs to another program")
    version = _pragma(connection, "user_version")
    if version > shape.version:
        raise NotOurs(f"the file has schema {version}, this program knows {shape.version}: a newer version made it")
    if version < shape.version:
        raise CacheError("an older version made the file; the server makes it fit when it starts")
    if dict(connection.execute("SELECT name, sql FROM sqlite_master").fetchall()) != shape.schema:
        raise Corrupt("the schema is damaged")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
