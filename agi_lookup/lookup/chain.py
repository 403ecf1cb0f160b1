"""Which source is asked, in which order, until the wanted facets are known. Vendor trouble is a value here, never an exception."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeAlias

from cachetools import TLRUCache

from agi_lookup.domain.errors import ProviderError, ProviderOutcomeUnknown
from agi_lookup.domain.model import Attempt, Facet, LookupAnswer, Number, NumberType, Tri
from agi_lookup.lookup.budget import Payer
from agi_lookup.lookup.hedge import BUDGET_SUFFIX, Hedger
from agi_lookup.lookup.line import NOBODY
from agi_lookup.lookup.link import Link
from agi_lookup.lookup.singleflight import Until

NOTHING: Final[frozenset[Facet]] = frozenset()
EVERYTHING: Final = frozenset(Facet)
NO_SOURCES: Final[frozenset[str]] = frozenset()
MAX_REMEMBERED: Final = 50_000
"""Refusals kept in memory, over all sources: some 20 MiB at the most."""


class Metrics(Protocol):
    def source_asked(self, provider: str, result: str, seconds: float, answer: LookupAnswer | None) -> None: ...
    def alarm(self, code: str, detail: str) -> None: ...
    def bug(self, where: str) -> None: ...


Note: TypeAlias = Callable[[Number, str, str, float, bool, LookupAnswer | None], None]
"""Told of each source that is done with a number: its name, what came of it, in how many seconds, whether somebody still waits,
and the answer. Never raises."""


def unnoted(*_what: object) -> None:
    """Nobody wants to know."""


Worth: TypeAlias = Callable[[str, Number, frozenset[Facet], str], bool]
"""Is it worth its price to ask a source about these facets of a number, on a profile's account?"""


def _always(_source: str, _number: Number, _wanted: frozenset[Facet], _profile: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class ChainResult:
    """What the sources said, in the order asked. `asked` holds the facets that were wanted, and those that were told anyway."""

    asked: frozenset[Facet]
    answers: tuple[LookupAnswer, ...] = ()
    error: ProviderError | None = None  # the last failure, if any source failed
    attempts: tuple[Attempt, ...] = ()

    def with_answers(self, answers: tuple[LookupAnswer, ...]) -> ChainResult:
        return ChainResult(self.asked, answers, self.error, self.attempts)

    def then(self, more: ChainResult) -> ChainResult:
        """Both in one; what was said last comes first."""
        return ChainResult(
            self.asked | more.asked,
            more.answers + self.answers,
            more.error or self.error,
            self.attempts + more.attempts,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A source at its place in a profile's order, and what it is asked about. None: about all."""

    link: Link
    facets: frozenset[Facet]
    countries: frozenset[str] | None = None
    except_countries: frozenset[str] = frozenset()
    types: frozenset[NumberType] | None = None
    in_call: bool = True  # False: calls do not wait for it, it only fills the cache behind them

    def takes(self, number: Number) -> bool:
        if self.countries is not None and number.country not in self.countries:
            return False
        return number.country not in self.except_countries and (self.types is None or number.type in self.types)


Refusals: TypeAlias = "TLRUCache[tuple[str, str], ProviderError]"
"""What a source said it cannot do for a number, or may have charged in vain: it is not asked again for `remember_s`."""


def new_refusals(timer: Callable[[], float] = time.monotonic) -> Refusals:
    return TLRUCache(MAX_REMEMBERED, ttu=lambda _key, refusal, now: now + refusal.remember_s, timer=timer)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a number, and on whose account. `only` asks that source alone, whatever its place says."""

    number: Number
    facets: frozenset[Facet]
    until: Until
    payer: Payer = NOBODY
    only: str | None = None
    behind: bool = False  # only of the sources that no call waits for


class Told:
    """What came so far. Small, because one is held by every lookup that waits."""

    __slots__ = ("answers", "asked", "attempts", "closed", "error")

    def __init__(self) -> None:
        self.answers: tuple[LookupAnswer, ...] = ()
        self.attempts: tuple[Attempt, ...] = ()
        self.error: ProviderError | None = None
        self.asked = NO_SOURCES  # that are not to be asked again
        self.closed = False  # nobody listens any more

    def was_asked(self, source: str) -> bool:
        return source in self.asked or any(attempt.provider == source for attempt in self.attempts)

    def skipped(self, source: str, remembered: ProviderError) -> None:
        self.error = remembered
        self.attempts += (Attempt(source, f"skipped: {remembered.code}", 0.0),)

    def spared(self, source: str) -> None:
        self.attempts += (Attempt(source, "skipped: not_worth", 0.0),)

    def result(self, asked: frozenset[Facet]) -> ChainResult:
        return ChainResult(asked | spoken_of(self.answers), self.answers, self.error, self.attempts)


class Chain:
    """Sources in the order of the config. `keep_late` gets the answers of hedged sources that came second."""

    def __init__(  # noqa: PLR0913 - all that a chain tells of
        self,
        steps: Iterable[Step],
        refusals: Refusals,
        metrics: Metrics,
        clock: Callable[[], float],
        *,
        hedger: Hedger | None = None,
        adopt: Callable[[asyncio.Task[Any]], None] = lambda _task: None,
        keep_late: Callable[[LookupAnswer], None] = lambda _answer: None,
        worth: Worth = _always,
        note: Note = unnoted,
    ) -> None:
        self._steps = tuple(steps)
        self._refusals = refusals
        self._metrics = metrics
        self._clock = clock
        self._hedger = hedger
        self._adopt = adopt
        self._keep_late = keep_late
        self._worth = worth
        self._note = note

    def offers(self, number: Number) -> tuple[frozenset[Facet], frozenset[Facet]]:
        """The facets that some source may tell of this number: in a call, and at all."""
        in_call, at_all = NOTHING, NOTHING
        for step in self._steps:
            if step.facets <= (in_call if step.in_call else at_all) or not step.takes(number):
                continue
            at_all = joined(at_all, step.facets)
            if step.in_call:
                in_call = joined(in_call, step.facets)
        return in_call, at_all

    def sources(self, number: Number, facets: frozenset[Facet], only: str | None) -> list[Step]:
        """For people: those that may be asked about some of these facets, in order, once each."""
        found: dict[str, Step] = {}
        for step in self._steps:
            if (step.link.name == only) if only else (step.takes(number) and step.facets & facets):
                found.setdefault(step.link.name, step)
        return list(found.values())

    def refused(self, source: str, number: Number) -> str:
        """For people: the word for why it is not asked again yet; empty when it may be."""
        refusal = self._refusals.get((source, number.e164))
        return refusal.code if refusal is not None else ""

    async def ask(self, wish: Wish) -> ChainResult:
        """Ask until the facets are known or nobody is left. Once nobody waits any more (`until`), nobody more is asked."""
        told = Told()
        loop = asyncio.get_running_loop()
        left = self._for(wish)
        while left:
            step = left.pop(0)
            if told.was_asked(step.link.name) or not (wish.facets - known(told.answers)) & step.facets:
                continue
            if (remembered := self._refused(step.link, wish.number)) is not None:
                told.skipped(step.link.name, remembered)
                continue
            if not self._is_worth(wish, step, told):
                told.spared(step.link.name)
                continue
            started = loop.time()
            if started >= wish.until():
                return told.result(frozenset())
            if self._hedger is not None and left:
                await self._hedged(wish, step, left[0], self._hedger, told)
                continue
            try:
                answer = await step.link.ask(wish.number, self._clock(), wish.until, wish.payer)
            except ProviderError as failure:
                self._failed(step.link, wish, failure, started, told)
                if not failure.try_next:
                    break
            else:
                self._answered(wish, answer, started, told)
        return told.result(wish.facets)

    def _for(self, wish: Wish) -> list[Step]:
        if wish.only is not None:
            return [step for step in self._steps if step.link.name == wish.only][:1]
        return [step for step in self._steps if step.in_call is not wish.behind and step.takes(wish.number)]

    def _is_worth(self, wish: Wish, step: Step, told: Told) -> bool:
        """Who names a source wants to pay for it."""
        if wish.only is not None or step.link.is_free:
            return True
        wanted = (wish.facets - known(told.answers)) & step.facets
        return self._worth(step.link.name, wish.number, wanted, wish.payer.profile)

    async def _hedged(self, wish: Wish, first: Step, second: Step, hedger: Hedger, told: Told) -> None:
        """Ask two sources, the second only when the first is slow, until one answers well. The other's is kept when it comes."""
        loop = asyncio.get_running_loop()
        racing = {loop.create_task(self._race(wish, first, wish.payer, hedger, told))}
        after_s = hedger.after_s(first.link.name)
        spare = (
            not told.was_asked(second.link.name)
            and self._refused(second.link, wish.number) is None
            and self._is_worth(wish, second, told)
        )
        if after_s is not None and spare and first.facets <= second.facets:
            _, racing = await asyncio.wait(racing, timeout=after_s)
            if racing:
                hedger.hedged()
                payer = replace(wish.payer, profile=f"{wish.payer.profile}{BUDGET_SUFFIX}")
                racing.add(loop.create_task(self._race(wish, second, payer, hedger, told)))
        for task in racing:
            self._adopt(task)
        while racing and not first.facets & wish.facets <= known(told.answers):
            _, racing = await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
        told.closed = True

    async def _race(self, wish: Wish, step: Step, payer: Payer, hedger: Hedger, told: Told) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        told.asked |= {step.link.name}
        try:
            answer = await step.link.ask(wish.number, self._clock(), wish.until, payer)
        except ProviderError as failure:
            self._failed(step.link, wish, failure, started, told)
            return
        except Exception:  # noqa: BLE001 - counted; the other one races on
            self._metrics.bug("hedge")
            self._failed(step.link, wish, ProviderOutcomeUnknown(), started, told)
            return
        hedger.took(step.link.name, loop.time() - started)
        self._answered(wish, answer, started, told)
        if told.closed:
            self._keep_late(answer)

    def _refused(self, link: Link, number: Number) -> ProviderError | None:
        key = (link.name, number.e164)
        if key not in self._refusals:  # get() would raise and catch KeyErrors for nearly every call
            return None
        return self._refusals.get(key)  # it may end between the two

    def _answered(self, wish: Wish, answer: LookupAnswer, started: float, told: Told) -> None:
        now = asyncio.get_running_loop().time()
        seconds = now - started
        self._note(wish.number, answer.provider, "answer", seconds, now <= wish.until(), answer)
        self._metrics.source_asked(answer.provider, "answer", seconds, answer)
        told.answers += (answer,)
        told.attempts += (Attempt(answer.provider, "answer", seconds * 1000, answer.cost, answer.currency),)

    def _failed(self, link: Link, wish: Wish, failure: ProviderError, started: float, told: Told) -> None:
        now = asyncio.get_running_loop().time()
        seconds = now - started
        self._note(wish.number, link.name, failure.code, seconds, now <= wish.until(), None)
        if failure.remember_s:
            failure.__context__ = failure.__cause__ = (
                None  # their frames hold the vendor's reply, and would stay as long
            )
            self._refusals[link.name, wish.number.e164] = failure.with_traceback(None)
        if failure.alarm:
            self._metrics.alarm(f"provider_{failure.code}", link.name)
        self._metrics.source_asked(link.name, failure.code, seconds, None)
        told.error = failure
        told.attempts += (Attempt(link.name, failure.code, seconds * 1000),)


def joined(some: frozenset[Facet], others: frozenset[Facet]) -> frozenset[Facet]:
    """The union, as one of the two where it can be: a set is 216 bytes, and a call that waits would hold each."""
    if others <= some:
        return some
    return others if some <= others else some | others


def common(some: frozenset[Facet], others: frozenset[Facet]) -> frozenset[Facet]:
    """The intersection, in the same way."""
    if some <= others:
        return some
    return others if others <= some else some & others


def spoken_of(answers: Iterable[LookupAnswer]) -> frozenset[Facet]:
    """The facets that some source spoke of, if only to say that it does not know."""
    facets: set[Facet] = set()
    for answer in answers:
        if answer.identity is not None:
            facets.add(Facet.IDENTITY)
        if answer.liveness is not None:
            facets.add(Facet.LIVENESS)
    return frozenset(facets)


def known(answers: Iterable[LookupAnswer]) -> frozenset[Facet]:
    """The facets that need no further source. Of a number that is nobody's, there is no network to ask for either."""
    facets: set[Facet] = set()
    for answer in answers:
        if answer.liveness and answer.liveness.known and answer.liveness.valid is Tri.NO:
            return EVERYTHING
        if answer.identity and answer.identity.known:
            facets.add(Facet.IDENTITY)
        if answer.liveness and answer.liveness.known:
            facets.add(Facet.LIVENESS)
    return frozenset(facets)
