"""Is a deck sound? What contradicts itself is an error; what only looks wrong is a warning.

An open-ended rate that a later one takes over from is how vendors announce changes, and no overlap. Rates that overlap are decided
by their start, the later wins; two that start together and differ decide nothing, so they are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import compress, count, pairwise
from operator import eq
from typing import Final, NamedTuple

from agi_lookup.domain.wording import counted
from agi_lookup.routing.deck_diff import Differences, Word
from agi_lookup.routing.deck_file import Deck
from agi_lookup.routing.deck_rows import Problem, shown
from agi_lookup.routing.rates import FOR_EVER, Kind, Rate, Tariff
from agi_lookup.routing.tables import KIND_SHIFT

SHOWN: Final = 20


@dataclass
class Tally:
    """The first problems, and how many there are."""

    first: list[Problem] = field(default_factory=list)
    count: int = 0

    def add(self, problem: Problem) -> None:
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(problem)


class Limits(NamedTuple):
    """Percent. How many destinations may be gone, and how far a rate may rise or fall, before that is said aloud."""

    shrink: float = 20.0
    jump: float = 50.0


def check(deck: Deck, now: float, errors: Tally, warnings: Tally) -> None:
    """`now` is Unix seconds."""
    for same in repeated(deck):
        _check_times(same[::-1], errors, warnings)
    if deck.periods and all(end <= now for _, end in deck.periods):
        warnings.add(Problem(0, "all rates have ended; is it an old deck?"))
    free = {number for number in set(deck.columns.tariff) if _is_free(deck.tariffs[number])}
    if places := free and [place for place, number in enumerate(deck.columns.tariff) if number in free]:
        line = min(deck.columns.line[place] for place in places)
        how_many = counted(len(places), "rate is 0", "rates are 0")
        warnings.add(Problem(line, f"{how_many}, this is the first; is it the right column?"))


def repeated(deck: Deck) -> Iterator[list[Rate]]:
    """The rates of each key that has several. Nearly all have one, so whole columns are compared, not rate by rate."""
    keys = deck.columns.key
    last = -1
    same: list[Rate] = []
    for place in compress(count(), map(eq, keys, keys[1:])):
        if place != last:
            if same:
                yield same
            same = [_rate(deck, place)]
        same.append(_rate(deck, place + 1))
        last = place + 1
    if same:
        yield same


def _rate(deck: Deck, place: int) -> Rate:
    key, tariff, period, line = (column[place] for column in deck.columns)
    start, end = deck.periods[period]
    return Rate(Kind(key >> KIND_SHIFT), deck.key(key), deck.tariffs[tariff], start, end, line)


def _is_free(tariff: Tariff | None) -> bool:
    return tariff is not None and tariff.rate == 0 and tariff.connect == 0


def _check_times(rates: Sequence[Rate], errors: Tally, warnings: Tally) -> None:
    """Of one key, the earliest start and line first."""
    key = shown(rates[0].key)
    furthest = rates[0]
    for before, rate in pairwise(rates):
        if rate.start == before.start and rate.tariff != before.tariff:
            errors.add(Problem(rate.line, f"{key} has another rate from the same time on line {before.line}; keep one"))
        elif rate.start == before.start:
            warnings.add(Problem(rate.line, f"{key} stands on line {before.line} already"))
        elif rate.start > furthest.end:
            gap = f"from {_time(furthest.end)} to {_time(rate.start)}"
            warnings.add(Problem(rate.line, f"{key} has no rate {gap}, after line {furthest.line}"))
        elif rate.start < furthest.end < FOR_EVER:
            overlap = f"line {furthest.line} ends {_time(furthest.end)}, later than this one starts"
            warnings.add(Problem(rate.line, f"{key}: {overlap}; this one counts (or --last-day excluded?)"))
        furthest = max(furthest, rate, key=lambda r: r.end)


def compare_with_live(differences: Differences, limits: Limits, warnings: Tally) -> None:
    gone, old = differences.counts[Word.GONE], differences.old
    if gone * 100 > limits.shrink * old:
        warnings.add(Problem(0, f"{gone} of {old} destinations of the live deck are gone; is the file whole?"))
    if differences.jumps:
        how_many = counted(differences.jumps, "rate moves", "rates move")
        warnings.add(Problem(0, f"{how_many} by more than {limits.jump:g} %; see `rates diff`"))


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
