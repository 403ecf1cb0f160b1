"""Many rows in one statement: each lands once, in order, however many there are."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from agi_lookup.cache.sqlite.rows import MAX_ROWS, many


@pytest.mark.parametrize("count", [0, 1, 2, MAX_ROWS - 1, MAX_ROWS, MAX_ROWS + 1, 3 * MAX_ROWS])
def test_every_row_is_written_once_in_as_few_statements_as_can_be(count: int) -> None:
    rows = [(n, f"text {n}", None) for n in range(count)]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a, b, c)")
        statements = list(many("INSERT INTO t VALUES {rows}", rows))
        for statement, values in statements:
            connection.execute(statement, values)

        assert connection.execute("SELECT * FROM t ORDER BY rowid").fetchall() == rows
        assert len(statements) == -(-count // MAX_ROWS)
