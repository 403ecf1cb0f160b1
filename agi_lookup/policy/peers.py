"""What other instances tell of their block rules and providers, beside what this one has seen. Pure; `now` is Unix seconds.

Each tells its own sums and never another's, so that whatever is heard twice, late or not at all counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Annotated, TypeAlias

import msgspec

Count: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class Tally(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What a block rule did in one instance; see `governance.Record`."""

    would_block: Count = 0
    blocked: Count = 0
    probes: Count = 0
    reached: Count = 0.0
    dead: Count = 0.0
    returned_at: float | None = None

    def add(self, other: Tally) -> None:
        self.would_block += other.would_block
        self.blocked += other.blocked
        self.probes += other.probes
        self.reached += other.reached
        self.dead += other.dead
        if other.returned_at is not None:
            self.returned_at = max(other.returned_at, self.returned_at or 0.0)


class Seen(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What one instance tells. Holds no numbers."""

    rules: dict[str, Tally] = msgspec.field(default_factory=dict)  # by `Rule.key`
    distrusted: dict[str, float] = msgspec.field(default_factory=dict)  # provider and country, and since when


NOTHING: Tally = Tally()


class Peers:
    """All others' together. An operator's word stands against what was heard before it, and not against what is new."""

    def __init__(self) -> None:
        self._rules: dict[str, Tally] = {}
        self._distrusted: dict[str, float] = {}
        self._returned: dict[str, float] = {}  # by rule, the last return that is known, followed or done with
        self._trusted: dict[str, float] = {}  # by place, the last opening that an operator has ended

    def heard(self, all_of_them: Iterable[Seen]) -> None:
        """Takes the place of what was heard before."""
        self._rules, self._distrusted = {}, {}
        for seen in all_of_them:
            for key, tally in seen.rules.items():
                self._rules.setdefault(key, Tally()).add(tally)
            for place, since in seen.distrusted.items():
                self._distrusted[place] = max(since, self._distrusted.get(place, 0.0))

    def of(self, key: str) -> Tally:
        return self._rules.get(key, NOTHING)

    def returns(self, keys: Set[str], now: float) -> list[tuple[str, float]]:
        """Which of these rules went back to shadow elsewhere, and when: each return once."""
        new = [
            (key, min(tally.returned_at, now))
            for key, tally in self._rules.items()
            if key in keys and tally.returned_at is not None and tally.returned_at > self._returned.get(key, 0.0)
        ]
        for key, _ in new:
            self.returned(key, self._rules[key].returned_at or 0.0)
        return new

    def returned(self, key: str, at: float) -> None:
        """Known, and not to be followed again when an operator ends it here."""
        self._returned[key] = max(at, self._returned.get(key, 0.0))

    def distrusts(self, place: str, now: float, for_s: float) -> bool:
        since = self._distrusted.get(place)
        return since is not None and now < since + for_s and since > self._trusted.get(place, 0.0)

    def distrusted(self, now: float, for_s: float) -> list[str]:
        return [place for place in self._distrusted if self.distrusts(place, now, for_s)]

    def trust(self, provider: str, now: float, for_s: float) -> bool:
        """An operator's word. Was it distrusted anywhere?"""
        places = [place for place in self.distrusted(now, for_s) if place.startswith(f"{provider} ")]
        self._trusted.update({place: self._distrusted[place] for place in places})
        return bool(places)
