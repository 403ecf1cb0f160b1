"""The call log of a process that is killed, or whose disk is full."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from agi_lookup.calls.file import CallFile, read
from agi_lookup.calls.options import CallLogOptions


@contextmanager
def calling(path: Path, *wrap: str) -> Iterator[Iterator[str]]:
    """The lines of a process that logs calls; it is killed on leaving."""
    args = [*wrap, sys.executable, "-m", "tests.past_calls.calling", str(path)]
    with subprocess.Popen(args, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield iter(process.stdout)
        finally:
            process.kill()


def until_dropped(said: Iterator[str]) -> Iterator[str]:
    for line in said:
        yield line
        if line == "call_log_dropped\n":
            return
    raise AssertionError("it ended")


@pytest.mark.parametrize("lines", [15, 40])
def test_after_kill_9_the_log_is_whole_and_goes_on(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "calls.sqlite"
    with calling(path) as said:
        next(line for line in said if line.endswith(" ok\n"))
        for _ in range(lines):
            next(said)

    log = CallFile(path, CallLogOptions())
    log.open()
    log.close()
    found = list(read(path))

    places = [int(call.record.channel) for call in found if call is not None]
    assert places
    assert len(places) == len(found)
    assert all(after == before + 1 for before, after in pairwise(places))
    assert not list(tmp_path.glob("*.corrupt-*"))


def test_a_full_disk_costs_calls_of_the_log_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    with calling(path, "prlimit", "--fsize=1000000") as said:
        heard = {line.strip() for line in until_dropped(said)}

    assert "call_log_failing" in heard
    assert "call_log_corrupt" not in heard
    assert any(call is not None for call in read(path))
