"""What the call log keeps of one number, for whom the number belongs to. Reads the disk; from any process at any time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from agi_lookup.cache.sqlite import file
from agi_lookup.calls.shape import SHAPE
from agi_lookup.keyed import keyed

HASHES: Final = {"number_hash", "caller_hash"}


def of_number(path: Path, number: str) -> dict[str, list[dict[str, Any]]]:
    """`calls`, each with its `results`, and `lookups`: of an E.164 number, the oldest first.

    Raises like `calls.file.read`. Without the key no hash is anybody's any more.
    """
    key = path.with_suffix(".key")
    hashed = keyed(key.read_bytes(), number) if key.exists() else b""
    with closing(file.open_reader(path, SHAPE)) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute(
            "SELECT * FROM call WHERE number_hash = ? OR number = ? ORDER BY id", (hashed, number)
        ).fetchall()
        calls = [_plain(row) | {"results": _results(connection, row["id"])} for row in found]
        lookups = connection.execute("SELECT * FROM lookup WHERE number_hash = ? ORDER BY id", (hashed,)).fetchall()
    return {"calls": calls, "lookups": [_plain(row) for row in lookups]}


def _results(connection: sqlite3.Connection, call: int) -> list[dict[str, Any]]:
    rows: Iterable[sqlite3.Row] = connection.execute("SELECT * FROM result WHERE call = ? ORDER BY id", (call,))
    return [_plain(row) for row in rows]


def _plain(row: sqlite3.Row) -> dict[str, Any]:
    return {name: row[name] for name in row.keys() if name not in HASHES}  # noqa: SIM118 - iterating a Row gives values
