"""Every statement that touches rows: parameterised, and each result checked by the body's own key and checksum."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import aiosqlite

from agi_lookup.cache.base import CacheEntry
from agi_lookup.cache.codec import MAX_BODY_BYTES, BadEntry, is_e164, pack, unpack
from agi_lookup.cache.queue import Change
from agi_lookup.cache.sqlite.rows import many
from agi_lookup.domain.model import Facet

Row = tuple[Any, ...]
OnBad = Callable[[], None]

FACETS: Final = (Facet.IDENTITY, Facet.LIVENESS)
"""A facet's place is its code in the database."""
CODES: Final = {facet: code for code, facet in enumerate(FACETS)}

FOREVER: Final = 2**62
EXPORT_ROWS: Final = 500

# Nothing huge is loaded: SQLite knows a blob's length without reading it.
_BODY: Final = f"CASE WHEN typeof(body) = 'blob' AND length(body) <= {MAX_BODY_BYTES} THEN body END"
READ: Final = f"SELECT number, facet, {_BODY} FROM entry WHERE number IN (SELECT value FROM json_each(?))"  # noqa: S608
_PAGE: Final = f"SELECT number, facet, {_BODY} FROM entry WHERE (number, facet) > (?, ?) ORDER BY number, facet LIMIT ?"  # noqa: S608
_NUMBERS: Final = "SELECT DISTINCT number FROM entry WHERE number > ? ORDER BY number LIMIT ?"
_ERASE: Final = "DELETE FROM entry WHERE number = ? AND facet = ?"
_KEEP: Final = """INSERT INTO entry (number, facet, observed_at, stale_until, body) VALUES {rows}
ON CONFLICT (number, facet) DO UPDATE
SET observed_at = excluded.observed_at, stale_until = excluded.stale_until, body = excluded.body"""
_KEEP_NEWER: Final = f"{_KEEP} WHERE excluded.observed_at > entry.observed_at"
_SHED: Final = """DELETE FROM entry WHERE (number, facet) IN (
SELECT number, facet FROM entry WHERE stale_until <= ? ORDER BY stale_until LIMIT ?)"""
_TALLY: Final = (
    "SELECT count(*), ifnull(sum(facet = 0), 0), ifnull(sum(facet = 1), 0), ifnull(sum(stale_until <= ?), 0) FROM entry"
)


def digits(number: str) -> int:
    """`+447400123456` -> 447400123456. Raises `BadEntry` for what is no E.164 number."""
    if not is_e164(number):
        raise BadEntry("not an E.164 number")
    return int(number[1:])


def entry_of(row: Row) -> CacheEntry:
    """Raises `BadEntry`."""
    number, facet, body = row
    if not isinstance(body, bytes) or facet not in range(len(FACETS)):
        raise BadEntry("no body, or one too large")
    return unpack(f"+{number}", FACETS[facet], body)


async def write(connection: aiosqlite.Connection, batch: Sequence[Change], on_bad: OnBad) -> None:
    erased = [(digits(number), CODES[facet]) for (number, facet), entry in batch if entry is None]
    if erased:
        await connection.executemany(_ERASE, erased)
    await _insert(connection, _KEEP, (entry for _, entry in batch if entry is not None), on_bad)


async def keep_newer(connection: aiosqlite.Connection, entries: Iterable[CacheEntry], on_bad: OnBad) -> int:
    """Write what is newer than what is held; returns how many rows changed."""
    before = connection.total_changes
    await _insert(connection, _KEEP_NEWER, entries, on_bad)
    return connection.total_changes - before


async def shed(connection: aiosqlite.Connection, ended_by: float, limit: int) -> int:
    """Delete up to `limit` rows that end by then, the first to end first; returns how many went."""
    async with connection.execute(_SHED, (ended_by, limit)) as cursor:
        return cursor.rowcount


async def count(connection: aiosqlite.Connection) -> int:
    return int((await _one(connection, "SELECT count(*) FROM entry"))[0])


async def tally(connection: aiosqlite.Connection, now: float) -> Row:
    """Rows, identities, livenesses, and how many of the rows are past use. A scan: 0.2 s a million rows."""
    return await _one(connection, _TALLY, (now,))


async def page(connection: aiosqlite.Connection, after: tuple[int, int]) -> list[Row]:
    return [tuple(row) for row in await connection.execute_fetchall(_PAGE, (*after, EXPORT_ROWS))]


async def numbers(connection: aiosqlite.Connection, after: int) -> list[int]:
    """The next ones, ascending."""
    return [row[0] for row in await connection.execute_fetchall(_NUMBERS, (after, EXPORT_ROWS))]


async def is_sound(connection: aiosqlite.Connection) -> bool:
    """Walk the whole file: 0.3 s a million rows when it is in the page cache."""
    return await _one(connection, "PRAGMA quick_check(1)") == ("ok",)


async def _one(connection: aiosqlite.Connection, sql: str, parameters: Row = ()) -> Row:
    return tuple(next(iter(await connection.execute_fetchall(sql, parameters))))


async def _insert(
    connection: aiosqlite.Connection, template: str, entries: Iterable[CacheEntry], on_bad: OnBad
) -> None:
    for statement, values in many(template, _rows(entries, on_bad)):
        await connection.execute(statement, values)


def _rows(entries: Iterable[CacheEntry], on_bad: OnBad) -> list[Row]:
    rows = []
    for entry in entries:
        try:
            body = pack(entry)
        except BadEntry:
            on_bad()
            continue
        rows.append(
            (digits(entry.number), CODES[entry.facet], int(entry.observed_at), int(entry.stale_until) + 1, body)
        )
    return rows
