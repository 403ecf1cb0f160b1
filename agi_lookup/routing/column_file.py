"""Files of columns: a header that says what is in them, then arrays of numbers that are mapped and never read as a whole.

    magic, format, length and CRC-32 of the header | header (JSON) | column | column ...

Each part begins at a multiple of eight bytes. A file is written aside and renamed into place, so that it is there whole or not at
all, and who has the one before it mapped keeps that. CRC-32 is against damage; nothing here is against forgery.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Annotated, Any, Final, Literal

import msgspec

from agi_lookup.domain.errors import ConfigError

FORMAT: Final = 1
_MAGIC: Final = b"AGIRATES"
_PREAMBLE: Final = struct.Struct("<8sIII")
_ALIGN: Final = 8
_SIZES: Final = {"B": 1, "H": 2, "I": 4, "Q": 8, "q": 8, "d": 8}

_Natural = Annotated[int, msgspec.Meta(ge=0)]


class DeckError(ConfigError):
    """A file of rates that cannot be used. The text is one line: what, where, how to fix it."""


class _Column(msgspec.Struct, frozen=True):
    name: str
    type: Literal["B", "H", "I", "Q", "q", "d"]  # as of `array`
    count: _Natural
    crc: _Natural


class _Header(msgspec.Struct, frozen=True):
    kind: str
    byte_order: str
    facts: msgspec.Raw
    columns: list[_Column]


class ColumnFile:
    """An open file: its `facts` as JSON, and its columns by name."""

    def __init__(self, path: Path, header: _Header, columns: Mapping[str, memoryview[Any]]) -> None:
        self.path = path
        self.facts = bytes(header.facts)
        self._header = header
        self._columns = columns

    def column(self, name: str) -> memoryview[Any]:
        if name not in self._columns:
            raise _damaged(self.path, f"it has no column {name!r}")
        return self._columns[name]

    def verify(self) -> None:
        """Read it all. Raises `DeckError` where a bit has changed."""
        for column in self._header.columns:
            if zlib.crc32(self._columns[column.name]) != column.crc:
                raise _damaged(self.path, f"the checksum of {column.name!r} is wrong")


def write(path: Path, kind: str, facts: msgspec.Struct, columns: Mapping[str, array[Any] | memoryview[Any]]) -> None:
    """Atomic and durable. Raises `OSError`."""
    views = {name: memoryview(values) for name, values in columns.items()}
    described = [_Column(name, view.format, len(view), zlib.crc32(view)) for name, view in views.items()]  # type: ignore[arg-type]
    header = msgspec.json.encode(_Header(kind, sys.byteorder, msgspec.Raw(msgspec.json.encode(facts)), described))
    new = path.with_name(f"{path.name}.new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as out:
            _write_parts(out, header, views.values())
            out.flush()
            os.fsync(out.fileno())
        new.rename(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _write_parts(out: IO[bytes], header: bytes, columns: Iterable[memoryview]) -> None:
    out.write(_PREAMBLE.pack(_MAGIC, FORMAT, len(header), zlib.crc32(header)))
    out.write(header)
    for values in columns:
        out.write(bytes(-out.tell() % _ALIGN))
        out.write(values)


def open_columns(path: Path, kind: str) -> ColumnFile:
    """Map it; the header alone is read and checked. Raises `DeckError`."""
    try:
        with path.open("rb") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise DeckError(f"{path}: there is no such file: import the deck again") from None
    except (OSError, ValueError) as error:  # the latter: it is empty
        raise DeckError(f"{path}: cannot be mapped ({error}): import the deck again") from None
    header, end = _read_header(path, mapped)
    if header.kind != kind:
        raise DeckError(f"{path}: it is a {header.kind}, not a {kind}")
    if header.byte_order != sys.byteorder:
        raise DeckError(f"{path}: written on a machine of another byte order: import the deck again here")
    return ColumnFile(path, header, dict(_slices(path, header, mapped, end)))


def _read_header(path: Path, mapped: memoryview) -> tuple[_Header, int]:
    """The header, and where it ends."""
    if len(mapped) < _PREAMBLE.size:
        raise _damaged(path, "it is cut short")
    magic, version, size, crc = _PREAMBLE.unpack_from(mapped)
    if magic != _MAGIC:
        raise DeckError(f"{path}: it is no file of rates")
    if version != FORMAT:
        raise DeckError(f"{path}: it has format {version}, and this version reads {FORMAT}: import the deck again")
    end = _PREAMBLE.size + size
    text = mapped[_PREAMBLE.size : end]
    if len(text) != size or zlib.crc32(text) != crc:
        raise _damaged(path, "its header is cut short or changed")
    try:
        return msgspec.json.decode(text, type=_Header), end
    except msgspec.DecodeError as error:
        raise _damaged(path, f"its header makes no sense, {error}") from None


def _slices(path: Path, header: _Header, mapped: memoryview, end: int) -> Iterator[tuple[str, memoryview[Any]]]:
    for column in header.columns:
        begin = end + -end % _ALIGN
        end = begin + column.count * _SIZES[column.type]
        if end > len(mapped):
            break
        yield column.name, mapped[begin:end].cast(column.type)
    if end != len(mapped):
        raise _damaged(path, "it is cut short or too long")


def _damaged(path: Path, how: str) -> DeckError:
    return DeckError(f"{path}: damaged, {how}: import the deck again")


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
