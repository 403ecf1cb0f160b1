"""The memory tier: bounded by numbers, the least recently used out first. It never waits and never fails.

About 0.4 KiB a number, because what numbers have in common (carrier, network, porting, source) is kept once: a record is two
references and its packed times. `TLRUCache` was measured first and left: its heap keeps replaced records until they outnumber
the live ones (over 1 KiB a number in steady use), and rebuilding or expiring it stalls the event loop for 60 to 800 ms at
100,000 numbers. Lifetimes are the reader's to check (`lookup.freshness`); `expire` only gives back memory and forgets in time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import groupby, islice
from struct import Struct
from typing import Any, Final

import msgspec
from cachetools import Cache, LRUCache

from agi_lookup.cache.base import NO_HITS, CacheEntry, Hits, Outcome, Standing, Stats
from agi_lookup.domain.model import Facet, Identity, Liveness, Method

MAX_SHARED: Final = 32_768
"""Facts to recognise: well above the mix of networks that one PBX calls; about 10 MB when a source sends only new text."""

SLICE: Final = 1_000
"""Numbers that one `expire` looks at: about 1 ms."""

_TIMES: Final = Struct("<ddd")  # observed_at, fresh_until, stale_until


class _Fact(msgspec.Struct, frozen=True, gc=False):
    """An entry without its number and times: the same for many numbers."""

    facet: Facet
    outcome: Outcome
    provider: str
    method: Method
    body: Identity | Liveness


class _Record(msgspec.Struct, frozen=True, gc=False):
    identity: _Fact | None = None
    liveness: _Fact | None = None
    times: bytes = b""  # identity's, then liveness's, where there is one


class MemoryTier:
    """See `cache.base.CacheTier`; `peek` is its synchronous `get`, for the hot path."""

    name = "memory"

    def __init__(self, max_numbers: int = 100_000) -> None:
        self._records: LRUCache[str, _Record] = LRUCache(max_numbers)
        self._facts: dict[_Fact, _Fact] = {}
        self._texts: dict[str, str] = {}
        self._unswept: Iterator[str] = iter(())

    def peek(self, number: str) -> Hits:
        try:
            record = self._records[number]
        except KeyError:
            return NO_HITS
        return _entries(number, record)

    async def get(self, number: str) -> Hits:
        return self.peek(number)

    def may_hold(self, number: str) -> bool:
        return number in self._records

    def put(self, entries: Sequence[CacheEntry]) -> None:
        for number, its in groupby(entries, _number):
            held = self._untouched(number)
            hits = {} if held is None else _entries(number, held)
            hits.update((entry.facet, entry) for entry in its)
            self._records[number] = self._record(hits)

    async def forget(self, number: str) -> int:
        record = self._records.pop(number, None)
        return 0 if record is None else len(_entries(number, record))

    async def flush(self) -> None: ...

    async def stats(self) -> Stats:
        return {"numbers": len(self._records), "max_numbers": int(self._records.maxsize)}

    def standing(self) -> Standing:
        return Standing("ok", 0, len(self._records))

    async def close(self) -> None:
        self._records.clear()

    def expire(self, now: float) -> int:
        """Drop what is past use among the next `SLICE` numbers; returns how many went. To be called every second or so."""
        slice_ = list(islice(self._unswept, SLICE))
        if not slice_:
            self._unswept = iter(list(self._records))
        dead = [number for number in slice_ if self._dead(number, now)]
        for number in dead:
            del self._records[number]
        return len(dead)

    def shed(self, numbers: int) -> int:
        """Drop so many of the least recently used, as memory is short; returns how many went."""
        going = min(numbers, len(self._records))
        for _ in range(going):
            self._records.popitem()
        if going:
            self._facts.clear()  # that no record refers to any more; the others are recognised again as they come
            self._texts.clear()
        return going

    def _dead(self, number: str, now: float) -> bool:
        record = self._untouched(number)
        return record is not None and all(end <= now for _, _, end in _TIMES.iter_unpack(record.times))

    def _untouched(self, number: str) -> _Record | None:
        """The record without making it the most recently used."""
        try:
            return Cache.__getitem__(self._records, number)
        except KeyError:
            return None

    def _record(self, hits: Hits) -> _Record:
        entries = [entry for facet in Facet if (entry := hits.get(facet))]
        return _Record(
            **{entry.facet.value: self._fact(entry) for entry in entries},
            times=b"".join(_TIMES.pack(e.observed_at, e.fresh_until, e.stale_until) for e in entries),
        )

    def _fact(self, entry: CacheEntry) -> _Fact:
        fact = _Fact(entry.facet, entry.outcome, entry.provider, entry.method, entry.body)
        known = self._facts.get(fact)
        if known is not None:
            return known
        if len(self._facts) >= MAX_SHARED:
            self._facts.clear()
            self._texts.clear()
        fact = _Fact(fact.facet, fact.outcome, self._text(fact.provider), fact.method, self._body(fact.body))
        self._facts[fact] = fact
        return fact

    def _body(self, body: Identity | Liveness) -> Identity | Liveness:
        """The same body made of shared texts (liveness is made of words alone)."""
        if isinstance(body, Liveness):
            return body
        values: dict[str, Any] = {field.name: getattr(body, field.name) for field in fields(body)}
        shared: dict[str, Any] = {name: self._text(v) if type(v) is str else v for name, v in values.items()}
        return Identity(**shared)

    def _text(self, text: str) -> str:
        return self._texts.setdefault(text, text)


def _number(entry: CacheEntry) -> str:
    return entry.number


def _entries(number: str, record: _Record) -> dict[Facet, CacheEntry]:
    times = _TIMES.iter_unpack(record.times)
    hits = {}
    for fact in (record.identity, record.liveness):
        if fact is None:
            continue
        observed_at, fresh_until, stale_until = next(times)
        hits[fact.facet] = CacheEntry(
            number=number,
            facet=fact.facet,
            outcome=fact.outcome,
            provider=fact.provider,
            method=fact.method,
            observed_at=observed_at,
            fresh_until=fresh_until,
            stale_until=stale_until,
            body=fact.body,
        )
    return hits
