"""One configured source as the chain sees it: its provider and driver behind gates, a line, a purse and the ear for its webhooks.

A number that may go at once goes in its caller's own task. One that must wait may find itself in another's request (`line.Turn`):
who leads sends for all, and every number gets a result of its own. What is sent is sent: who leaves only does not hear of it.
Money is set aside before, written down before the first byte leaves, and settled or released exactly once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Final, Literal, Protocol, TypeVar

from agi_lookup.domain.errors import (
    ProviderBusy,
    ProviderError,
    ProviderOutcomeUnknown,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderSilent,
    ProviderTimeout,
)
from agi_lookup.domain.model import LookupAnswer, Number
from agi_lookup.lookup.budget import Payer
from agi_lookup.lookup.line import NOBODY, Asked, Came, Line, Turn
from agi_lookup.lookup.singleflight import Until
from agi_lookup.providers.base import Lookup, NumberResult, Pending, Provider

R = TypeVar("R")


class Driver(Protocol):
    """Runs a provider's generator against its vendor. Raises `ProviderError` only (and `CancelledError`)."""

    async def run(self, lookup: Lookup, *, timeout_s: float) -> Mapping[str, NumberResult]: ...


class Purse(Protocol[R]):
    """Money. `R` is what was set aside for one number; each is settled (it was sent) or released (it never was), once."""

    def reserve(self, provider: str, number: str, payer: Payer, now: float) -> R:
        """`now` is Unix seconds. Raises `ProviderOverBudget`."""

    async def intend(self, reservations: Sequence[R]) -> None:
        """Durable when it returns. Raises `ProviderError` when it cannot be written; then nothing is sent."""

    def settle(self, reservation: R, result: NumberResult) -> None: ...
    def release(self, reservation: R) -> None: ...


NO_PURSE: Final = None
"""Of a source that costs nothing."""


class Notices(Protocol):
    """What vendors say by webhook, by provider and number."""

    def expect(self, provider: str, number: str, heard: Callable[[], None]) -> None:
        """`heard` is called when the notice comes, however late."""

    async def result(self, provider: str, number: str, wait_s: float) -> LookupAnswer | ProviderError | None:
        """None: none came in time."""

    def forget(self, provider: str, number: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Health:
    """`why` is the stable word for what keeps everybody out: the code of the error that did it; empty when all is well."""

    state: Literal["ok", "paused", "shut"]  # paused: the vendor said for how long
    why: str
    for_s: float  # how long that lasts, or until a request goes to see; `inf`: not by itself
    under_way: int  # requests
    max_concurrency: int
    waiting: int  # numbers
    per_minute: int | None  # requests that the vendor takes; None: as many as come
    next_in_s: float  # until that lets the next one go
    last_error: str  # the word of the last request that failed as a whole; empty: none has
    last_error_age_s: float


class _BatchRejected(ProviderRejected):
    """One of several numbers was malformed, who knows which: each may try alone."""

    remember_s = 0.0
    repeatable = True


class Link:
    """See above. A `Line` may be shared with the link of an earlier config whose options for the provider were the same."""

    def __init__(
        self,
        provider: Provider,
        driver: Driver,
        line: Line,
        *,
        timeout_s: float,
        purse: Purse[Any] | None = NO_PURSE,
        notices: Notices | None = None,
    ) -> None:
        self.name = provider.name
        self.provides = provider.provides
        self.is_free = purse is None
        self._provider = provider
        self._driver = driver
        self._line = line
        self._gates = line.gates
        self._timeout_s = timeout_s
        self._purse = purse
        self._notices = notices

    async def ask(self, number: Number, now: float, until: Until, payer: Payer = NOBODY) -> LookupAnswer:
        """One number's answer; `now` is Unix seconds. Raises `ProviderError`; `ProviderBusy` when its turn did not come in time."""
        asked = Asked(number, now, asyncio.get_running_loop().time(), until, payer)
        while True:
            turn = self._at_once(asked) or self._lead(await self._turn_of(asked))
            if not isinstance(turn, Turn):
                result = turn
            else:
                try:
                    if self._purse is not None:
                        self._take_along(turn, self._purse)
                        await self._purse.intend([one.reservation for one in turn.batch])
                    found = await self._driver.run(self._lookup(turn), timeout_s=self._timeout_s)
                    results = _own(turn, found)
                except ProviderError as error:
                    result = self._failed(turn, error)
                except BaseException as broken:
                    self._broken(turn, broken)
                    raise
                else:
                    result = self._landed(turn, results)
            if isinstance(result, LookupAnswer):
                return result
            if isinstance(result, Pending):
                return await self._noticed(asked, result)
            if not self._again(asked, result):
                break
        try:
            raise result.with_traceback(None)  # others may raise it too
        finally:
            del result  # else it and this frame would hold each other

    def credited(self) -> None:
        """The account has credit again."""
        self._gates.credited()

    def health(self) -> Health:
        """Now, for people."""
        now, gates = asyncio.get_running_loop().time(), self._gates
        why = gates.why(now)
        last_error, last_at = gates.last_error or ("", now)
        return Health(
            state="paused" if why == ProviderRateLimited.code else "shut" if why else "ok",
            why=why,
            for_s=gates.shut_s(now),
            under_way=gates.under_way,
            max_concurrency=gates.max_concurrency,
            waiting=len(self._line),
            per_minute=gates.rate.per_minute if gates.rate else None,
            next_in_s=gates.rate.delay_s(now) if gates.rate else 0.0,
            last_error=last_error,
            last_error_age_s=now - last_at,
        )

    def network_pause_s(self, number: Number) -> float:
        """For how long the vendor holds this number's network back, for people."""
        return self._gates.network_delay_s(asyncio.get_running_loop().time(), number)

    def _at_once(self, asked: Asked) -> Turn | None:
        """A request of its own, where nothing holds it back: no task, no future, no timer."""
        if not self._line.free(asked):
            return None
        if self._purse is not None:
            self._reserve(asked, self._purse)
        return Turn(self._gates.enter(asked.at), [asked], asked.at)

    def _reserve(self, asked: Asked, purse: Purse[Any]) -> None:
        asked.reservation = purse.reserve(self.name, asked.number.e164, asked.payer, asked.now)

    async def _turn_of(self, asked: Asked) -> Came:
        try:
            return await self._line.wait(asked)
        except asyncio.CancelledError:
            if asked.pending is not None:  # told in the very moment
                self._settle(asked, asked.pending)
            raise

    def _lead(self, turn: Came) -> Came:
        """Where it is our turn: a leader that cannot pay leaves the lead to the next."""
        if not isinstance(turn, Turn):
            return turn
        leader, *others = turn.batch
        turn.batch = [leader, *(other for other in others if other.waits)]
        if self._purse is not None:
            try:
                self._reserve(leader, self._purse)
            except BaseException:
                self._line.pass_on(turn)
                raise
        return turn

    def _take_along(self, turn: Turn, purse: Purse[Any]) -> None:
        """Money for the others too; whoever has none leaves."""
        for other in turn.batch[1:]:
            try:
                self._reserve(other, purse)
            except ProviderError as error:
                turn.batch.remove(other)
                other.tell(error)

    def _lookup(self, turn: Turn) -> Lookup:
        turn.numbers = numbers = [one.number for one in turn.batch]
        if self._notices is not None:
            for number in numbers:
                self._notices.expect(self.name, number.e164, self._gates.heard)
        leader = turn.batch[0]
        return self._provider.lookup(numbers, leader.now + (turn.at - leader.at))

    def _landed(self, turn: Turn, results: Sequence[NumberResult]) -> NumberResult:
        """Every number its own. Returns the leader's."""
        now = asyncio.get_running_loop().time()
        trouble = False
        if any(isinstance(result, ProviderError) for result in results):
            trouble = self._tell_gates(turn, results, now)
        else:
            self._gates.succeeded(turn.ticket, now, turn.numbers)
        if self._notices is not None and any(isinstance(result, LookupAnswer) for result in results):
            self._gates.answered()
        self._hand_over(turn, results, trouble=trouble)
        return results[0]

    def _tell_gates(self, turn: Turn, results: Sequence[NumberResult], now: float) -> bool:
        """What the results have in common, and which networks take no more. Is it bad news for who waits?"""
        limited = [
            (number, result)
            for number, result in zip(turn.numbers, results, strict=True)
            if isinstance(result, ProviderRateLimited)
        ]
        failure = _in_common(results)
        if failure is None:
            held_back = {number for number, _ in limited}
            self._gates.succeeded(turn.ticket, now, [number for number in turn.numbers if number not in held_back])
        else:
            self._gates.failed(turn.ticket, failure, now)
        for number, error in limited:
            self._gates.limited(error, now, [number])
        return failure is not None or bool(limited)

    def _failed(self, turn: Turn, error: ProviderError) -> ProviderError:
        """One failure of the vendor's, the same for every number."""
        if not turn.numbers:
            return self._call_off(turn, error)
        now = asyncio.get_running_loop().time()
        self._gates.failed(turn.ticket, error, now, turn.numbers)
        if isinstance(error, ProviderRejected) and len(turn.batch) > 1:
            error = _BatchRejected(str(error))
        self._hand_over(turn, [error] * len(turn.batch), trouble=True)
        return error

    def _broken(self, turn: Turn, broken: BaseException) -> None:
        """We were stopped, or have a bug: the others must not hang, and a bug that pays for nothing must not go on."""
        if not turn.numbers:
            self._call_off(turn, ProviderBusy("the lookup was stopped"))
            return
        now = asyncio.get_running_loop().time()
        lost = ProviderOutcomeUnknown("the lookup was stopped")
        if isinstance(broken, Exception):
            self._gates.failed(turn.ticket, lost, now)
        else:
            self._gates.abandoned(turn.ticket, now)
        self._hand_over(turn, [lost] * len(turn.batch), trouble=True)

    def _call_off(self, turn: Turn, error: ProviderError) -> ProviderError:
        """Nothing was sent."""
        self._gates.abandoned(turn.ticket, asyncio.get_running_loop().time())
        for asked in turn.batch:
            reservation, asked.reservation = asked.reservation, None
            asked.tell(error)
            if self._purse is not None and reservation is not None:
                self._purse.release(reservation)
        self._line.wake()
        return error

    def _hand_over(self, turn: Turn, results: Sequence[NumberResult], *, trouble: bool) -> None:
        """First to those who wait; then book it: nobody may hang for a bug in that.

        A price that comes by webhook is booked by who waits for it.
        """
        waits_on = {asked for asked in turn.batch if asked is turn.batch[0] or asked.future is not None}
        for asked, result in zip(turn.batch, results, strict=True):
            if asked.future is not None:
                asked.tell(result)
        self._line.wake(trouble=trouble)
        if self._purse is not None:
            for asked, result in zip(turn.batch, results, strict=True):
                if asked in waits_on and isinstance(result, Pending) and result.cost is None:
                    asked.pending = result
                else:
                    self._settle(asked, result)
        if self._notices is not None:
            for number, result in zip(turn.numbers, results, strict=True):
                if not (isinstance(result, Pending) or _may_still_come(result)):
                    self._notices.forget(self.name, number.e164)

    def _settle(self, asked: Asked, result: NumberResult) -> None:
        """Unless it is settled already."""
        reservation, asked.reservation = asked.reservation, None
        if self._purse is not None and reservation is not None:
            self._purse.settle(reservation, result)

    async def _noticed(self, asked: Asked, pending: Pending) -> LookupAnswer:
        """What the webhook brings: the price too, unless that was fixed when the vendor took the number. Raises `ProviderError`."""
        result: NumberResult | None = None
        try:
            if self._notices is None:
                raise ProviderTimeout("nobody listens to its webhooks")
            result = await self._notices.result(self.name, asked.number.e164, pending.wait_s)
        finally:
            self._settle(asked, pending if result is None else result)
        if result is None:
            raise self._unheard()
        if isinstance(result, ProviderError):
            raise result.with_traceback(None)
        if result.number != asked.number.e164:
            raise ProviderProtocolError("answered for another number")
        return result if pending.cost is None else replace(result, cost=pending.cost, currency=pending.currency)

    def _unheard(self) -> ProviderTimeout:
        """The wait was paid for in vain; after some of those in a row, so would be all that wait in line."""
        if not self._gates.waited_in_vain(asyncio.get_running_loop().time()):
            return ProviderTimeout("no webhook in time")
        self._line.wake(trouble=True)
        return ProviderSilent("its webhooks do not come")

    def _again(self, asked: Asked, error: ProviderError) -> bool:
        """Once more at the same vendor? Only where nothing was done, in time, and while retries are few.

        It does not wait for a slot, because the next provider is there at once; unless it fell with a batch, for another's fault.
        """
        if not error.repeatable or asked.retried:
            return False
        now = asyncio.get_running_loop().time()
        alone = isinstance(error, _BatchRejected)
        delay_s = self._gates.delay_s(now)
        if delay_s is None or (delay_s == inf and not alone) or self._gates.refusal(asked.number, now, asked.until()):
            return False
        asked.again(now, alone=alone)
        return self._gates.allows_retry(now)


def _own(turn: Turn, found: Mapping[str, NumberResult]) -> list[NumberResult]:
    """Each number's own result, or that there is none."""
    results: list[NumberResult] = []
    for asked in turn.batch:
        result = found.get(asked.number.e164) or ProviderProtocolError("no result for the number that was asked")
        if isinstance(result, LookupAnswer) and result.number != asked.number.e164:
            result = ProviderProtocolError("answered for another number")
        results.append(result)
    return results


def _in_common(results: Sequence[NumberResult]) -> ProviderError | None:
    """The failure of a request that brought results: one that concerns the account, or none of them good."""
    errors = [result for result in results if isinstance(result, ProviderError)]
    for error in errors:
        if error.alarm or (isinstance(error, ProviderRateLimited) and error.scope == "provider"):
            return error
    return errors[0] if len(errors) == len(results) and all(error.unhealthy for error in errors) else None


def _may_still_come(result: NumberResult) -> bool:
    return isinstance(result, ProviderError) and result.maybe_charged
