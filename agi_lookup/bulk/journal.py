"""What is known of each row, in a file beside the output: only ever added to, a line a row, so that a killed run loses none.

The first line says of which input and options it is. Of a row with several lines the last one counts. A line that was not written
to its end is cut off. In memory is only where each row's line stands: 8 bytes a row.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import msgspec

from agi_lookup.domain.errors import ConfigError, OutsideError

NOWHERE: Final = -1
SAME: Final = -2
"""The place of a row that has the number of row n is `SAME - n`."""
USUAL_LINE_BYTES: Final = 1024
MAX_LINE_BYTES: Final = 64 * 1024


class Heading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="agi-lookup bulk 1"):
    """`options` are those that decide what a row says."""

    input: str
    rows: int
    options: dict[str, str]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """`cells` of one row. `at`: Unix seconds. `again_at`: an open row is not asked before."""

    row: int
    done: bool
    at: float
    cells: list[str]
    again_at: float = 0.0


class Journal:
    """Made by `open`; to be closed. Raises `OutsideError` when it cannot be written."""

    def __init__(self, path: Path, fd: int, rows: int) -> None:
        self._path = path
        self._fd = fd
        self._place = array("q", [NOWHERE]) * rows
        self._done = bytearray(rows)
        self._again_at: dict[int, float] = {}
        self._end = 0

    @classmethod
    def open(cls, path: Path, heading: Heading, on_done: Callable[[int, str], None]) -> Self:
        """A new one, or the one that an earlier run left: `on_done` is told its rows and their numbers.

        Raises `ConfigError` when that was of another input, `OutsideError` when it still runs, or `OSError`.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        journal = cls(path, fd, heading.rows)
        try:
            journal._take()
            journal._begin(heading, on_done)
        except BaseException:
            os.close(fd)
            raise
        return journal

    def close(self) -> None:
        os.close(self._fd)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

    def is_done(self, row: int) -> bool:
        return bool(self._done[row])

    def again_at(self, row: int) -> float:
        """Unix seconds before which the row is not to be asked; 0 for one that may be."""
        return self._again_at.get(row, 0.0)

    def write(self, line: Line) -> None:
        """With the kernel when it returns: `kill -9` cannot take it any more."""
        place = self._append(line)
        self._place[line.row] = place
        self._done[line.row] = line.done

    def same(self, row: int, first: int) -> None:
        """The row has the same number as an earlier one."""
        self._place[row] = SAME - first

    async def sync(self) -> None:
        """On the disk when it returns: a power cut cannot take it any more."""
        try:
            await asyncio.to_thread(os.fsync, self._fd)
        except OSError as error:
            raise OutsideError(f"{self._path}: {error.strerror}") from None

    def read(self, row: int) -> Line | None:
        """The last line of a row, or of the one whose number it has."""
        place = self._place[row]
        return self._line(SAME - place if place <= SAME else row)

    def _line(self, row: int) -> Line | None:
        place = self._place[row]
        if place < 0:
            return None
        found = os.pread(self._fd, USUAL_LINE_BYTES, place)
        if b"\n" not in found:
            found = os.pread(self._fd, MAX_LINE_BYTES, place)
        return msgspec.json.decode(found.split(b"\n", 1)[0], type=Line)

    def _append(self, line: msgspec.Struct) -> int:
        data = msgspec.json.encode(line) + b"\n"
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            raise OutsideError(f"{self._path}: {error.strerror}") from None
        if written < len(data):
            os.ftruncate(self._fd, self._end)
            raise OutsideError(f"{self._path}: {os.strerror(errno.ENOSPC)}")
        place, self._end = self._end, self._end + written
        return place

    def _take(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutsideError(f"{self._path}: another run is writing it") from None

    def _begin(self, heading: Heading, on_done: Callable[[int, str], None]) -> None:
        with os.fdopen(os.dup(self._fd), "rb") as file:
            first = file.readline(MAX_LINE_BYTES)
            if not first:
                self._append(heading)
                return
            self._compare(first, heading)
            self._end = len(first)
            for data in file:
                line = self._found(data)
                if line is None:
                    break
                self._end += len(data)
                if line.done:
                    on_done(line.row, line.cells[0])
        os.ftruncate(self._fd, self._end)

    def _compare(self, first: bytes, heading: Heading) -> None:
        way_out = "finish that one, or delete the file to start over"
        try:
            found = msgspec.json.decode(first, type=Heading)
        except msgspec.MsgspecError:
            raise ConfigError(f"{self._path}: this is not from a run of bulk; choose another output") from None
        if (found.input, found.rows) != (heading.input, heading.rows):
            raise ConfigError(f"{self._path}: it belongs to a run with another input; {way_out}")
        other = [name for name in heading.options if found.options.get(name) != heading.options[name]]
        if other:
            raise ConfigError(f"{self._path}: it belongs to a run with another {', '.join(other)}; {way_out}")

    def _found(self, data: bytes) -> Line | None:
        """The line, unless it was cut off."""
        try:
            line = msgspec.json.decode(data, type=Line) if data.endswith(b"\n") else None
        except msgspec.MsgspecError:
            return None
        if line is None or not 0 <= line.row < len(self._place):
            return None
        self._place[line.row] = self._end
        self._done[line.row] = line.done
        self._again_at.pop(line.row, None)
        if line.again_at:
            self._again_at[line.row] = line.again_at
        return line
