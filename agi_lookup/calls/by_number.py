"""The call log, number by number, for `calls.league`: no more of it in memory than one number's rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from agi_lookup.cache.sqlite import file
from agi_lookup.calls import rows
from agi_lookup.calls.league import Heard
from agi_lookup.calls.records import LoggedResult, LookupRecord
from agi_lookup.calls.shape import SHAPE
from agi_lookup.domain.model import CacheState, NumberType
from agi_lookup.keyed import HASH_BYTES

_IS_HASH: Final = f"typeof(number_hash) = 'blob' AND length(number_hash) = {HASH_BYTES}"
_LOOKUPS: Final = f"SELECT {rows.LOOKUP_COLUMNS} FROM lookup WHERE at >= ? AND {_IS_HASH} ORDER BY number_hash"  # noqa: S608
_CALLS: Final = f"""SELECT number_hash, call.id, call.at, country, type, identity, liveness,
{", ".join(f"result.{name}" for name in rows.RESULT_COLUMNS.split(", "))}
FROM call LEFT JOIN result ON result.call = call.id
WHERE call.at >= ? AND {_IS_HASH} ORDER BY number_hash, call.id"""  # noqa: S608


class _From(msgspec.Struct):
    """Of an identity or a liveness: who said it, and was it cached?"""

    provider: str
    cache: CacheState


class _Call(NamedTuple):
    id: int
    at: float
    country: str | None
    type: NumberType


class OfNumber(NamedTuple):
    """`unfit` counts rows that are not believed."""

    lookups: list[LookupRecord]
    calls: list[Heard]
    unfit: int


def read(path: Path, since: float) -> Iterator[OfNumber]:
    """Each number with what was asked and what was called since then, as of one moment. From any process at any time.

    Raises like `calls.file.read`.
    """
    with closing(file.open_reader(path, SHAPE)) as connection:
        connection.execute("BEGIN")
        lookups = _Groups(connection.execute(_LOOKUPS, (since,)), -1)
        calls = _Groups(connection.execute(_CALLS, (since,)), 0)
        while (number := min(filter(None, (lookups.next, calls.next)), default=None)) is not None:
            yield _of_number(lookups.take(number), calls.take(number))


class _Groups:
    """Rows of a cursor that is sorted by the number's hash."""

    def __init__(self, cursor: sqlite3.Cursor, column: int) -> None:
        self._groups = groupby(cursor, itemgetter(column))
        self._step()

    def take(self, number: bytes) -> list[rows.Row]:
        if self.next != number:
            return []
        taken = list(self._rows)
        self._step()
        return taken

    def _step(self) -> None:
        self.next: bytes | None
        self._rows: Iterator[rows.Row]
        self.next, self._rows = next(self._groups, (None, iter(())))


def _of_number(asked: list[rows.Row], called: list[rows.Row]) -> OfNumber:
    lookups: list[LookupRecord] = []
    calls: list[Heard] = []
    unfit = 0
    for row in asked:
        try:
            lookups.append(rows.lookup_of(row))
        except ValueError:
            unfit += 1
    for _, same in groupby(called, itemgetter(1)):
        try:
            calls.append(_heard(list(same)))
        except ValueError:
            unfit += 1
    return OfNumber(lookups, calls, unfit)


def _heard(same: list[rows.Row]) -> Heard:
    """Of a call's rows, one for each result, or one without. Raises `ValueError`."""
    _, *first = same[0]
    call = msgspec.convert(first[:4], _Call)
    told = [msgspec.json.decode(text, type=_From) for text in first[4:6] if text]
    results = [msgspec.convert(row[7:], LoggedResult) for row in same if row[7] is not None]
    cached = frozenset(one.provider for one in told if one.cache is not CacheState.MISS)
    return Heard(call.at, call.country, call.type, cached, tuple(results))
