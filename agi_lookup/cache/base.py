"""What the cache keeps, and what a tier must do. Freshness is decided by `lookup.freshness`, not by a tier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import msgspec

from agi_lookup.domain.model import Facet, Identity, Liveness, Method, mask


class Outcome(StrEnum):
    """What an answer said of its facet; each class has lifetimes of its own."""

    POSITIVE = "positive"  # network and porting known; or reachable
    NEGATIVE = "negative"  # not reachable
    INCONCLUSIVE = "inconclusive"  # asked and not told


class CacheEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One facet of one number, with its key inside, so that it can be checked at every hand-over.

    Times are Unix seconds. Until `fresh_until` it is good; from then to `stale_until` it may stand in, marked stale.
    It holds no reference that could come back to it, so the garbage collector need not walk it (`gc=False`).
    """

    number: str  # E.164 with `+`
    facet: Facet
    outcome: Outcome
    provider: str
    method: Method
    observed_at: float
    fresh_until: float
    stale_until: float
    body: Identity | Liveness

    def __repr__(self) -> str:
        return f"CacheEntry({mask(self.number)}, {self.facet}, {self.outcome}, {self.provider})"


Hits = Mapping[Facet, CacheEntry]
"""At most one entry a facet; a facet that is not known is absent."""

NO_HITS: Final[Hits] = MappingProxyType({})

Count = Callable[[str], None]
"""Counts one event by its stable word, e.g. `sqlite_read_failed`."""

OnAlarm = Callable[[str, str], None]
"""Tells the operator: a stable code and a detail that holds no number."""


Stats = Mapping[str, int | str]
"""Figures by name, for people."""


class Standing(NamedTuple):
    """How a tier does, as far as that costs nothing to tell."""

    state: str  # "ok", "idle" before its first write, or why it fails
    waiting: int  # changes that are not written yet
    numbers: int | None  # that it holds; None: it would have to count


class CacheTier(Protocol):
    """One place where entries are kept. Entries past `stale_until` may be returned or not: the reader checks.

    Every method raises `CacheError` and nothing else for trouble of the tier. Safe for concurrent use in one event loop.
    """

    name: str

    async def get(self, number: str) -> Hits: ...

    def may_hold(self, number: str) -> bool:
        """False: it surely knows nothing of the number, and need not be asked."""

    def put(self, entries: Sequence[CacheEntry]) -> None:
        """Keep entries, newest last; replaces the same number's same facet. Never waits: a slow tier queues."""

    async def forget(self, number: str) -> int:
        """Erase a number; returns how many entries went."""

    async def flush(self) -> None:
        """Write now what was queued. A tier that serves for life does so by itself, soon."""

    async def stats(self) -> Stats: ...
    def standing(self) -> Standing: ...

    async def close(self) -> None: ...
