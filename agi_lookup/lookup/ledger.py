"""The purse: `lookup.budget` made durable by `lookup.ledger_file`, for one event loop.

Money is reserved in memory; the intent to spend it is on disk before anything is sent; what came of it is written behind, within
`BEHIND_S` or with the next intent. While one transaction is under way, those who come meanwhile wait for the next one together.

One process holds the ledger. Another one is refused every paid lookup until the first has ended: two of them overshoot nothing.
While the ledger cannot be written (disk full, locked, damaged, newer) nothing is paid for either, unless `on_disk_failure` says so.
It is tried again and again; what memory counted stays counted. A damaged file is left as it is: a new one would be a fresh budget.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, Final, Protocol

from agi_lookup.cache.sqlite.lock import OtherWriter
from agi_lookup.domain.errors import ProviderNotBooked
from agi_lookup.keyed import KEY_BYTES, keyed
from agi_lookup.lookup.budget import Budget, OnAlarm, Outcome, Payer, Reservation, Snapshot, Tariff
from agi_lookup.lookup.caps import HOUR_S, BudgetOptions, Lender, Standing
from agi_lookup.providers.base import NumberResult

OK: Final = "ok"
BEHIND_S: Final = 0.1
BUSY_S: Final = 0.01
GATHER_S: Final = 0.008
"""When transactions come close together, each waits a moment for more: its way to the thread and back costs as much as ten rows."""
BOOK_S: Final = 1.0
"""A disk that needs longer has failed: a call waits no longer either."""
BOOK_SLICES: Final = 4
OPEN_S: Final = 5.0
CLOSE_S: Final = 2.0
FIRST_PAUSE_S: Final = 1.0
LAST_PAUSE_S: Final = 30.0
KNOWN_CALLERS: Final = 1024
ALARM_EVERY_S: Final = 300.0
JUMP_S: Final = 300.0
HOLD_S: Final = 3600.0


class Calendar:
    """The wall clock as far as money may trust it: Unix seconds that never go back, and go on when the clock was set back.

    A step ahead of more than `JUMP_S` is believed once it has lasted `HOLD_S`. So a clock that is set wrong and right again gives
    no fresh budget; one that stays wrong, or is wrong at the start, gives one day's.
    """

    def __init__(self) -> None:
        self._ahead_s = 0.0  # of the monotonic clock; only grows
        self._asked = False
        self._jumped_at: float | None = None

    def at(self, wall: float, monotonic: float) -> float:
        ahead_s = wall - monotonic
        if ahead_s - self._ahead_s <= JUMP_S or not self._asked:
            self._ahead_s, self._jumped_at = max(self._ahead_s, ahead_s), None
        elif self._jumped_at is None:
            self._jumped_at = monotonic
        elif monotonic - self._jumped_at >= HOLD_S:
            self._ahead_s, self._jumped_at = ahead_s, None
        self._asked = True
        return self.now(monotonic)

    def now(self, monotonic: float) -> float:
        return monotonic + self._ahead_s

    def not_before(self, at: float, monotonic: float) -> None:
        """It was later than that already, before a restart."""
        self._ahead_s = max(self._ahead_s, at - monotonic)


class Book(Protocol):
    """`ledger_file.LedgerFile`: blocking, called from one thread. Everything may raise."""

    def open(self, memory_s: float) -> tuple[bytes, Snapshot]: ...
    def append(self, requests: Sequence[Sequence[Reservation]], outcomes: Sequence[Outcome]) -> None: ...
    def roll(self, before_day: int) -> bool: ...
    def close(self) -> None: ...


def _cached(key: bytes) -> Callable[[str], bytes]:
    """`keyed`, and the last callers by heart: hashing costs a fifth of all that a reservation does."""
    return lru_cache(KNOWN_CALLERS)(partial(keyed, key))


class Purse:
    """`lookup.link.Purse`. `state` is "ok" or why nothing is booked. To be closed, as its thread outlives the event loop.

    Alarms: budget_low (80 % of a day's cap), budget_reached, price_absurd, caller_over_budget, spending_stopped, clock_set: of each
    cap once a day; ledger_broken: every five minutes while it lasts.
    """

    def __init__(
        self,
        book: Book,
        options: BudgetOptions,
        on_alarm: OnAlarm,
        *,
        lender: Lender | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = "not open yet"
        self._book = book
        self._on_alarm = on_alarm
        self._monotonic = monotonic
        self._budget = Budget(options, on_alarm, lender)
        self._calendar = Calendar()
        self._options = options
        self._keyed = _cached(secrets.token_bytes(KEY_BYTES))
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._intents: list[tuple[Sequence[Reservation], asyncio.Future[None]]] = []
        self._owed: deque[tuple[int, asyncio.Future[None]]] = (
            deque()
        )  # intents, with the slice in which they are overdue
        self._slices = 0
        self._slicer: asyncio.TimerHandle | None = None
        self._outcomes: list[Outcome] = []
        self._booked: set[int] = set()  # ids on their way to the ledger or there, and not settled
        self._task: asyncio.Task[None] | None = None
        self._behind: asyncio.TimerHandle | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._is_open = False
        self._restored = False
        self._shared = False  # another process has the ledger
        self._closed = False
        self._wrote_at = -BUSY_S
        self._pause_s = FIRST_PAUSE_S
        self._quiet_until = 0.0
        self._rolled = -1

    async def start(self) -> None:
        """Open the ledger. Never fails for the disk's sake: then nothing is paid for until it can be opened."""
        self._start()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=OPEN_S)

    def configure(self, options: BudgetOptions, tariffs: Mapping[str, Tariff]) -> None:
        """Take over a config; what is counted stays."""
        self._options = options
        self._budget.configure(options, tariffs, self._calendar.now(self._monotonic()))

    def reserve(self, provider: str, number: str, payer: Payer, now: float) -> Reservation:
        """`now` is Unix seconds. Raises `ProviderOverBudget`, or `ProviderNotBooked` while the ledger is broken."""
        if self.state != OK and not self._budget.is_free(provider):
            self._refuse_unbooked()
        caller = self._keyed(payer.caller) if payer.caller else None
        return self._budget.reserve(provider, payer.profile, number, caller, self._at(now))

    async def intend(self, reservations: Sequence[Reservation]) -> None:
        """The numbers of one request; durable when it returns. Raises `ProviderNotBooked`; then they are to be released."""
        rows = [reservation for reservation in reservations if reservation.id > 0]
        if not rows:
            return
        if self.state != OK:
            self._refuse_unbooked()
            return
        booked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._booked.update(reservation.id for reservation in rows)
        self._intents.append((rows, booked))
        self._start()
        self._expect(booked)
        try:
            await booked
        except TimeoutError:
            self._broken("the disk does not answer")
            self._refuse_unbooked()

    def settle(self, reservation: Reservation, result: NumberResult) -> None:
        """It was sent. A second word on the same reservation changes nothing."""
        self._note(self._budget.settle(reservation, result, self._calendar.now(self._monotonic())))

    def release(self, reservation: Reservation) -> None:
        """It was never sent."""
        self._note(self._budget.release(reservation, self._calendar.now(self._monotonic())))

    def standing(self, now: float) -> list[Standing]:
        """Every cap and what of it is used."""
        return self._budget.standing(self._at(now))

    def spent_today(self, provider: str, now: float) -> Decimal:
        """See `Budget.spent_today`; `now` is Unix seconds."""
        return self._budget.spent_today(provider, self._at(now))

    async def close(self) -> None:
        """Write what waits, for 2 s at most, and let others have the ledger. Once more does nothing."""
        if self._closed:
            return
        self._closed = True
        for timer in (self._behind, self._retry):
            if timer is not None:
                timer.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                if self._task is not None:
                    await asyncio.wait([self._task])
                if self._is_open:
                    await self._work()
                await self._in_thread(self._book.close)
        self._thread.shutdown(wait=False)

    def _at(self, now: float) -> float:
        at = self._calendar.at(now, self._monotonic())
        if abs(at - now) > HOUR_S:
            self._budget.tell("clock_set", "the clock was set", f"it says {now:.0f}, budgets count on from {at:.0f}")
        return at

    def _refuse_unbooked(self) -> None:
        """Raises `ProviderNotBooked` unless the config says to spend on. Where another process spends, ours never does."""
        if not self._spends_on:
            raise ProviderNotBooked(self.state)

    @property
    def _spends_on(self) -> bool:
        return self._options.on_disk_failure == "spend" and not self._shared

    def _note(self, outcome: Outcome | None) -> None:
        """Of what never went to the ledger, it need not hear."""
        if outcome is None or outcome.id not in self._booked:
            return
        self._booked.discard(outcome.id)
        self._outcomes.append(outcome)
        if self._task is None and self._behind is None and not self._closed:
            self._behind = asyncio.get_running_loop().call_later(BEHIND_S, self._start)

    def _expect(self, booked: asyncio.Future[None]) -> None:
        """Within `BOOK_S`, counted in slices: after a pause of our own loop, which the disk must not answer for, there is one more.

        One timer for all who wait: in uvloop it is the dearest part of waiting.
        """
        self._owed.append((self._slices + BOOK_SLICES, booked))
        if self._slicer is None:
            self._slicer = asyncio.get_running_loop().call_later(BOOK_S / BOOK_SLICES, self._slice)

    def _slice(self) -> None:
        self._slices += 1
        while self._owed and (self._owed[0][1].done() or self._owed[0][0] < self._slices):
            _, booked = self._owed.popleft()
            if not booked.done():
                booked.set_exception(TimeoutError())
        self._slicer = None
        if self._owed:
            self._slicer = asyncio.get_running_loop().call_later(BOOK_S / BOOK_SLICES, self._slice)

    def _start(self) -> None:
        if self._behind is not None:
            self._behind.cancel()
            self._behind = None
        if self._task is None and self._retry is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._work())

    def _try_again(self) -> None:
        self._retry = None
        self._start()

    async def _work(self) -> None:
        """Open where that is needed, and write until nothing waits."""
        try:
            if not self._is_open:
                self._opened(*await self._in_thread(self._book.open, self._options.memory_s))
            while True:
                if self._intents or self._outcomes:
                    if self._monotonic() - self._wrote_at < BUSY_S and not self._closed:
                        await asyncio.sleep(GATHER_S)
                    await self._write()
                    self._wrote_at = self._monotonic()
                elif self._rolled != self._budget.day and not self._closed:
                    await self._roll(self._budget.day)
                else:
                    break
        except Exception as error:  # noqa: BLE001 - told; not even a bug may leave the waiting without an answer
            self._failed(error)
        finally:
            self._task = None

    def _opened(self, key: bytes, snapshot: Snapshot) -> None:
        self._keyed = _cached(key)
        if not self._restored:
            self._restored = True
            self._budget.restore(snapshot)
            self._calendar.not_before(snapshot.last_at, self._monotonic())
        self._is_open = True
        self.state = OK

    async def _write(self) -> None:
        intents, self._intents = self._intents, []
        outcomes, self._outcomes = self._outcomes, []
        try:
            await self._in_thread(self._book.append, [rows for rows, _ in intents], outcomes)
        except Exception:
            self._intents[:0], self._outcomes[:0] = intents, outcomes
            raise
        self.state = OK
        self._pause_s = FIRST_PAUSE_S
        for _, booked in intents:
            if not booked.done():
                booked.set_result(None)

    async def _roll(self, day: int) -> None:
        """One slice, so that whoever comes meanwhile waits for no more."""
        self._rolled = day  # when it fails, not again before tomorrow: spending goes on without
        if await self._in_thread(self._book.roll, day - self._options.keep_days):
            self._rolled = -1

    async def _in_thread(self, run: Callable[..., Any], *args: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, run, *args)

    def _failed(self, error: Exception) -> None:
        """Outcomes wait for the next try. Intents do not: whoever waits goes on without a lookup, or unbooked."""
        self._is_open = False
        self._shared = isinstance(error, OtherWriter)
        why = str(error) or type(error).__name__
        self._broken(why)
        intents, self._intents = self._intents, []
        for rows, booked in intents:
            self._booked.difference_update(reservation.id for reservation in rows)
            if not booked.done() and self._spends_on:
                booked.set_result(None)
            elif not booked.done():
                booked.set_exception(ProviderNotBooked(why))
        if not self._closed:
            self._retry = asyncio.get_running_loop().call_later(self._pause_s, self._try_again)
            self._pause_s = min(2 * self._pause_s, LAST_PAUSE_S)

    def _broken(self, why: str) -> None:
        self.state = why
        if self._monotonic() >= self._quiet_until:
            self._quiet_until = self._monotonic() + ALARM_EVERY_S
            self._on_alarm(
                "ledger_broken", f"{why}: lookups are {'paid for unbooked' if self._spends_on else 'not paid for'}"
            )
