"""Reads what was counted back from the metrics, by their public names, so that API and Prometheus never disagree."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample

PREFIX: Final = "agi_lookup_"


class Counts:
    """What the metrics of these names say now. A counter is named without its `_total`."""

    def __init__(self, registry: CollectorRegistry, *names: str) -> None:
        wanted = [f"{PREFIX}{name}{end}" for name in names for end in ("", "_total", "_bucket", "_sum")]
        self._samples: dict[str, list[Sample]] = {}
        for family in registry.restricted_registry(wanted).collect():
            for sample in family.samples:
                self._samples.setdefault(sample.name.removeprefix(PREFIX).removesuffix("_total"), []).append(sample)

    def total(self, name: str) -> int:
        return int(self.sum(name))

    def sum(self, name: str) -> float:
        return sum(sample.value for sample in self._of(name))

    def by(self, name: str, label: str, **only: str) -> dict[str, int]:
        """By the values of one label; `only` those whose other labels are so."""
        found: Tally[str] = Tally()
        for sample in self._of(name):
            if only.items() <= sample.labels.items():
                found[sample.labels[label]] += int(sample.value)
        return dict(found)

    def spread(self, name: str, **only: str) -> Spread:
        """All histograms of this name in one; `only` those whose labels are so."""
        upto: Tally[float] = Tally()
        for sample in self._of(f"{name}_bucket"):
            if only.items() <= sample.labels.items():
                upto[float(sample.labels["le"])] += int(sample.value)
        bounds = sorted(upto)
        return Spread(tuple(bounds), tuple(upto[bound] for bound in bounds))

    def _of(self, name: str) -> Iterator[Sample]:
        return iter(self._samples.get(name, ()))


@dataclass(frozen=True, slots=True)
class Spread:
    """A histogram: how many were at most each bound, of which the last is infinite."""

    bounds: Sequence[float]
    upto: Sequence[int]

    @property
    def total(self) -> int:
        return self.upto[-1] if self.upto else 0

    def quantile(self, share: float) -> float | None:
        """Within its bucket as if evenly spread, as Prometheus's `histogram_quantile` does; beyond the last bound that bound."""
        if not self.total:
            return None
        rank = share * self.total
        place = bisect_left(self.upto, rank)
        if self.bounds[place] == inf:
            return self.bounds[place - 1] if place else None
        low, before = (self.bounds[place - 1], self.upto[place - 1]) if place else (0.0, 0)
        inside = self.upto[place] - before
        return low + (self.bounds[place] - low) * ((rank - before) / inside if inside else 1.0)
