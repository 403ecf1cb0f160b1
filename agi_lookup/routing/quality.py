"""How good a trunk is at reaching a destination, learned from results. Pure; `now` is Unix seconds.

Counts fade: after a half-life a call counts half, so a trunk that has become better or worse is soon known to be. Ratios are taken
at the lower end of their Wilson interval (E. B. Wilson, JASA 1927): few calls prove little. What is not known is not held against a
trunk.

An answer of a few billed seconds, or without a ring, may be false answer supervision: a carrier that answers itself, to charge. It
counts as an attempt that nobody answered, and says nothing of the network: it may have been a wrong number.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from itertools import islice
from math import sqrt
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from agi_lookup.domain.model import CallResult
from agi_lookup.routing.options import QualityOptions, Thresholds
from agi_lookup.routing.signs import Sign, sign_of

Z: Final = 1.645
"""Nineteen times of twenty the true ratio is above the lower end."""
WORST: Final = 0.5
"""Each of the four figures can at most halve a score: the worst route costs sixteen times its price."""
ALL: Final = ""
"""The key under which all destinations of a trunk are counted together."""
FADED: Final = 1e-6
"""Fewer calls than this are none: their squares would underflow."""
SCORE_HOLDS: Final = 1 / 16
"""Part of the half-life for which a score that nothing was added to is taken as still right."""


class Tally(NamedTuple):
    """Faded counts. `judged`: attempts that clearly were delivered or were not; `suspect`: answers that are not believed."""

    attempts: float = 0.0
    answered: float = 0.0
    judged: float = 0.0
    delivered: float = 0.0
    suspect: float = 0.0
    talks: float = 0.0
    talk_s: float = 0.0
    rings: float = 0.0
    ring_ms: float = 0.0

    def plus(self, other: Tally, factor: float) -> Tally:
        """This faded by `factor`, and the other."""
        return Tally(*[mine * factor + its for mine, its in zip(self, other, strict=True)])


NONE: Final = Tally()


class Figures(NamedTuple):
    """Of one trunk to one destination; None: not known. `samples` counts faded attempts."""

    samples: float
    asr: float | None
    ner: float | None
    acd_s: float | None
    pdd_ms: float | None
    suspect: float | None


class _Learned:
    """`score` holds until `holds_until`."""

    __slots__ = ("at", "holds_until", "score", "tally")

    def __init__(self, tally: Tally, at: float) -> None:
        self.tally = tally
        self.at = at
        self.score = 1.0
        self.holds_until = 0.0


Row: TypeAlias = tuple[str, str, float, tuple[float, ...]]
"""Trunk, key, when, counts in the order of `Tally`."""

_Count = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_ROWS: Final = TypeAdapter(list[tuple[str, str, _Count, Annotated[list[_Count], Field(min_length=9, max_length=9)]]])


class Quality:
    """Of all trunks. Remembers the pairs of trunk and destination that were used last, up to `max_remembered`.

    `options` and `min_samples` (by trunk, where it is another than that of the options) may be replaced.
    """

    def __init__(self, options: QualityOptions, min_samples: Mapping[str, int] | None = None) -> None:
        self.options = options
        self.min_samples = min_samples or {}
        self._learned: OrderedDict[tuple[str, str], _Learned] = OrderedDict()
        self._others: dict[tuple[str, str], _Learned] = {}  # what other instances have seen

    def __len__(self) -> int:
        return len(self._learned)

    def observe(self, result: CallResult, key: str, now: float) -> Sign:
        """Take a result in; `key` is the destination's (`destination.quality_key`)."""
        sign = sign_of(result)
        said = tally_of(result, sign, self.options.fas_below_s)
        if said.attempts:
            self._add(result.trunk, key, said, now)
            self._add(result.trunk, ALL, said, now)
        return sign

    def score(self, trunk: str, key: str, now: float) -> float:
        """From `WORST**4` to 1. With too few calls to the destination all of the trunk's count, with too few of these it is 1."""
        learned = self._learned.get((trunk, key)) or self._others.get((trunk, key))
        if learned is None:
            return self.score(trunk, ALL, now) if key != ALL else 1.0
        if now >= learned.holds_until:
            learned.score = self._score(trunk, key, now)
            learned.holds_until = now + self.options.half_life_s * SCORE_HOLDS
        return learned.score

    def figures(self, trunk: str, key: str, now: float) -> Figures:
        return figures_of(self._in_all(trunk, key, now))

    def seen(self, most: int) -> list[Row]:
        """What this instance alone has seen, as `snapshot`: the pairs that were used last."""
        last = islice(reversed(self._learned.items()), most)
        return [(trunk, key, known.at, tuple(known.tally)) for (trunk, key), known in last]

    def follow(self, others: Others) -> None:
        """Take what other instances have seen into account, in place of what was known of them before."""
        self._others = others.sums
        for pair in self._others.keys() & self._learned.keys():
            self._learned[pair].holds_until = 0.0

    def fails(self, trunk: str, ner: float, now: float) -> bool:
        """Is its NER, over all destinations, below this beyond reasonable doubt?

        By the calls of this instance alone: it may be its own way to the trunk that fails, and its own probes find it well again.
        """
        learned = self._learned.get((trunk, ALL))
        if learned is None:
            return False
        tally = self._faded(learned, now)
        return tally.judged >= self._enough(trunk) and wilson(tally.delivered, tally.judged)[1] < ner

    def forget(self, trunk: str) -> None:
        """What all its destinations say together: it starts anew."""
        self._learned.pop((trunk, ALL), None)

    def snapshot(self) -> list[Row]:
        """Plain data, the pair that was used last at the end."""
        return [(trunk, key, known.at, tuple(known.tally)) for (trunk, key), known in self._learned.items()]

    def restore(self, rows: Any) -> None:
        """Take the place of what is known. Raises `ValueError` for what is no snapshot, and then changes nothing."""
        try:
            checked = _ROWS.validate_python(rows)
        except ValidationError as error:
            raise ValueError(f"no snapshot of trunk quality: {error.error_count()} rows do not fit") from None
        self._learned = OrderedDict(
            ((trunk, key), _Learned(Tally(*counts), at))
            for trunk, key, at, counts in checked[-self.options.max_remembered :]
        )

    def _add(self, trunk: str, key: str, said: Tally, now: float) -> None:
        learned = self._learned.pop((trunk, key), None)
        if learned is None:
            learned = _Learned(said, now)
        else:
            learned.tally = learned.tally.plus(said, self._fading(learned, now))
            learned.at = max(now, learned.at)
        learned.holds_until = 0.0
        self._learned[trunk, key] = learned
        if len(self._learned) > self.options.max_remembered:
            self._learned.popitem(last=False)

    def _fading(self, learned: _Learned, now: float) -> float:
        return float(0.5 ** (max(0.0, now - learned.at) / self.options.half_life_s))

    def _faded(self, learned: _Learned, now: float) -> Tally:
        return learned.tally.plus(NONE, self._fading(learned, now))

    def _enough(self, trunk: str) -> int:
        return self.min_samples.get(trunk, self.options.min_samples)

    def _in_all(self, trunk: str, key: str, now: float) -> Tally:
        """Of all instances."""
        tally = NONE
        for learned in (self._learned.get((trunk, key)), self._others.get((trunk, key))):
            if learned is not None:
                tally = tally.plus(self._faded(learned, now), 1.0)
        return tally

    def _score(self, trunk: str, key: str, now: float) -> float:
        figures = figures_of(self._in_all(trunk, key, now))
        if figures.samples < self._enough(trunk):
            return self.score(trunk, ALL, now) if key != ALL else 1.0
        options = self.options
        return (
            rating(figures.asr, options.asr)
            * rating(figures.ner, options.ner)
            * rating(figures.acd_s, options.acd_s)
            * rating(figures.pdd_ms, options.pdd_ms)
        )


class Others:
    """Sums of what other instances have seen, at `now`. Each tells its own, so that nothing counts twice.

    What was seen in the future, by a clock that is ahead, was seen now.
    """

    def __init__(self, half_life_s: float, now: float) -> None:
        self.sums: dict[tuple[str, str], _Learned] = {}
        self._half_life_s = half_life_s
        self._now = now

    def add(self, rows: Iterable[Row]) -> None:
        """One instance's."""
        for trunk, key, at, counts in rows:
            faded = 0.5 ** (max(0.0, self._now - at) / self._half_life_s)
            tally = Tally(*[count * faded for count in counts])
            held = self.sums.get((trunk, key))
            if held is None:
                self.sums[trunk, key] = _Learned(tally, self._now)
            else:
                held.tally = held.tally.plus(tally, 1.0)


def tally_of(result: CallResult, sign: Sign, fas_below_s: float) -> Tally:
    """What one result adds."""
    if sign is Sign.NOTHING:
        return NONE
    answered = sign is Sign.ANSWERED
    suspect = answered and (not result.rang or (result.billsec is not None and result.billsec < fas_below_s))
    believed = answered and not suspect
    timed = answered and result.billsec is not None
    return Tally(
        attempts=1.0,
        answered=float(believed),
        judged=float(believed or sign in (Sign.DELIVERED, Sign.FAILED)),
        delivered=float(believed or sign is Sign.DELIVERED),
        suspect=float(suspect),
        talks=float(timed),
        talk_s=float(result.billsec or 0) if timed else 0.0,
        rings=float(result.pdd_ms is not None),
        ring_ms=float(result.pdd_ms or 0),
    )


def figures_of(tally: Tally) -> Figures:
    return Figures(
        samples=tally.attempts,
        asr=wilson(tally.answered, tally.attempts)[0] if tally.attempts > FADED else None,
        ner=wilson(tally.delivered, tally.judged)[0] if tally.judged > FADED else None,
        acd_s=tally.talk_s / tally.talks if tally.talks > FADED else None,
        pdd_ms=tally.ring_ms / tally.rings if tally.rings > FADED else None,
        suspect=tally.suspect / tally.attempts if tally.attempts > FADED else None,
    )


def rating(figure: float | None, thresholds: Thresholds) -> float:
    """1 at `warn` or better, `WORST` at `crit` or worse, in proportion between; 1 for what is not known."""
    if figure is None:
        return 1.0
    way = (figure - thresholds.crit) / (thresholds.warn - thresholds.crit)
    return WORST + (1 - WORST) * min(1.0, max(0.0, way))


def wilson(hits: float, tries: float, z: float = Z) -> tuple[float, float]:
    """Between which ratios the true one lies."""
    if tries < FADED:
        return 0.0, 1.0
    ratio = min(1.0, hits / tries)
    centre = ratio + z * z / (2 * tries)
    spread = z * sqrt(ratio * (1 - ratio) / tries + z * z / (4 * tries * tries))
    scale = 1 + z * z / tries
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
