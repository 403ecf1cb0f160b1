"""Entries as JSON lines, one an entry: for backups, for moving house, and for a look."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from agi_lookup.cache.base import CacheEntry
from agi_lookup.cache.codec import BadEntry, from_line, to_line
from agi_lookup.domain.errors import CacheError

BATCH: Final = 1_000
MAX_LINE_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Imported:
    """How far an import came: `lines` were understood and stored; of them `kept` were newer than what was held."""

    lines: int
    kept: int


class ImportStopped(CacheError):
    """Line `line` (from 1) cannot be imported. `done` says what was imported before it: doing it all again is safe."""

    def __init__(self, line: int, why: str, done: Imported) -> None:
        super().__init__(f"line {line}: {why} ({done.lines} lines before it are imported)")
        self.line = line
        self.done = done


class Exporter(Protocol):
    def export(self) -> AsyncIterator[CacheEntry]: ...


class Importer(Protocol):
    async def import_batch(self, entries: Sequence[CacheEntry]) -> int: ...


async def export_lines(tier: Exporter) -> AsyncIterator[bytes]:
    """Every entry on disk as a line with its newline. Raises `CacheError`."""
    async for entry in tier.export():
        yield to_line(entry)


async def import_lines(tier: Importer, lines: Iterable[bytes]) -> Imported:
    """Store what is newer than what is held; stops at the first bad line. Raises `ImportStopped`."""
    batch: list[CacheEntry] = []
    done = Imported(0, 0)
    for line_number, line in enumerate(lines, 1):
        try:
            batch.append(_parsed(line))
        except BadEntry as error:
            done = await _store(tier, batch, done)
            raise ImportStopped(line_number, str(error), done) from None
        if len(batch) >= BATCH:
            done = await _store(tier, batch, done)
            batch = []
    return await _store(tier, batch, done)


def _parsed(line: bytes) -> CacheEntry:
    if len(line) > MAX_LINE_BYTES:
        raise BadEntry(f"longer than {MAX_LINE_BYTES} bytes")
    return from_line(line)


async def _store(tier: Importer, batch: Sequence[CacheEntry], done: Imported) -> Imported:
    try:
        kept = await tier.import_batch(batch) if batch else 0
    except CacheError as error:
        raise ImportStopped(done.lines + 1, str(error), done) from error
    return Imported(done.lines + len(batch), done.kept + kept)
