"""What changes from one deck to another: both are sorted, so they are merged as they stream by, whatever their size.

Of each key one rate is compared: unless a time is given, the one that will hold in the end, as a deck announces what is to come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from heapq import nlargest
from math import inf
from typing import Final, NamedTuple, TypeAlias

from agi_lookup.routing.deck_file import Deck
from agi_lookup.routing.rates import FOR_EVER, Kind, Tariff
from agi_lookup.routing.tables import KIND_SHIFT, LEADING, VALUE_MASK, leading_digits

BIGGEST: Final = 20

_Standing: TypeAlias = tuple[int, Tariff | None]
"""The code of a key, and what it is charged by."""
_NO_CODE: Final = 1 << 64
_END: Final[_Standing] = (_NO_CODE, None)


class Word(StrEnum):
    """What became of a destination. `up` and `down` go by the rate a minute, `terms` are fee and increments alone."""

    NEW = "new"
    GONE = "gone"
    UP = "up"
    DOWN = "down"
    TERMS = "terms"
    CURRENCY = "currency"
    BLOCKED = "blocked"
    UNBLOCKED = "unblocked"
    UNCHANGED = "unchanged"


class Change(NamedTuple):
    """A rate that went up or down. `percent` is infinite where it was 0."""

    kind: Kind
    key: str
    old: Tariff
    new: Tariff
    percent: float


@dataclass(frozen=True, slots=True)
class Differences:
    """Destinations: how many of the old deck, by what became of them, how many moved further than asked, and which furthest."""

    old: int
    counts: Counter[Word]
    jumps: int
    biggest: tuple[Change, ...]


def compare(
    old: Deck | None, new: Deck, now: float, at: float | None = None, *, jump: float = inf, shown: int = BIGGEST
) -> Differences:
    """Of each key, the rate in force at `at` (Unix seconds), else the one in force last that has not ended `now`.

    `jump` is in percent.
    """
    texts = sorted({*(old.texts if old else ()), *new.texts})
    known: dict[Tariff | None, Tariff | None] = {}  # so that equal tariffs of both decks are one object
    since, until = (now, FOR_EVER) if at is None else (at, at)
    olds = _standing(old, since, until, texts, known) if old else iter(())
    counts: Counter[Word] = Counter()
    jumps = 0

    def moves() -> Iterator[Change]:
        nonlocal jumps
        for code, before, after in _changes(olds, _standing(new, since, until, texts, known), counts):
            word = _word(before, after)
            counts[word] += 1
            if before and after and word in (Word.UP, Word.DOWN):
                percent = (after.rate - before.rate) * 100 / before.rate if before.rate else inf
                jumps += abs(percent) > jump
                yield Change(*_key(code, texts), before, after, percent)

    biggest = nlargest(shown, moves(), key=lambda change: abs(change.percent))
    return Differences(counts.total() - counts[Word.NEW], counts, jumps, tuple(biggest))


def _standing(
    deck: Deck, since: float, until: float, texts: Sequence[str], known: dict[Tariff | None, Tariff | None]
) -> Iterator[_Standing]:
    """One rate of each key, by key. Codes are those of a deck with these `texts`."""
    mine = (deck.tariffs[number] for number in range(len(deck.tariffs) + 1))
    tariffs = [known.setdefault(tariff, tariff) for tariff in mine]
    counts = [start <= until and end > since for start, end in deck.periods]
    keys: Iterable[int] = deck.columns.key
    if texts:
        places = {text: place for place, text in enumerate(texts)}
        common = [places[text] for text in deck.texts]
        keys = (
            code if code >> KIND_SHIFT in LEADING else code & ~VALUE_MASK | common[code & VALUE_MASK] for code in keys
        )
    last = -1
    for code, tariff, period in zip(keys, deck.columns.tariff, deck.columns.period, strict=True):
        if code != last and counts[period]:
            last = code
            yield code, tariffs[tariff]


def _changes(
    olds: Iterator[_Standing], news: Iterator[_Standing], counts: Counter[Word]
) -> Iterator[tuple[int, Tariff | None, Tariff | None]]:
    """What both decks have and charge differently; the rest is only counted."""
    new = gone = unchanged = 0
    (old_code, before), (new_code, after) = next(olds, _END), next(news, _END)
    while old_code < _NO_CODE or new_code < _NO_CODE:
        if old_code < new_code:
            gone += 1
            old_code, before = next(olds, _END)
        elif new_code < old_code:
            new += 1
            new_code, after = next(news, _END)
        else:
            if before is after:
                unchanged += 1
            else:
                yield old_code, before, after
            (old_code, before), (new_code, after) = next(olds, _END), next(news, _END)
    counts.update({Word.NEW: new, Word.GONE: gone, Word.UNCHANGED: unchanged})


def _key(code: int, texts: Sequence[str]) -> tuple[Kind, str]:
    kind = Kind(code >> KIND_SHIFT)
    return kind, leading_digits(code) if kind in LEADING else texts[code & VALUE_MASK]


def _word(old: Tariff | None, new: Tariff | None) -> Word:
    if old is None or new is None:
        return Word.BLOCKED if new is None else Word.UNBLOCKED
    if old.currency != new.currency:
        return Word.CURRENCY
    if old.rate == new.rate:
        return Word.TERMS
    return Word.UP if new.rate > old.rate else Word.DOWN
