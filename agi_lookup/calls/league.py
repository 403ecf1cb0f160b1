"""How good providers are: what they said of numbers, beside what became of the calls to these and what others said. Pure.

All that the log holds of one number is judged together and adds to the figures; figures add up, in whatever order numbers come.
An answer about reachability is judged by the calls that it was the provider's last word for: those of the next hour, and of the
half minute before, for who was too late to be told. One answer is judged once, however many calls there were.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

from agi_lookup.calls.records import LoggedResult, LookupRecord
from agi_lookup.domain.model import NumberType, Tri
from agi_lookup.policy.evidence import VENDORS
from agi_lookup.policy.history import life
from agi_lookup.routing.rates import NANO

ANSWER: Final = "answer"
NOT_COVERED: Final = "not_covered"
HELD_BACK: Final = frozenset({"busy", "shut", "over_budget", "not_booked"})
"""Nobody was asked: its breaker, its limits or our purse were in the way."""
BELIEVED_S: Final = 3600.0
LATE_S: Final = 30.0
MOST: Final = 1_000_000
"""A price above it, for one number, is no price."""
NOWHERE: Final = "-"


class By(StrEnum):
    COUNTRY = "country"
    TYPE = "type"
    NETWORK = "network"


class Heard(NamedTuple):
    """A call: when it was decided, whose words it was told from the cache, and how it went."""

    at: float
    country: str | None
    type: NumberType
    cached: frozenset[str] = frozenset()
    results: tuple[LoggedResult, ...] = ()


@dataclass(slots=True)
class Score:
    """Of the answers that were `judged`, how many turned out `wrong`."""

    judged: int = 0
    wrong: int = 0

    def add(self, other: Score) -> None:
        self.judged += other.judged
        self.wrong += other.wrong


@dataclass(slots=True)
class Figures:
    """Of one provider in one group. All that was `asked` is an answer or one of `words`; an answer is useful or inconclusive."""

    asked: int = 0
    held_back: int = 0
    in_time: int = 0  # answers that somebody still waited for
    useful: int = 0  # answers that told the network or the reachability
    networks: int = 0
    livenesses: int = 0
    words: Counter[str] = field(default_factory=Counter)  # what came of the others
    ms: Counter[int] = field(default_factory=Counter)
    cost: Counter[str] = field(default_factory=Counter)  # nano-units by currency, as answers state it
    cached: int = 0  # calls that were told its words without a new lookup
    dead: Score = field(default_factory=Score)  # said that the number is nobody's; wrong: a call was answered
    absent: Score = field(default_factory=Score)  # said that it cannot be reached; wrong: a call was answered
    reachable: Score = field(default_factory=Score)  # wrong: two vendors' "no such number", and no sign of life
    network: Score = field(default_factory=Score)  # wrong: another provider, or it itself later, said another one

    @property
    def answers(self) -> int:
        return self.asked - self.words.total()

    def add(self, other: Figures) -> None:
        for name in ("asked", "held_back", "in_time", "useful", "networks", "livenesses", "cached"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("words", "ms", "cost"):
            getattr(self, name).update(getattr(other, name))
        for name in ("dead", "absent", "reachable", "network"):
            getattr(self, name).add(getattr(other, name))


League: TypeAlias = "defaultdict[tuple[str, str], Figures]"
"""By provider and group."""


def new() -> League:
    return defaultdict(Figures)


def merge(into: League, more: Mapping[tuple[str, str], Figures]) -> None:
    for key, figures in more.items():
        into[key].add(figures)


def judge(
    lookups: Iterable[LookupRecord], calls: Iterable[Heard], vendor_of: Callable[[str], str], by: By | None = None
) -> League:
    """All lookups of one number and all calls to it, in any order. `vendor_of` names who is behind a trunk."""
    lookups, calls = sorted(lookups, key=_order), sorted(calls, key=lambda call: call.at)
    group = _group(by, lookups, calls)
    league = new()
    for lookup in lookups:
        _count(league[lookup.provider, group], lookup)
    for call in calls:
        for provider in call.cached:
            league[provider, group].cached += 1
    _judge_networks(lookups, lambda lookup: league[lookup.provider, group].network)
    for provider in {lookup.provider for lookup in lookups}:
        words = [one for one in lookups if one.provider == provider and one.reachable is not Tri.UNKNOWN]
        _judge_words(words, calls, vendor_of, league[provider, group])
    return league


def _order(lookup: LookupRecord) -> tuple[float, str, str, int, str, str, str]:
    return (
        lookup.at, lookup.provider, lookup.result, lookup.ms, lookup.network, lookup.reachable.value, lookup.valid.value
    )  # fmt: skip


def _group(by: By | None, lookups: Sequence[LookupRecord], calls: Sequence[Heard]) -> str:
    """What the number is, as was said last."""
    if by is None:
        return ""
    if by is By.NETWORK:
        return next((one.network for one in reversed(lookups) if one.network), NOWHERE)
    last = (lookups or calls)[-1]
    return (last.country or NOWHERE) if by is By.COUNTRY else last.type.value


def _count(figures: Figures, lookup: LookupRecord) -> None:
    if lookup.result in HELD_BACK:
        figures.held_back += 1
        return
    figures.asked += 1
    figures.ms[lookup.ms] += 1
    if lookup.result != ANSWER:
        figures.words[lookup.result] += 1
        return
    has_liveness = lookup.reachable is not Tri.UNKNOWN
    figures.in_time += lookup.in_time
    figures.networks += lookup.has_network
    figures.livenesses += has_liveness
    figures.useful += lookup.has_network or has_liveness
    if lookup.cost is not None and lookup.cost.is_finite() and 0 < lookup.cost <= MOST:
        figures.cost[lookup.currency or ""] += int(lookup.cost * NANO)


def _judge_networks(lookups: Sequence[LookupRecord], score_of: Callable[[LookupRecord], Score]) -> None:
    """Each beside the next one. Of two providers that disagree nobody knows who is wrong, so it counts against both."""
    said = [lookup for lookup in lookups if lookup.network]
    judged: dict[int, bool] = {}
    for index, (one, other) in enumerate(pairwise(said)):
        wrong = one.network != other.network
        judged[index] = judged.get(index, False) or wrong
        if one.provider != other.provider:
            judged[index + 1] = wrong
    for index, wrong in judged.items():
        score_of(said[index]).add(Score(1, int(wrong)))


def _judge_words(
    words: Sequence[LookupRecord], calls: Iterable[Heard], vendor_of: Callable[[str], str], figures: Figures
) -> None:
    """One provider's, in order."""
    times = [word.at for word in words]
    heard: dict[int, list[LoggedResult]] = defaultdict(list)
    for call in calls:
        last = bisect_right(times, call.at + LATE_S) - 1
        if last >= 0 and call.at - times[last] <= BELIEVED_S:
            heard[last] += call.results
    for index, results in heard.items():
        word = words[index]
        if word.reachable is Tri.YES:
            figures.reachable.add(_was_there(results, vendor_of))
        elif word.valid is Tri.NO:
            figures.dead.add(_was_answered(results))
        else:
            figures.absent.add(_was_answered(results))


def _was_there(results: Iterable[LoggedResult], vendor_of: Callable[[str], str]) -> Score:
    lives = [(life(result.of("")), vendor_of(result.trunk)) for result in results]
    if any(sign is Tri.YES for sign, _ in lives):
        return Score(1, 0)
    refused = len({vendor for sign, vendor in lives if sign is Tri.NO}) >= VENDORS
    return Score(int(refused), int(refused))


def _was_answered(results: Iterable[LoggedResult]) -> Score:
    """Calls that the network lost on the way judge nobody."""
    said = [result.of("") for result in results]
    answered = any(result.answered for result in said)
    tried = any(result.dialstatus == "NOANSWER" or life(result) is not Tri.UNKNOWN for result in said)
    return Score(int(tried), int(answered))
