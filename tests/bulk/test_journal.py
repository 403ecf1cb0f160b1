"""The file that makes a run resumable: what it survives, and what it refuses."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agi_lookup.bulk.journal import Heading, Journal, Line
from agi_lookup.domain.errors import ConfigError, OutsideError

HEADING = Heading(input="digest", rows=10, options={"need": "identity", "fresh": ""})


def opened(folder: Path, heading: Heading = HEADING, on_done: Callable[[int, str], None] | None = None) -> Journal:
    return Journal.open(folder / "out.csv.part", heading, on_done or (lambda _row, _number: None))


def line(row: int, *, done: bool = True, number: str = "+447700900001", again_at: float = 0.0) -> Line:
    return Line(row=row, done=done, at=1.0, cells=[number, "OK"], again_at=again_at)


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.write(line(7, number="+447700900007"))
    journal.write(line(3, done=False, again_at=5.0))
    journal.close()
    earlier: list[tuple[int, str]] = []

    journal = opened(tmp_path, on_done=lambda row, number: earlier.append((row, number)))

    assert earlier == [(7, "+447700900007")]
    assert (journal.is_done(7), journal.is_done(3), journal.is_done(0)) == (True, False, False)
    assert (journal.again_at(3), journal.again_at(7)) == (5.0, 0.0)
    assert journal.read(7) == line(7, number="+447700900007")
    assert journal.read(0) is None
    journal.close()


def test_the_last_line_of_a_row_counts_and_duplicates_share_it(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.write(line(2, done=False))
    journal.same(5, 2)
    journal.write(line(2, number="+447700900002"))

    assert journal.read(5) == journal.read(2) == line(2, number="+447700900002")
    journal.close()


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_line_that_was_cut_off_is_as_if_it_was_never_written(tmp_path: Path, cut: int) -> None:
    journal = opened(tmp_path)
    journal.write(line(0))
    journal.write(line(1))
    journal.close()
    path = tmp_path / "out.csv.part"
    os.truncate(path, path.stat().st_size - cut)

    journal = opened(tmp_path)
    assert (journal.is_done(0), journal.is_done(1)) == (True, False)
    journal.write(line(1, number="+447700900009"))
    journal.close()

    journal = opened(tmp_path)
    assert journal.read(1) == line(1, number="+447700900009")
    assert journal.read(0) == line(0)
    journal.close()


def test_zeros_that_a_power_cut_left_behind_are_cut_off(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.write(line(0))
    journal.close()
    with (tmp_path / "out.csv.part").open("ab") as file:
        file.write(b"\0" * 5000)

    journal = opened(tmp_path)

    assert (journal.is_done(0), journal.read(0)) == (True, line(0))
    journal.close()


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (Heading(input="another", rows=10, options=HEADING.options), "another input"),
        (Heading(input="digest", rows=11, options=HEADING.options), "another input"),
        (Heading(input="digest", rows=10, options={"need": "liveness", "fresh": ""}), "another need"),
    ],
)
def test_the_journal_of_another_run_is_refused_and_left_alone(tmp_path: Path, other: Heading, says: str) -> None:
    journal = opened(tmp_path)
    journal.write(line(0))
    journal.close()
    before = (tmp_path / "out.csv.part").read_bytes()

    with pytest.raises(ConfigError, match=says):
        opened(tmp_path, other)

    assert (tmp_path / "out.csv.part").read_bytes() == before


@pytest.mark.parametrize("content", [b"number,name\n1,2\n", b"\n", b"{}\n", b"no end of line"])
def test_a_file_of_somebody_else_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "out.csv.part"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match="choose another output"):
        opened(tmp_path)

    assert path.read_bytes() == content


def test_two_runs_never_write_the_same_journal(tmp_path: Path) -> None:
    journal = opened(tmp_path)

    with pytest.raises(OutsideError, match="another run"):
        opened(tmp_path)
    journal.close()
    opened(tmp_path).close()


def test_numbers_are_for_their_owner_only(tmp_path: Path) -> None:
    opened(tmp_path).close()

    assert stat.S_IMODE((tmp_path / "out.csv.part").stat().st_mode) == 0o600


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C8, as a write that stops half-way."""
    journal = opened(tmp_path)
    journal.write(line(0))
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: len(data) // 2]))

    with pytest.raises(OutsideError, match="No space left"):
        journal.write(line(1))

    monkeypatch.undo()
    journal.write(line(2))
    assert (journal.read(0), journal.read(1), journal.read(2)) == (line(0), None, line(2))
    journal.close()


def test_a_million_rows_take_some_bytes_each(tmp_path: Path) -> None:
    rows = 1_000_000
    journal = opened(tmp_path, Heading(input="digest", rows=rows, options={}))

    assert sum(sys.getsizeof(part) for part in vars(journal).values()) < 10 * rows
    journal.close()
