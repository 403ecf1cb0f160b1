"""The call log as calls see it: a bounded queue, written behind by a thread of its own. Whatever befalls the disk, no call waits.

Alarms, each at most every five minutes: call_log_failing, call_log_corrupt, and call_log_dropped for rows that are left out.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from agi_lookup.cache.base import Count, OnAlarm
from agi_lookup.cache.sqlite.file import is_corruption
from agi_lookup.calls import file
from agi_lookup.calls.file import CallFile, Reported, Row
from agi_lookup.calls.options import CallLogOptions
from agi_lookup.calls.records import CallRecord, LoggedCall, lookup_of
from agi_lookup.domain.errors import CacheError
from agi_lookup.domain.model import CallResult, LookupAnswer, Number

OK: Final = "ok"
MAX_WAITING: Final = 10_000
"""A minute of 160 calls/s; 20 MB."""
BATCH_ROWS: Final = 500
WRITE_S: Final = 0.25
LAST_PAUSE_S: Final = 5.0
PURGE_EVERY_S: Final = 10.0
PURGE_SLICES: Final = 20
REPLACE_EVERY_S: Final = 60.0
"""A disk that damages every new file gets one a minute."""
ALARM_EVERY_S: Final = 300.0
CLOSE_S: Final = 2.0
FORGET_S: Final = 5.0
TROUBLE: Final = (sqlite3.OperationalError, OSError, CacheError)
"""What may be over the next time; all else is the batch's fault."""


class CallLog:
    """`state` is "ok" or why nothing is written. To be closed: its thread outlives the event loop."""

    def __init__(
        self,
        path: Path,
        options: CallLogOptions,
        *,
        on_alarm: OnAlarm,
        count: Count,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Never fails. `on_alarm` and `count` are called in any thread."""
        self.state = "not open yet"
        self._path = path
        self._file = CallFile(path, options)
        self._on_alarm = on_alarm
        self._count = count
        self._clock = clock
        self._waiting: deque[Row] = deque()
        self._forgets: deque[tuple[str, Future[int]]] = deque()
        self._batch: list[Row] = []
        self._dropped = 0
        self._pause_s = WRITE_S
        self._purge_at = 0.0
        self._replace_again_at = 0.0
        self._told_until: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="calls", daemon=True)
        self._thread.start()

    def decided(self, record: CallRecord) -> None:
        """Never waits and never raises."""
        self._put(record)

    def result(self, result: CallResult, channel: str) -> None:
        """Of the call that was decided for this channel last. Never waits and never raises."""
        self._put(Reported(self._clock(), channel, result))

    def asked(
        self, number: Number, source: str, result: str, seconds: float, in_time: bool, answer: LookupAnswer | None
    ) -> None:
        """A source is done with a number: `lookup.chain.Note`. Never waits and never raises."""
        self._put(lookup_of(number, source, result, seconds, in_time, answer, now=self._clock()))

    def recent(self, count: int) -> list[LoggedCall]:
        """The newest first, but for the last quarter of a second. Reads the disk; raises one of `TROUBLE`, or `sqlite3.Error`."""
        return file.recent(self._path, count)

    def read(self, since: float) -> Iterator[LoggedCall]:
        """All since then, in order. Reads the disk as it goes; raises like `recent`."""
        return (call for call in file.read(self._path, since) if call is not None)

    def forget(self, number: str) -> int:
        """Erase the calls to an E.164 number, those that wait too; returns how many there were. Waits for the disk.

        Raises `CacheError` while it still has to be done; it is tried until it is.
        """
        done: Future[int] = Future()
        self._forgets.append((number, done))
        try:
            return done.result(FORGET_S)
        except TimeoutError:
            raise CacheError(f"call log: {self.state}; the number is erased when that is over") from None

    def close(self) -> None:
        """Write what waits, for 2 s at most."""
        self._stop.set()
        self._thread.join(CLOSE_S)

    def _put(self, one: Row) -> None:
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(one)
        else:
            self._drop(1)

    def _drop(self, rows: int) -> None:
        self._dropped += rows
        for _ in range(rows):
            self._count("call_log_dropped")

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s):
            self._work()
        self._work()
        self._file.close()

    def _work(self) -> None:
        try:
            if not self._file.is_open:
                self._file.open()
            to_forget = len(self._forgets)
            self._write(len(self._waiting))
            self._forget(to_forget)
            self._purge()
        except Exception as error:  # noqa: BLE001 - counted and told; not even a bug may end the thread
            self._failed(error)
        else:
            self.state = OK
            self._pause_s = WRITE_S
        if self._dropped:
            self._tell("call_log_dropped", f"{self._dropped} rows were left out since the start")

    def _write(self, rows: int) -> None:
        """At least so many."""
        while rows > 0 or self._batch:
            while self._waiting and len(self._batch) < BATCH_ROWS:
                self._batch.append(self._waiting.popleft())
                rows -= 1
            self._drop(self._file.write(self._batch))
            self._batch.clear()

    def _forget(self, numbers: int) -> None:
        """Those that were asked for before the last writing, so that nothing of them comes behind it."""
        for _ in range(numbers):
            number, done = self._forgets[0]
            gone = self._file.forget(number)
            self._forgets.popleft()
            done.set_result(gone)

    def _purge(self) -> None:
        """At most 10,000 calls every 10 s, so that a clock that jumps a year cannot empty the log before it is set right."""
        if time.monotonic() < self._purge_at:
            return
        self._purge_at = time.monotonic() + PURGE_EVERY_S
        for _ in range(PURGE_SLICES):
            if not self._file.purge(self._clock()):
                break

    def _failed(self, error: Exception) -> None:
        self.state = str(error) or type(error).__name__
        self._count("call_log_failed")
        if is_corruption(error):
            self._replace()
        elif not isinstance(error, TROUBLE):
            self.state = type(error).__name__  # its text may hold a number
            self._drop(len(self._batch))
            self._batch.clear()
        self._tell("call_log_failing", self.state)
        self._pause_s = min(2 * self._pause_s, LAST_PAUSE_S)

    def _replace(self) -> None:
        if time.monotonic() < self._replace_again_at:
            return
        self._replace_again_at = time.monotonic() + REPLACE_EVERY_S
        try:
            aside = self._file.put_aside(self._clock())
        except OSError:
            self._count("call_log_failed")
        else:
            self._tell(
                "call_log_corrupt", f"{self._path.name} is damaged: kept as {aside.name}, a new one takes its place"
            )

    def _tell(self, code: str, detail: str) -> None:
        now = time.monotonic()
        if now >= self._told_until.get(code, 0.0):
            self._told_until[code] = now + ALARM_EVERY_S
            self._on_alarm(code, detail)
