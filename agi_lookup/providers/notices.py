"""Who waits for which number at which vendor that reports by webhook. What nobody asked for changes nothing.

Each request is owed one notice. The first that comes satisfies everybody who waits for the number there; what comes beyond what is
owed is counted and dropped, so that an old notice sent again is never news. A notice that meets nobody waiting (it overtook the
acknowledgement, or came after the wait) is kept for the request that is under way, and handed on: it has been paid for.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from cachetools import TTLCache

from agi_lookup.domain.errors import ProviderError
from agi_lookup.domain.model import LookupAnswer

Result: TypeAlias = LookupAnswer | ProviderError
Key: TypeAlias = tuple[str, str]  # the provider's name, and E.164 with `+`
Delivered: TypeAlias = Literal["accepted", "repeated", "unasked"]

MAX_ASKED: Final = 50_000
"""Numbers asked lately, over all providers: some 25 MiB at the most. Who waits now is not among them."""
LATE_S: Final = 3600.0


@dataclass(slots=True)
class _Asked:
    owed: int = 0  # requests whose notice has not come
    last: Result | None = None
    news: bool = False  # has `last` come since the last request?
    heard: Callable[[], None] = lambda: None  # to be called when a notice comes


class Notices:
    """Of all providers; outlives reloads. `on_late` gets the answers that nobody waited for when they came."""

    def __init__(
        self,
        late_s: float = LATE_S,
        on_late: Callable[[LookupAnswer], None] = lambda _answer: None,
        *,
        max_asked: int = MAX_ASKED,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.on_late = on_late
        self._asked: TTLCache[Key, _Asked] = TTLCache(max_asked, late_s, timer)
        self._waiting: dict[Key, set[asyncio.Future[Result | None]]] = {}

    def expect(self, provider: str, number: str, heard: Callable[[], None] = lambda: None) -> None:
        """Say that a request is about to be sent: its notice may overtake the acknowledgement. `heard` is told of any notice."""
        asked = self._asked.pop((provider, number), None) or _Asked()
        asked.owed += 1
        asked.news = False
        asked.heard = heard
        self._asked[provider, number] = asked

    def forget(self, provider: str, number: str) -> None:
        """The vendor did not take the number, or answered at once. Not after an unknown outcome: a notice may still come."""
        asked = self._asked.get((provider, number))
        if asked is not None:
            asked.owed = max(0, asked.owed - 1)

    def erase(self, provider: str, number: str) -> bool:
        """What is remembered of it, if anything is: a notice that still comes is one that nobody asked for."""
        return self._asked.pop((provider, number), None) is not None

    def awaits(self, provider: str, number: str) -> bool:
        return (provider, number) in self._asked

    async def result(self, provider: str, number: str, wait_s: float) -> Result | None:
        """What the vendor says of the number since `expect`; None after `wait_s`. Raises `CancelledError` only."""
        asked = self._asked.get((provider, number))
        if asked is not None and asked.news and asked.last is not None:
            return asked.last
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Result | None] = loop.create_future()
        waiting = self._waiting.setdefault((provider, number), set())
        waiting.add(waiter)
        timer = loop.call_later(wait_s, _give_up, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # it came in the very moment
                self._hand_on(waiter.result())
            raise
        finally:
            timer.cancel()
            waiting.discard(waiter)
            if not waiting:
                del self._waiting[provider, number]

    def deliver(self, provider: str, results: Mapping[str, Result]) -> Counter[Delivered]:
        """How many of `results` (by number) were accepted, repeated or never asked for."""
        return Counter(self._take((provider, number), result) for number, result in results.items())

    def _take(self, key: Key, result: Result) -> Delivered:
        waiters = [waiter for waiter in self._waiting.get(key, ()) if not waiter.done()]
        asked = self._asked.get(key) or (_Asked() if waiters else None)
        if asked is None:
            return "unasked"
        if not waiters and not asked.owed:
            return "repeated"
        if result != asked.last:  # else it is an old one sent again, and what is owed may still come
            asked.owed = max(0, asked.owed - 1)
        asked.last, asked.news = result, True
        asked.heard()
        for waiter in waiters:
            waiter.set_result(result)
        if not waiters:
            self._hand_on(result)
        return "accepted"

    def _hand_on(self, result: Result | None) -> None:
        if isinstance(result, LookupAnswer):
            self.on_late(result)


def _give_up(waiter: asyncio.Future[Result | None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
