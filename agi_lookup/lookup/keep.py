"""What sources said, as it may be used and kept: completed, not older than it says, and never less than what is held."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from agi_lookup.cache.base import CacheEntry, Hits, Outcome
from agi_lookup.domain.model import Facet, Identity, LookupAnswer
from agi_lookup.lookup.compose import settled, vouched
from agi_lookup.lookup.freshness import Lifetimes, current, entries, supersedes


class Cache(Protocol):
    """Never raises: a broken tier is a miss."""

    def peek(self, number: str) -> Hits: ...
    def put(self, entries: list[CacheEntry]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """`clock` is Unix seconds."""

    cache: Cache
    complete: Callable[[Identity], Identity]  # fills what the MCC/MNC table knows and the source left out
    lifetimes: Lifetimes
    clock: Callable[[], float]
    spread: Callable[[], float]  # -1..1: where in its jitter a lifetime ends

    def keep(self, answers: Iterable[LookupAnswer], hits: Hits) -> tuple[LookupAnswer, ...]:
        """Store what was said of one number beside what the cache held before (`hits`); returns it as it may be used."""
        now = self.clock()
        said = tuple(current(self._completed(answer), self.lifetimes, now) for answer in answers)
        if not said:
            return ()
        held = {**hits, **self.cache.peek(said[0].number)}  # other flights may have stored meanwhile
        usable = settled(said, vouched(held.get(Facet.LIVENESS), said, now))
        self._store(usable, held, now)
        return usable

    def keep_late(self, answer: LookupAnswer) -> None:
        """An answer that nobody waits for any more: it is paid for."""
        self.keep((answer,), self.cache.peek(answer.number))

    def _completed(self, answer: LookupAnswer) -> LookupAnswer:
        completed = self.complete(answer.identity) if answer.identity else None
        return answer if completed is answer.identity else replace(answer, identity=completed)

    def _store(self, answers: tuple[LookupAnswer, ...], hits: Hits, now: float) -> None:
        """Of each facet the first that knows, else the first that did not; as `compose.merge` chooses."""
        chosen: dict[Facet, CacheEntry] = {}
        for answer in answers:
            for entry in entries(answer, self.lifetimes, now, self.spread()):
                said = chosen.get(entry.facet)
                if said is None or (said.outcome is Outcome.INCONCLUSIVE and entry.outcome is not Outcome.INCONCLUSIVE):
                    chosen[entry.facet] = entry
        self.cache.put([entry for facet, entry in chosen.items() if supersedes(entry, hits.get(facet), now)])
