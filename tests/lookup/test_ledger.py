"""The purse: what is reserved is booked before it is sent, what was booked is never forgotten, and no disk stops a call."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path
from typing import Protocol

import pytest

from agi_lookup.domain.errors import CacheError, ProviderNotBooked, ProviderOverBudget, ProviderTimeout
from agi_lookup.keyed import keyed
from agi_lookup.lookup import ledger, ledger_file
from agi_lookup.lookup.budget import DAY_SHIFT, Outcome, Payer, Reservation, Snapshot, Spent, Tariff
from agi_lookup.lookup.caps import DAY_S, BudgetOptions
from agi_lookup.lookup.ledger import HOLD_S, Calendar, Purse
from agi_lookup.lookup.ledger_file import LEDGER_FILE, LedgerFile, read
from tests.cache.conftest import until
from tests.fakes import Clock
from tests.lookup.money import CALLER, CREDITS, NOW, NUMBER, TODAY, Alarms, answer, opened, options, per_day

PAYER = Payer("default", CALLER)
NO_CAPS = BudgetOptions()


class OpenPurse(Protocol):
    def __call__(self, said: BudgetOptions = ..., path: Path = ...) -> Awaitable[Purse]: ...


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / LEDGER_FILE


@pytest.fixture
def alarms() -> Alarms:
    return Alarms()


@pytest.fixture
async def open_purse(path: Path, alarms: Alarms) -> AsyncIterator[OpenPurse]:
    """Opens purses, and closes them in the end; their threads must end with them."""
    purses: list[Purse] = []
    default = path

    async def open_(said: BudgetOptions = NO_CAPS, path: Path = default) -> Purse:
        purses.append(await opened(path, said, alarms))
        return purses[-1]

    yield open_
    for purse in purses:
        await purse.close()
    await until(lambda: not [t for t in threading.enumerate() if t.name.startswith("ledger")])


class Scripted:
    """A book in memory; `trouble` is raised by whatever is called next, `gate` holds the thread."""

    def __init__(self) -> None:
        self.trouble: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.appended: list[list[Reservation]] = []
        self.outcomes: list[Outcome] = []
        self.rolls: list[bool | Exception] = []
        self.snapshot = Snapshot()

    def open(self, memory_s: float) -> tuple[bytes, Snapshot]:
        self._fail()
        return b"k" * 32, self.snapshot

    def append(self, requests: Sequence[Sequence[Reservation]], outcomes: Sequence[Outcome]) -> None:
        self.gate.wait()
        self._fail()
        self.appended.append([reservation for request in requests for reservation in request])
        self.outcomes += outcomes

    def roll(self, before_day: int) -> bool:
        word = self.rolls.pop(0) if self.rolls else False
        if isinstance(word, Exception):
            raise word
        return word

    def close(self) -> None: ...

    def _fail(self) -> None:
        if self.trouble is not None:
            raise self.trouble


class FakePurse(Protocol):
    def __call__(
        self, book: Scripted, said: BudgetOptions = ..., clock: Callable[[], float] = ...
    ) -> Awaitable[Purse]: ...


@pytest.fixture
async def fake_purse(alarms: Alarms) -> AsyncIterator[FakePurse]:
    """Purses over a scripted book; `clock` is the monotonic one."""
    purses: list[Purse] = []

    async def open_(
        book: Scripted, said: BudgetOptions = NO_CAPS, clock: Callable[[], float] = time.monotonic
    ) -> Purse:
        purse = Purse(book, said, alarms, monotonic=clock)
        purses.append(purse)
        purse.configure(said, CREDITS | {"table": Tariff("")})
        await purse.start()
        return purse

    yield open_
    for purse in purses:
        await purse.close()


async def buy(purse: Purse, cost: str = "1", at: float = NOW) -> None:
    """One number, from the reservation to the charge."""
    reservation = purse.reserve("npl", NUMBER, PAYER, at)
    await purse.intend([reservation])
    purse.settle(reservation, answer(cost))


async def buy_until_refused(purse: Purse) -> int:
    """How many could be bought."""
    for bought in range(10_000):
        try:
            await buy(purse)
        except ProviderNotBooked:
            return bought
    raise AssertionError("never refused")


def booked(path: Path) -> list[tuple[str | None, Decimal]]:
    """Word and amount of all intents on disk, in their order; None while there is no outcome."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT word, ifnull(charged, reserved) FROM intent LEFT JOIN outcome USING (id) ORDER BY id"
        ).fetchall()
    return [(word, Decimal(amount) / 1_000_000) for word, amount in rows]


async def test_an_intent_is_on_disk_before_anything_is_sent(open_purse: OpenPurse, path: Path) -> None:
    purse = await open_purse()
    reservation = purse.reserve("npl", NUMBER, PAYER, NOW)
    assert booked(path) == []

    await purse.intend([reservation])

    assert booked(path) == [(None, Decimal(1))]
    purse.settle(reservation, answer("0.5"))
    await until(lambda: booked(path) == [("answer", Decimal("0.5"))])


async def test_released_and_failed_numbers_are_booked_as_what_they_are(open_purse: OpenPurse, path: Path) -> None:
    purse = await open_purse()
    sent, called_off = ([purse.reserve("npl", NUMBER, PAYER, NOW) for _ in range(2)] for _ in range(2))
    for request in (sent, called_off):
        await purse.intend(request)
    purse.settle(sent[0], ProviderTimeout())
    for number in called_off:
        purse.release(number)
    never_intended = purse.reserve("npl", NUMBER, PAYER, NOW)
    purse.release(never_intended)
    await purse.close()

    one, nothing = Decimal(1), Decimal(0)
    assert booked(path) == [("timeout", one), (None, one), ("released", nothing), ("released", nothing)]
    (line,) = read(path, 0, 0)[1]
    assert (line.requests, line.numbers, line.charged, line.unknown) == (1, 2, Decimal(2), 2)


async def test_a_restart_keeps_every_counter(open_purse: OpenPurse) -> None:
    """B7: what is spent, what has no outcome, the caller's misses, the burst and the price."""
    said = options(
        providers={"npl": {"per_day": {"credits": "20"}, "burst": {"credits": "9", "seconds": 60}}}, misses_per_hour=4
    )
    purse = await open_purse(said)
    await buy(purse, "1.5")
    await buy(purse, "2")
    await purse.intend([purse.reserve("npl", NUMBER, PAYER, NOW)])
    before = purse.standing(NOW)
    await purse.close()

    purse = await open_purse(said)

    assert purse.standing(NOW) == before
    assert [line.spent for line in before] == [Decimal("5.5"), Decimal("5.5")]
    assert purse.reserve("npl", NUMBER, PAYER, NOW).amount == 2
    with pytest.raises(ProviderOverBudget, match="in 60 s"):
        purse.reserve("npl", NUMBER, PAYER, NOW)
    with pytest.raises(ProviderOverBudget, match="misses"):
        purse.reserve("npl", NUMBER, PAYER, NOW + 100)


async def test_a_restart_keeps_windows_as_they_were(open_purse: OpenPurse) -> None:
    said = options(providers={"npl": {"burst": {"credits": "9", "seconds": 60}}})
    purse = await open_purse(said)
    for age in (30, 20, 10):
        await buy(purse, at=NOW - age)
    await purse.close()

    purse = await open_purse(said)

    assert [purse.standing(NOW + later)[0].spent for later in (0, 32, 42, 52)] == [3, 2, 1, 0]


async def test_many_callers_share_one_transaction(fake_purse: FakePurse) -> None:
    book = Scripted()
    purse = await fake_purse(book)

    async def one() -> None:
        await purse.intend([purse.reserve("npl", NUMBER, PAYER, NOW)])

    await asyncio.gather(*(one() for _ in range(500)))

    assert sum(len(rows) for rows in book.appended) == 500
    assert len(book.appended) <= 3


async def test_nothing_readable_of_numbers_and_callers_is_kept(open_purse: OpenPurse, path: Path) -> None:
    """S15, S17."""
    purse = await open_purse()
    await buy(purse)
    await purse.close()

    content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    for secret in (NUMBER, CALLER):
        assert secret[4:].encode() not in content
    assert {oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()} == {"0o600"}
    with closing(sqlite3.connect(path)) as connection:
        row = connection.execute("SELECT number, caller FROM intent").fetchone()
    key = path.with_suffix(".key").read_bytes()
    assert row == (keyed(key, NUMBER), keyed(key, CALLER)), "the same number can be found again, with the key"
    assert keyed(b"another", NUMBER) != row[0]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE intent SET reserved = 0",
        "DELETE FROM intent",
        "INSERT OR REPLACE INTO intent SELECT * FROM intent",
        "UPDATE outcome SET charged = 0",
        "DELETE FROM outcome",
        "REPLACE INTO outcome SELECT id, at, 0, word, 0 FROM outcome",
        "UPDATE price SET amount = 0",
        "DELETE FROM price",
    ],
)
async def test_the_ledger_is_only_added_to(open_purse: OpenPurse, path: Path, change: str) -> None:
    purse = await open_purse()
    await buy(purse)
    await purse.close()

    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError, match="only added to"):
        connection.execute(change)


# The clock

DAY, HOUR = float(DAY_S), 3600.0
Step = tuple[float, float, float]
"""Seconds that really passed since the start, what the clock says on top of them, and the day that counts (0 is the first)."""

TIMELINES: dict[str, list[Step]] = {
    "days pass": [(0, 0, 0), (DAY, 0, 1), (10 * DAY, 0, 10)],
    "set back a day, for good": [(0, 0, 0), (60, -DAY, 0), (0.6 * DAY, -DAY, 1), (1.6 * DAY, -DAY, 2)],
    "set back to 1970 and right again": [(0, 0, 0), (60, -NOW, 0), (120, 0, 0), (0.6 * DAY, 0, 1)],
    "set ahead a year and right again": [
        (0, 0, 0),
        (60, 365 * DAY, 0),
        (0.9 * HOUR, 365 * DAY, 0),
        (HOUR, 0, 0),
        (DAY, 0, 1),
    ],
    "set ahead for good": [
        (0, 0, 0),
        (60, 5 * DAY, 0),
        (0.9 * HOUR, 5 * DAY, 0),
        (2 * HOUR, 5 * DAY, 5),
        (DAY, 5 * DAY, 6),
    ],
    "wrong for long, then right": [(0, 0, 0), (60, 5 * DAY, 0), (2 * HOUR, 5 * DAY, 5), (3 * HOUR, 0, 5), (DAY, 0, 6)],
    "wakes after a weekend": [(0, 0, 0), (60, 3 * DAY, 0), (2 * HOUR, 3 * DAY, 3)],
    "a small step over midnight and back": [(0, 0, 0), (43_190, 20, 1), (43_195, 0, 1), (43_250, 0, 1), (DAY, 0, 1)],
    "ahead, right, ahead: no hour together": [
        (0, 0, 0),
        (60, DAY, 0),
        (HOUR, 0, 0),
        (HOUR + 60, DAY, 0),
        (1.9 * HOUR, DAY, 0),
    ],
}


@pytest.mark.parametrize("timeline", TIMELINES.values(), ids=TIMELINES)
def test_a_clock_that_is_set_gives_no_fresh_budget(timeline: list[Step]) -> None:
    """B7, C16."""
    calendar, boot = Calendar(), 500.0
    for passed, wrong, day in timeline:
        at = calendar.at(NOW + passed + wrong, boot + passed)
        assert int(at // DAY_S) - TODAY == day, f"after {passed} s"


def test_however_mad_the_clock_days_pass_no_faster_than_one_an_hour() -> None:
    """C16: clock steps of all sizes, for a week."""
    draw = random.Random(16)
    calendar, passed, days, last = Calendar(), 0.0, set[int](), 0.0
    for _ in range(20_000):
        passed += 30.0
        at = calendar.at(NOW + passed + draw.uniform(-1, 1) * 10 ** draw.randrange(9), passed)
        assert at >= last
        last = at
        days.add(int(at // DAY_S))
    assert len(days) <= passed / HOLD_S + 8


async def test_a_restart_with_a_clock_set_back_goes_on_where_it_was(open_purse: OpenPurse, alarms: Alarms) -> None:
    """B7: a day once spent stays spent."""
    purse = await open_purse(per_day("2"))
    await buy(purse)
    await purse.close()

    purse = await open_purse(per_day("2"))
    await buy(purse, at=NOW - 400 * DAY_S)

    with pytest.raises(ProviderOverBudget):
        purse.reserve("npl", NUMBER, PAYER, NOW - 500 * DAY_S)
    assert "clock_set" in alarms.codes


async def test_where_the_clock_stays_back_days_go_on_as_they_pass(fake_purse: FakePurse) -> None:
    """B7: neither a fresh budget nor none for ever."""
    book, clock = Scripted(), Clock(0.0)
    spent = Spent("npl", "default", "credits", Decimal(1), Decimal(1))
    book.snapshot = Snapshot(last_id=TODAY << DAY_SHIFT | 1, last_at=NOW, spent=(spent,))
    purse = await fake_purse(book, per_day("1"), clock)

    for day in range(2):
        clock.now = day * DAY_S
        if day:
            await buy(purse, at=NOW - 399 * DAY_S)
        with pytest.raises(ProviderOverBudget):
            purse.reserve("npl", NUMBER, PAYER, NOW - (400 - day) * DAY_S)


# The disk


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(ledger, "LAST_PAUSE_S", 0.05)


async def test_what_cannot_be_booked_is_not_sent_until_it_can(fake_purse: FakePurse, alarms: Alarms) -> None:
    """C7, C8."""
    book = Scripted()
    purse = await fake_purse(book, per_day("1"))
    book.trouble = sqlite3.OperationalError("database or disk is full")
    reservation = purse.reserve("npl", NUMBER, PAYER, NOW)

    with pytest.raises(ProviderNotBooked, match="disk is full"):
        await purse.intend([reservation])
    purse.release(reservation)
    with pytest.raises(ProviderNotBooked):
        purse.reserve("npl", NUMBER, PAYER, NOW)
    await purse.intend([purse.reserve("table", NUMBER, PAYER, NOW)])  # what is free goes on
    assert alarms.codes.count("ledger_broken") == 1

    book.trouble = None
    await until(lambda: purse.state == "ok")
    await buy(purse)
    await purse.close()
    assert [outcome.word for outcome in book.outcomes] == ["answer"], "of what was never booked, nothing is"


async def test_what_was_reserved_before_the_disk_failed_is_not_sent_either(fake_purse: FakePurse) -> None:
    book = Scripted()
    purse = await fake_purse(book)
    early, late = (purse.reserve("npl", NUMBER, PAYER, NOW) for _ in range(2))
    book.trouble = OSError(5, "Input/output error")

    for reservation in (early, late):
        with pytest.raises(ProviderNotBooked):
            await purse.intend([reservation])


async def test_spending_on_goes_on_at_once_when_the_disk_fails_in_between(
    fake_purse: FakePurse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "BOOK_S", 1000.0)
    book = Scripted()
    purse = await fake_purse(book, per_day("3", on_disk_failure="spend"))
    book.trouble = OSError(5, "Input/output error")

    for _ in range(3):
        await buy(purse)

    with pytest.raises(ProviderOverBudget):
        purse.reserve("npl", NUMBER, PAYER, NOW)
    assert (book.appended, book.outcomes) == ([], [])


async def test_a_word_that_was_written_after_all_is_not_written_twice(path: Path) -> None:
    """C7: a disk that reports a failure for what it did keeps nobody from the ledger for ever."""
    book = LedgerFile(path, server=True)
    with pytest.raises(CacheError):
        book.append([], [])
    book.open(0)
    request = [Reservation(TODAY << DAY_SHIFT, NOW, "npl", "default", NUMBER, None, "credits", Decimal(1))]
    outcome = Outcome(request[0].id, NOW, Decimal(1), "answer")

    book.append([request], [outcome])
    book.append([], [outcome, Outcome(1, NOW, Decimal(1), "answer")])

    book.close()
    assert booked(path) == [("answer", Decimal(1))]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM outcome").fetchone() == (1,)


async def test_a_roll_that_fails_stops_no_spending_for_long(fake_purse: FakePurse) -> None:
    book = Scripted()
    book.rolls = [OSError(28, "No space left on device"), True, False]
    clock = Clock(0.0)
    purse = await fake_purse(book, clock=clock)
    await until(lambda: purse.state == "ok" and len(book.rolls) == 2)
    await buy(purse)

    clock.now += DAY_S
    await buy(purse, at=NOW + DAY_S)
    await until(lambda: not book.rolls)


async def test_an_outcome_waits_for_the_disk(fake_purse: FakePurse) -> None:
    """C7: paid for already, so it must be known in the end."""
    book = Scripted()
    purse = await fake_purse(book)
    reservation = purse.reserve("npl", NUMBER, PAYER, NOW)
    await purse.intend([reservation])
    book.trouble = OSError(5, "Input/output error")
    purse.settle(reservation, answer("0.5"))
    await until(lambda: purse.state != "ok")

    book.trouble = None
    await until(lambda: bool(book.outcomes))
    assert book.outcomes[0].charged == Decimal("0.5")
    await purse.close()


async def test_a_disk_that_hangs_holds_no_lookup_for_long(
    fake_purse: FakePurse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "BOOK_S", 0.05)
    book = Scripted()
    purse = await fake_purse(book)
    book.gate.clear()
    reservation = purse.reserve("npl", NUMBER, PAYER, NOW)

    with pytest.raises(ProviderNotBooked, match="does not answer"):
        await purse.intend([reservation])
    purse.release(reservation)
    with pytest.raises(ProviderNotBooked):
        purse.reserve("npl", NUMBER, PAYER, NOW)

    book.gate.set()
    await until(lambda: purse.state == "ok" and bool(book.outcomes))
    assert book.outcomes[0].word == "released", "the intent was written in the end, and nothing was sent"
    await purse.close()


async def test_a_pause_of_our_own_loop_is_no_fault_of_the_disk(
    fake_purse: FakePurse, alarms: Alarms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that comes too late to hear in time that the disk has answered."""
    monkeypatch.setattr(ledger, "BOOK_S", 1.0)
    book = Scripted()
    purse = await fake_purse(book)
    book.gate.clear()
    intending = asyncio.ensure_future(purse.intend([purse.reserve("npl", NUMBER, PAYER, NOW)]))
    await asyncio.sleep(0.01)  # it waits for the disk

    book.gate.set()
    time.sleep(1.2)  # the pause

    await intending
    assert (purse.state, alarms.codes) == ("ok", [])


async def test_spending_on_without_a_ledger_is_for_those_who_say_so(fake_purse: FakePurse, alarms: Alarms) -> None:
    book = Scripted()
    book.trouble = sqlite3.DatabaseError("malformed")
    clock = Clock(0.0)
    purse = await fake_purse(book, per_day("3", on_disk_failure="spend"), clock)

    for _ in range(3):
        await buy(purse)

    with pytest.raises(ProviderOverBudget):
        purse.reserve("npl", NUMBER, PAYER, NOW)
    assert [detail for code, detail in alarms.heard if code == "ledger_broken"] == [
        "malformed: lookups are paid for unbooked"
    ]
    book.trouble = None
    await until(lambda: purse.state == "ok")
    with pytest.raises(ProviderOverBudget):
        purse.reserve("npl", NUMBER, PAYER, NOW)
    clock.now += DAY_S
    assert purse.reserve("npl", NUMBER, PAYER, NOW + DAY_S).id > 0
    assert (book.appended, book.outcomes) == ([], [])


async def test_a_second_process_is_refused_until_the_first_has_ended(open_purse: OpenPurse, alarms: Alarms) -> None:
    """B8, C12: even where it may spend on."""
    first = await open_purse(per_day("2"))
    await buy(first)

    second = await open_purse(per_day("2", on_disk_failure="spend"))
    with pytest.raises(ProviderNotBooked, match="another process"):
        second.reserve("npl", NUMBER, PAYER, NOW)
    assert alarms.codes.count("ledger_broken") == 1

    await first.close()
    await until(lambda: second.state == "ok")
    await buy(second)
    with pytest.raises(ProviderOverBudget):
        second.reserve("npl", NUMBER, PAYER, NOW)


def garbage(path: Path) -> None:
    path.write_bytes(b"once upon a time " * 1000)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def without_guards(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER intent_stays")


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [garbage, cut, emptied, newer, without_guards, a_directory])
async def test_a_broken_ledger_is_neither_believed_nor_replaced(
    open_purse: OpenPurse, path: Path, alarms: Alarms, damage: Callable[[Path], None]
) -> None:
    """C10, C11: a new file would be a fresh budget."""
    purse = await open_purse(per_day("2"))
    for _ in range(2):
        await buy(purse)
    await purse.close()
    damage(path)

    purse = await open_purse(per_day("2"))

    with pytest.raises(ProviderNotBooked):
        purse.reserve("npl", NUMBER, PAYER, NOW)
    assert alarms.codes.count("ledger_broken") == 1
    assert path.exists()

    path.rename(path.with_name("aside"))
    await until(lambda: purse.state == "ok")
    await buy(purse)


async def test_a_start_that_was_killed_half_way_is_no_damage(open_purse: OpenPurse, path: Path) -> None:
    path.parent.mkdir()
    for name in (f"{LEDGER_FILE}.new", "ledger.key.new"):
        (path.parent / name).write_bytes(b"half")
    (path.parent / "ledger.key").write_bytes(b"short")

    purse = await open_purse()

    assert purse.state == "ok"
    await buy(purse)


async def test_a_lock_held_elsewhere_stops_spending_and_nothing_else(open_purse: OpenPurse, path: Path) -> None:
    """C9."""
    purse = await open_purse()
    await buy(purse)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ProviderNotBooked):
            await purse.intend([purse.reserve("npl", NUMBER, PAYER, NOW)])
        other.execute("ROLLBACK")

    await until(lambda: purse.state == "ok")
    await buy(purse)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("needs to mount a small tmpfs (root)")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


async def test_a_full_disk_stops_spending_until_there_is_room(open_purse: OpenPurse, small_disk: Path) -> None:
    """C8: and every number that was let through is in the ledger."""
    path = small_disk / LEDGER_FILE
    purse = await open_purse(path=path)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)

    bought = await buy_until_refused(purse)
    ballast.unlink()
    await until(lambda: purse.state == "ok")
    await buy(purse)
    await purse.close()

    assert [word for word, _ in booked(path)].count("answer") == bought + 1


# Growth


async def test_old_days_become_totals_and_their_rows_go(
    open_purse: OpenPurse, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C17, S16."""
    monkeypatch.setattr(ledger_file, "ROLL_ROWS", 3)
    purse = await open_purse(options(keep_days=2))
    for day in range(4):
        at = NOW + day * DAY_S
        purse._calendar.not_before(at, purse._monotonic())
        numbers = [purse.reserve("npl", NUMBER, PAYER, at) for _ in range(5)]
        await purse.intend(numbers)
        for number in numbers[:3]:
            purse.settle(number, answer("0.5"))
        purse.release(numbers[3])
    await until(lambda: booked(path)[-3][0] == "answer")
    before = read(path, 0, 0)[1]
    await until(lambda: len(booked(path)) == 15)

    assert sorted(read(path, 0, 0)[1], key=lambda line: line.day) == before
    assert [(line.day - TODAY, line.requests, line.numbers, line.charged) for line in before[:2]] == [
        (0, 1, 4, Decimal("2.5")),
        (1, 1, 4, Decimal(2)),
    ]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT day FROM total").fetchall() == [(TODAY,)]
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("DELETE FROM intent")


async def test_when_every_row_has_gone_ids_and_prices_still_go_on(
    open_purse: OpenPurse, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_file, "ROLL_ROWS", 1)
    purse = await open_purse(options(keep_days=2))
    for _ in range(3):
        await buy(purse, "3")
    await purse.close()
    before = read(path, 0, 0)[1]
    book = LedgerFile(path, server=True)
    book.open(0)
    while book.roll(TODAY + 100):
        assert read(path, 0, 0)[1] == before, "half rolled, nothing counts twice"
    _, snapshot = book.open(3600)
    book.close()

    assert booked(path) == []
    assert (snapshot.last_id >> DAY_SHIFT, snapshot.last_at) == (TODAY, TODAY * DAY_S)
    purse = await open_purse()
    assert purse.reserve("npl", NUMBER, PAYER, NOW).amount == 3
    await buy(purse, "3")
