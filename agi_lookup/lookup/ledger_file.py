"""The ledger on disk: SQLite, only ever added to. Plain `sqlite3`, for one thread; `lookup.ledger` gives it one.

`intent` is written before a request, `outcome` after it; an intent without an outcome counts as spent. Triggers refuse every change
of a row, and every deletion but one: the rows of a day may go once `total` holds their sums. A commit survives `kill -9`
(`synchronous = NORMAL`); a power cut can take what the kernel had not written yet, some seconds at the most.
Numbers and callers stand as keyed hashes (`agi_lookup.keyed`); the key is in `NAME.key` beside the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any, Final

from agi_lookup.cache.sqlite import file
from agi_lookup.cache.sqlite.lock import WriterLock
from agi_lookup.cache.sqlite.rows import many
from agi_lookup.domain.errors import CacheError
from agi_lookup.keyed import key_of, keyed
from agi_lookup.lookup.budget import DAY_SHIFT, RELEASED, Outcome, Recent, Reservation, Snapshot, Spent
from agi_lookup.lookup.caps import DAY_S

LEDGER_FILE: Final = "ledger.sqlite"
MICRO: Final = 1_000_000
ROLL_ROWS: Final = 5000
"""Rows that leave in one transaction, so that a booking never waits long behind it."""

_TABLES: Final = {
    "intent": """CREATE TABLE intent (
  id INTEGER PRIMARY KEY, -- day since 1970 << 32 | serial number
  request INTEGER NOT NULL, -- id of the first number of the same request; all are released, or none
  at REAL NOT NULL, -- Unix seconds
  provider TEXT NOT NULL,
  profile TEXT NOT NULL,
  number BLOB NOT NULL, -- keyed hash
  caller BLOB, -- keyed hash
  currency TEXT NOT NULL,
  reserved INTEGER NOT NULL -- millionths
)""",
    "outcome": """CREATE TABLE outcome (
  id INTEGER PRIMARY KEY,
  at REAL NOT NULL,
  charged INTEGER NOT NULL, -- millionths
  word TEXT NOT NULL,
  unknown INTEGER NOT NULL -- 1: charged in full because nobody knows
)""",
    "price": """CREATE TABLE price (
  provider TEXT NOT NULL,
  currency TEXT NOT NULL,
  amount INTEGER NOT NULL, -- millionths: no number has cost as much before
  at REAL NOT NULL, -- last: SQLite 3.40 finds fault with tables whose key does not come first
  PRIMARY KEY (provider, currency, amount)
) WITHOUT ROWID""",
    "total": """CREATE TABLE total (
  day INTEGER NOT NULL, -- since 1970
  provider TEXT NOT NULL,
  profile TEXT NOT NULL,
  currency TEXT NOT NULL,
  requests INTEGER NOT NULL,
  numbers INTEGER NOT NULL,
  charged INTEGER NOT NULL, -- millionths
  unknown INTEGER NOT NULL, -- numbers
  PRIMARY KEY (day, provider, profile, currency)
) WITHOUT ROWID""",
}
_TOTALLED: Final = f"EXISTS (SELECT 1 FROM total WHERE day = OLD.id >> {DAY_SHIFT})"  # noqa: S608
_KEPT: Final = "SELECT RAISE(ABORT, 'the ledger is only added to')"


def _guard(table: str, name: str, on: str, when: str = "1") -> tuple[str, str]:
    """What must not be done to a table, unless `when` is false."""
    name = f"{table}_{name}"
    return name, f"CREATE TRIGGER {name} BEFORE {on} ON {table} WHEN {when} BEGIN {_KEPT}; END"


_TRIGGERS: Final = dict(
    [
        *(_guard(table, "stays", "UPDATE") for table in _TABLES),
        *(_guard(table, "is_kept", "DELETE") for table in ("price", "total")),
        *(_guard(table, "is_kept", "DELETE", f"NOT {_TOTALLED}") for table in ("intent", "outcome")),
        _guard("intent", "is_once", "INSERT", "EXISTS (SELECT 1 FROM intent WHERE id = NEW.id)"),
        _guard("outcome", "is_once", "INSERT", "EXISTS (SELECT 1 FROM outcome WHERE id = NEW.id)"),
    ]
)
SHAPE: Final = file.Shape(
    application_id=0x4147494D,  # "AGIM"
    version=1,
    schema={**_TABLES, **_TRIGGERS},
    ends=(
        "SELECT * FROM intent ORDER BY id LIMIT 1",
        "SELECT * FROM intent ORDER BY id DESC LIMIT 1",
        "SELECT * FROM outcome ORDER BY id LIMIT 1",
        "SELECT * FROM outcome ORDER BY id DESC LIMIT 1",
    ),
)

_INTEND: Final = "INSERT INTO intent VALUES {rows}"
_SETTLE: Final = """INSERT INTO outcome SELECT * FROM (VALUES {rows})
WHERE EXISTS (SELECT 1 FROM intent WHERE id = column1) AND NOT EXISTS (SELECT 1 FROM outcome WHERE id = column1)"""
_DEARER: Final = "INSERT OR IGNORE INTO price SELECT provider, currency, ?3, ?2 FROM intent WHERE id = ?1"
_BOOKED: Final = "FROM intent LEFT JOIN outcome USING (id) WHERE id >= ? AND id < ? GROUP BY"
_SUMS: Final = f"""SELECT id >> {DAY_SHIFT} AS day, provider, profile, currency,
sum(id = request AND word IS NOT '{RELEASED}'), sum(word IS NOT '{RELEASED}'),
sum(ifnull(charged, reserved)), sum(ifnull(unknown, 1)) {_BOOKED} day, provider, profile, currency"""
_SPENT: Final = f"""SELECT provider, profile, currency, sum(ifnull(charged, reserved)), max(ifnull(charged, 0))
{_BOOKED} provider, profile, currency"""
_RECENT: Final = """SELECT intent.at, provider, profile, caller, currency, ifnull(charged, reserved)
FROM intent LEFT JOIN outcome USING (id) WHERE id >= ? ORDER BY id DESC"""
_OF_NUMBER: Final = """SELECT intent.at, provider, profile, currency, reserved, charged, word
FROM intent LEFT JOIN outcome USING (id) WHERE number = ? ORDER BY id"""
_DEAREST: Final = "SELECT provider, currency, max(amount) FROM price GROUP BY provider, currency"
FOREVER: Final = 2**62


@dataclass(frozen=True, slots=True)
class Line:
    """What was spent in a day. `unknown` counts numbers whose outcome is not known: lost, or still under way."""

    day: int  # since 1970
    provider: str
    profile: str
    currency: str
    requests: int
    numbers: int
    charged: Decimal
    unknown: int


class LedgerFile:
    """One process's hold on the ledger, from `open` to `close`: another one is refused meanwhile."""

    def __init__(self, path: Path, *, server: bool) -> None:
        self._path = path
        self._lock = WriterLock(path, for_life=server)
        self._connection: sqlite3.Connection | None = None
        self._key = b""

    def open(self, memory_s: float) -> tuple[bytes, Snapshot]:
        """The key of the hashes, and what counts. Raises one of `cache.sqlite.writer.TROUBLE`."""
        self._drop()
        self._lock.acquire()
        self._key = key_of(self._path.with_suffix(".key"))
        if not self._path.exists():
            _make(self._path)
        self._connection = file.open_writer(self._path, SHAPE)
        return self._key, snapshot(self._connection, memory_s)

    def append(self, requests: Sequence[Sequence[Reservation]], outcomes: Sequence[Outcome]) -> None:
        """All or nothing, durable on return. Raises one of `TROUBLE`; then it has to be opened again.

        An outcome may come twice, after a failure that was none; one without its intent is left out.
        """
        with self._transaction() as connection:
            intents = [self._row(r, request[0].id) for request in requests for r in request]
            ends = [(o.id, o.at, _micro(o.charged), o.word, o.unknown) for o in outcomes]
            for statement, values in chain(many(_INTEND, intents), many(_SETTLE, ends)):
                connection.execute(statement, values)
            connection.executemany(_DEARER, ((o.id, o.at, _micro(o.charged)) for o in outcomes if o.dearest))

    def roll(self, before_day: int) -> bool:
        """A slice of what is older becomes totals; is there more? Raises like `append`."""
        with self._transaction() as connection:
            (oldest,) = connection.execute("SELECT min(id) FROM intent").fetchone()
            if oldest is None or oldest >> DAY_SHIFT >= before_day:
                return False
            day = oldest >> DAY_SHIFT
            start, end = day << DAY_SHIFT, (day + 1) << DAY_SHIFT
            if connection.execute("SELECT 1 FROM total WHERE day = ?", (day,)).fetchone() is None:
                connection.execute(f"INSERT INTO total {_SUMS}", (start, end))
            slice_ = "SELECT id FROM intent WHERE id < ? ORDER BY id LIMIT 1 OFFSET ?"
            (end,) = connection.execute(slice_, (end, ROLL_ROWS)).fetchone() or (end,)
            connection.execute("DELETE FROM outcome WHERE id < ?", (end,))
            connection.execute("DELETE FROM intent WHERE id < ?", (end,))
        return True

    def close(self) -> None:
        self._drop()
        self._lock.release()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._connection is None:
            raise CacheError("the ledger is not open")
        try:
            with self._connection:
                yield self._connection
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _row(self, reservation: Reservation, request: int) -> tuple[Any, ...]:
        r = reservation
        number = keyed(self._key, r.number)
        return (r.id, request, r.at, r.provider, r.profile, number, r.caller, r.currency, _micro(r.amount))


def read(path: Path, from_day: int, memory_s: float) -> tuple[Snapshot, list[Line]]:
    """What counts now, and every day since `from_day` (since 1970). For any process at any time; raises one of `TROUBLE`."""
    with closing(file.open_reader(path, SHAPE)) as connection:
        return snapshot(connection, memory_s), list(_lines(connection, from_day))


def of_number(path: Path, number: str) -> list[dict[str, Any]]:
    """What was booked for an E.164 number, the oldest first. Looks at every row; raises one of `TROUBLE`."""
    key = path.with_suffix(".key")
    if not key.exists():
        return []  # no hash is anybody's any more
    hashed = keyed(key.read_bytes(), number)
    with closing(file.open_reader(path, SHAPE)) as connection:
        rows = connection.execute(_OF_NUMBER, (hashed,)).fetchall()
    names = ("at", "provider", "profile", "currency", "reserved", "charged", "outcome")
    return [dict(zip(names, (*row[:4], *map(_plain, row[4:6]), row[6]), strict=True)) for row in rows]


def _plain(micro: int | None) -> str | None:
    return None if micro is None else str(_amount(micro))


def snapshot(connection: sqlite3.Connection, memory_s: float) -> Snapshot:
    last_id, last_at = _last(connection)
    day = last_id >> DAY_SHIFT
    spent = connection.execute(_SPENT, (day << DAY_SHIFT, FOREVER)).fetchall()
    prices = connection.execute(_DEAREST).fetchall()
    return Snapshot(
        last_id=last_id,
        last_at=last_at,
        spent=tuple(
            Spent(provider, profile, currency, _amount(charged), _amount(most))
            for provider, profile, currency, charged, most in spent
        ),
        recent=tuple(_recent(connection, last_id, last_at - memory_s)) if memory_s else (),
        dearest={(provider, currency): _amount(amount) for provider, currency, amount in prices},
    )


def _last(connection: sqlite3.Connection) -> tuple[int, float]:
    """The highest id that was ever given, and when."""
    last = connection.execute("SELECT id, at FROM intent ORDER BY id DESC LIMIT 1").fetchone()
    if last is not None:
        return int(last[0]), float(last[1])
    (rolled,) = connection.execute("SELECT max(day) FROM total").fetchone()
    return (0, 0.0) if rolled is None else ((rolled + 1 << DAY_SHIFT) - 1, float(rolled * DAY_S))


def _recent(connection: sqlite3.Connection, last_id: int, since: float) -> list[Recent]:
    """Windows are an hour at most: they reach into yesterday, not beyond."""
    found = []
    for at, provider, profile, caller, currency, amount in connection.execute(
        _RECENT, ((last_id >> DAY_SHIFT) - 1 << DAY_SHIFT,)
    ):
        if at < since:
            break
        found.append(Recent(at, provider, profile, caller, currency, _amount(amount)))
    return found[::-1]


def _lines(connection: sqlite3.Connection, from_day: int) -> Iterator[Line]:
    (rolled,) = connection.execute("SELECT ifnull(max(day), -1) FROM total").fetchone()
    rows = connection.execute("SELECT * FROM total WHERE day >= ?", (from_day,)).fetchall()
    rows += connection.execute(_SUMS, (max(from_day, rolled + 1) << DAY_SHIFT, FOREVER)).fetchall()
    for day, provider, profile, currency, requests, numbers, charged, unknown in rows:
        if numbers:
            yield Line(day, provider, profile, currency, requests, numbers, _amount(charged), unknown)


def _micro(amount: Decimal) -> int:
    return int(amount * MICRO)


def _amount(micro: int) -> Decimal:
    return Decimal(micro) / MICRO


def _make(path: Path) -> None:
    """Under another name first: an empty file in its place is damage, not a start that was killed."""
    new = path.with_name(f"{path.name}.new")
    for part in file.parts(new):
        part.unlink()
    file.open_writer(new, SHAPE).close()
    new.rename(path)
