"""`kill -9` at random moments: the file opens, is sound, and holds what was promised."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Final

import pytest

from agi_lookup.cache.sqlite.behind import BATCH_S
from tests.cache.conftest import OpenTier
from tests.cache.entries import numbers
from tests.cache.killed import ROUND_S, write_until_killed

KILLS: Final = 500 if os.environ.get("SOAK") else 25
MARGIN_S: Final = 2.0
"""What a machine that is busy with other tests may need on top of the promised 250 ms."""
ROUNDS: Final = int((BATCH_S + MARGIN_S) / ROUND_S)
"""In which so much time passes for the writer: while it stands still, it goes through none."""


def killed_after(seconds: float, path: Path, first: int, *, flush: bool, lines: int = 1) -> list[str]:
    """The lines that the writer got out: `lines`, and what came in so many seconds more."""
    read_end, write_end = os.pipe()
    fork = multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload(["tests.cache.killed"])
    writer = fork.Process(target=_run, args=(path, first, DupFd(write_end), flush))
    writer.start()
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        said = b"".join(pipe.readline() for _ in range(lines))  # it writes: from here on any moment will do
        time.sleep(seconds)
        writer.kill()
        said += pipe.read()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    return said.decode().splitlines()


def _run(path: Path, first: int, pipe: object, flush: bool) -> None:
    write_until_killed(path, first, pipe.detach(), flush=flush)  # type: ignore[attr-defined]


def on_disk(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {f"+{number}" for (number,) in connection.execute("SELECT number FROM entry")}


@pytest.mark.timeout(1800 if KILLS > 25 else 120)
async def test_nothing_acknowledged_is_lost(path: Path, open_tier: OpenTier) -> None:
    """C6, G8: one file, killed again and again in the midst of writing."""
    draw = random.Random(6)
    acknowledged = 0
    for _ in range(KILLS):
        said = killed_after(draw.uniform(0, 0.1), path, acknowledged, flush=True)
        acknowledged = int(said[-1])

        assert on_disk(path) >= set(numbers(acknowledged))

    tier = await open_tier()
    assert tier.state == "ok"
    assert not list(path.parent.glob("*.corrupt-*"))


def test_what_was_put_is_on_disk_a_quarter_of_a_second_later(path: Path) -> None:
    """C6: nobody flushes here."""
    said = killed_after(0.0, path, 0, flush=False, lines=ROUNDS + 100)
    promised = int(said[-1 - ROUNDS])

    assert promised >= 100
    assert on_disk(path) >= set(numbers(promised))
