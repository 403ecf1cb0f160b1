"""Which source is asked, in which order, until the wanted facets are known. Vendor trouble is a value here, never an exception."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from cachetools import TLRUCache

from agi_lookup.domain.errors import ProviderBusy, ProviderError, ProviderProtocolError
from agi_lookup.domain.model import Attempt, Facet, LookupAnswer, Number
from agi_lookup.lookup.singleflight import Until
from agi_lookup.providers.base import Lookup, NumberResult, Provider

MAX_REMEMBERED: Final = 50_000
"""Refusals kept in memory, over all sources: some 20 MiB at the most."""


class Driver(Protocol):
    """Runs a provider's generator against its vendor. Raises `ProviderError` only (and `CancelledError`)."""

    async def run(self, lookup: Lookup, *, timeout_s: float) -> Mapping[str, NumberResult]: ...


class Metrics(Protocol):
    def source_asked(self, provider: str, result: str, seconds: float, answer: LookupAnswer | None) -> None: ...
    def alarm(self, code: str, detail: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ChainResult:
    """What the sources said, in the order asked. `asked` holds the facets that were wanted, and those that were told anyway."""

    asked: frozenset[Facet]
    answers: tuple[LookupAnswer, ...] = ()
    error: ProviderError | None = None  # the last failure, if any source failed
    attempts: tuple[Attempt, ...] = ()


class Link:
    """One source as the chain sees it: how to ask it, and how many may ask at once."""

    def __init__(self, provider: Provider, driver: Driver, *, timeout_s: float, max_concurrency: int) -> None:
        self.name = provider.name
        self.provides = provider.provides
        self._provider = provider
        self._driver = driver
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(max_concurrency)

    async def ask(self, number: Number, now: float, until: Until) -> LookupAnswer:
        """One number's answer. Raises `ProviderError`; `ProviderBusy` when no connection came free in time."""
        if self._slots.locked():
            await self._wait_for_slot(until)
        else:
            await self._slots.acquire()
        try:
            results = await self._driver.run(self._provider.lookup([number], now), timeout_s=self._timeout_s)
        finally:
            self._slots.release()
        result = results.get(number.e164)
        if isinstance(result, ProviderError):
            raise result
        if result is None or result.number != number.e164:
            raise ProviderProtocolError("answered for another number")
        return result

    async def _wait_for_slot(self, until: Until) -> None:
        while True:
            deadline = until()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._slots.acquire()
            except TimeoutError:
                if until() <= deadline:  # else somebody joined who waits longer
                    raise ProviderBusy from None
            else:
                return


Refusals: TypeAlias = "TLRUCache[tuple[str, str], ProviderError]"
"""What a source said it cannot do for a number, or may have charged in vain: it is not asked again for `remember_s`."""


def new_refusals(timer: Callable[[], float] = time.monotonic) -> Refusals:
    return TLRUCache(MAX_REMEMBERED, ttu=lambda _key, refusal, now: now + refusal.remember_s, timer=timer)


class Chain:
    """Sources in the order of the config."""

    def __init__(self, links: Iterable[Link], refusals: Refusals, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._links = tuple(links)
        self._refusals = refusals
        self._metrics = metrics
        self._clock = clock
        self.provides: frozenset[Facet] = frozenset().union(*(link.provides for link in self._links))

    async def ask(
        self, number: Number, facets: frozenset[Facet], *, until: Until, only: str | None = None
    ) -> ChainResult:
        """Ask until `facets` are known or nobody is left. Once nobody waits any more (`until`), nobody more is asked."""
        answers: list[LookupAnswer] = []
        attempts: list[Attempt] = []
        error: ProviderError | None = None
        for link in self._links:
            wanted = facets - known(answers)
            if not wanted & link.provides or only not in (None, link.name):
                continue
            if asyncio.get_running_loop().time() >= until():
                return ChainResult(told(answers), tuple(answers), error, tuple(attempts))
            result, attempt = await self._ask(link, number, until)
            attempts.append(attempt)
            if isinstance(result, ProviderError):
                error = result
                if not result.try_next:
                    break
            else:
                answers.append(result)
        return ChainResult(facets | told(answers), tuple(answers), error, tuple(attempts))

    async def _ask(self, link: Link, number: Number, until: Until) -> tuple[NumberResult, Attempt]:
        key = (link.name, number.e164)
        if key in self._refusals:  # get() would raise and catch KeyErrors for nearly every call
            remembered = self._refusals[key]
            return remembered, Attempt(link.name, f"skipped: {remembered.code}", 0.0)
        loop = asyncio.get_running_loop()
        started = loop.time()
        result: NumberResult
        try:
            result = await link.ask(number, self._clock(), until)
        except ProviderError as failure:
            result = failure
            self._note_failure(link, number, failure)
        seconds = loop.time() - started
        answer = result if isinstance(result, LookupAnswer) else None
        word = "answer" if answer else result.code if isinstance(result, ProviderError) else ""
        self._metrics.source_asked(link.name, word, seconds, answer)
        return result, Attempt(
            link.name, word, seconds * 1000, answer.cost if answer else None, answer.currency if answer else None
        )

    def _note_failure(self, link: Link, number: Number, failure: ProviderError) -> None:
        if failure.remember_s:
            self._refusals[link.name, number.e164] = failure
        if failure.alarm:
            self._metrics.alarm(f"provider_{failure.code}", link.name)


def told(answers: Iterable[LookupAnswer]) -> frozenset[Facet]:
    """The facets that some source spoke of, if only to say that it does not know."""
    facets: set[Facet] = set()
    for answer in answers:
        if answer.identity is not None:
            facets.add(Facet.IDENTITY)
        if answer.liveness is not None:
            facets.add(Facet.LIVENESS)
    return frozenset(facets)


def known(answers: Iterable[LookupAnswer]) -> frozenset[Facet]:
    """The facets that need no further source."""
    facets: set[Facet] = set()
    for answer in answers:
        if answer.identity and answer.identity.known:
            facets.add(Facet.IDENTITY)
        if answer.liveness and answer.liveness.known:
            facets.add(Facet.LIVENESS)
    return frozenset(facets)
