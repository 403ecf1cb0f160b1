"""What waits to be written: bounded, the oldest out first, and the newest word on each facet of each number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice
from typing import TypeAlias

from agi_lookup.cache.base import CacheEntry
from agi_lookup.domain.model import Facet

Key: TypeAlias = tuple[str, Facet]
Change: TypeAlias = tuple[Key, CacheEntry | None]
"""An entry to write, or None: the row is to go."""


class WriteQueue:
    """Pure. A change leaves the queue when it is written, so that readers see it all the time."""

    def __init__(self, max_changes: int) -> None:
        self._max_changes = max_changes
        self._changes: OrderedDict[Key, CacheEntry | None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._changes)

    def put(self, entry: CacheEntry) -> int:
        """Returns how many older entries were dropped to make room."""
        self._changes[entry.number, entry.facet] = entry
        dropped = 0
        while len(self._changes) > self._max_changes and self._drop_oldest():
            dropped += 1
        return dropped

    def erase(self, number: str, facet: Facet) -> None:
        """The row is to go, whatever was to be written. Never dropped: a forgotten number may not come back."""
        self._changes[number, facet] = None

    def of(self, number: str) -> dict[Facet, CacheEntry | None]:
        """What waits for this number; None hides the row on disk."""
        changes = self._changes
        return {facet: changes[number, facet] for facet in Facet if (number, facet) in changes}

    def oldest(self, count: int) -> list[Change]:
        """The next `count` changes; they stay until `written`."""
        return list(islice(self._changes.items(), count))

    def written(self, batch: Sequence[Change]) -> None:
        """Let go of what is on disk, but not of what was changed since."""
        for key, entry in batch:
            if key in self._changes and self._changes[key] is entry:
                del self._changes[key]

    def _drop_oldest(self) -> bool:
        key = next((key for key, entry in self._changes.items() if entry is not None), None)
        if key is not None:
            del self._changes[key]
        return key is not None
