"""B7, C6, G5: `kill -9` between intent, sending and answer, a hundred times on end over one ledger and one bill."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import IO, Final

import pytest

from agi_lookup.keyed import keyed
from agi_lookup.lookup.caps import DAY_S
from agi_lookup.lookup.ledger_file import LEDGER_FILE
from tests.lookup.killed import CAP
from tests.lookup.money import TODAY

KILLS: Final = 1000 if os.environ.get("SOAK") else 100
ROOT: Final = Path(__file__).parents[2]

Row = tuple[str | None, int, int]
"""Word of the outcome, amount in millionths, day."""


class Spender:
    """Starts processes that spend, and kills each at a random moment."""

    def __init__(self, folder: Path) -> None:
        self.ledger = folder / "state" / LEDGER_FILE
        self.bill = folder / "bill"
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.lookup.killed"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, day: int, first: int, workers: int, draw: random.Random) -> None:
        """Killed after it is ready, and sometimes before."""
        self._write(f"{self.ledger} {self.bill} {day} {first} {workers}\n")
        pid = int(self._line())
        if draw.random() < 0.8:
            assert self._line() == "ready"
        time.sleep(draw.uniform(0, 0.04))
        os.kill(pid, signal.SIGKILL)
        while self._line() != "gone":
            pass

    def end(self) -> None:
        self._pipe(self._zygote.stdin).close()
        self._pipe(self._zygote.stdout).close()
        self._zygote.wait(10)

    def billed(self) -> dict[str, int]:
        """The vendor's word: numbers and their days."""
        lines = [line.split() for line in self.bill.read_text().splitlines()] if self.bill.exists() else []
        assert len({number for _, number in lines}) == len(lines)
        return {number: int(int(at) // DAY_S) for at, number in lines}

    def booked(self) -> dict[bytes, Row]:
        """Our word, by keyed number."""
        if not self.ledger.exists():
            return {}
        with closing(sqlite3.connect(self.ledger)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            rows = connection.execute(
                "SELECT number, word, ifnull(charged, reserved), id >> 32 FROM intent LEFT JOIN outcome USING (id)"
            ).fetchall()
        assert len({number for number, *_ in rows}) == len(rows)
        return {number: (word, amount, day) for number, word, amount, day in rows}

    def keyed(self, number: str) -> bytes:
        return keyed(self.ledger.with_suffix(".key").read_bytes(), number)

    def _write(self, line: str) -> None:
        pipe = self._pipe(self._zygote.stdin)
        pipe.write(line)
        pipe.flush()

    def _line(self) -> str:
        line = self._pipe(self._zygote.stdout).readline()
        assert line, "the process that forks has ended"
        return line.strip()

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


@pytest.mark.timeout(1200 if KILLS > 100 else 120)
@pytest.mark.parametrize("workers", [1, 4])
def test_the_bill_is_the_ledger_but_for_what_a_crash_left_open(tmp_path: Path, workers: int) -> None:
    """B7: at most one unknown outcome a crash and request under way; no cap overshot, neither on the bill nor in the ledger."""
    draw, spender = random.Random(workers), Spender(tmp_path)
    seen: set[str] = set()
    day = 0
    try:
        for kill in range(KILLS):
            spender.run(day, kill * 10_000, workers, draw)
            billed, booked = spender.billed(), spender.booked()

            new = {spender.keyed(number): when for number, when in billed.items() if number not in seen}
            assert all(booked[number][2] == when for number, when in new.items()), "billed, and never intended"
            seen |= billed.keys()
            assert max(Counter(billed.values()).values(), default=0) <= CAP
            assert max(spent(booked).values(), default=0) <= CAP
            day += spent(booked)[TODAY + day] == CAP
    finally:
        spender.end()
    assert day >= 2, "the cap was hardly ever reached: the test is too short"
    check(spender.booked(), {spender.keyed(number) for number in billed}, workers)


def spent(booked: dict[bytes, Row]) -> Counter[int]:
    """By day."""
    days: Counter[int] = Counter()
    for _, amount, day in booked.values():
        days[day] += amount // 1_000_000
    return days


def check(booked: dict[bytes, Row], billed: set[bytes], workers: int) -> None:
    """What the ledger calls answered was billed, what it calls released was not, and little is left open."""
    words: dict[str | None, set[bytes]] = {word: set() for word in ("answer", "released", None)}
    for number, (word, _, _) in booked.items():
        words[word].add(number)
    assert words["answer"] <= billed
    assert not words["released"] & billed
    assert billed <= words["answer"] | words[None]
    assert 0 < len(words[None]) <= KILLS * workers
