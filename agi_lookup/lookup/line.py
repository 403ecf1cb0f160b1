"""Who waits for one vendor's gates. Whoever is let in leads, and takes others who wait along in the same request.

Calls go first: who has time stands in a line of its own behind theirs, and shares no request with them, which would last longer.
A number that finds the gates open and nobody waiting never gets here as far as a future or a timer.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import chain
from math import inf
from typing import Any, Final, TypeAlias

from agi_lookup.domain.errors import ProviderBusy, ProviderError
from agi_lookup.domain.model import Number
from agi_lookup.lookup.budget import Payer
from agi_lookup.lookup.gates import Gates
from agi_lookup.lookup.singleflight import Until
from agi_lookup.providers.base import NumberResult, Pending

MIN_WAIT_S: Final = 0.001
"""Timers of the event loop are no finer."""
SWEEP_S: Final = 0.1
"""How long one whose time is over may still stand in the line. It is never let in; nobody waits for it any more."""


NOBODY: Final = Payer()


class Asked:
    """One number that somebody asks about. `now` is Unix seconds, `at` loop seconds of the same moment."""

    __slots__ = ("alone", "at", "future", "now", "number", "payer", "pending", "reservation", "retried", "until")

    def __init__(self, number: Number, now: float, at: float, until: Until, payer: Payer) -> None:
        self.number = number
        self.now = now
        self.at = at
        self.until = until
        self.payer = payer
        self.reservation: Any = None
        self.pending: Pending | None = None  # the price comes by webhook
        self.alone = False  # a request with others was refused
        self.retried = False
        self.future: asyncio.Future[Came] | None = None  # of one who waits

    @property
    def patient(self) -> bool:
        return self.payer.patient

    @property
    def waits(self) -> bool:
        return self.future is not None and not self.future.done()

    def again(self, at: float, *, alone: bool) -> None:
        """Ask once more, from `at` on."""
        self.now += at - self.at
        self.at = at
        self.retried = True
        self.alone = alone

    def tell(self, came: Came) -> None:
        """To one who waits, unless it has left."""
        if self.future is not None and not self.future.done():
            self.future.set_result(came)


class Turn:
    """Admission of one request, at `at` (loop seconds). The first of `batch` leads; `numbers` are those that were sent."""

    __slots__ = ("at", "batch", "numbers", "ticket")

    def __init__(self, ticket: int, batch: list[Asked], at: float) -> None:
        self.ticket = ticket
        self.batch = batch
        self.at = at
        self.numbers: Sequence[Number] = ()


Came: TypeAlias = Turn | NumberResult
"""What ends the wait: our turn to lead, or what another's request brought."""
Lane: TypeAlias = "OrderedDict[Asked, None]"


class Line:
    """Numbers in the order in which they came. Outlives reloads together with its gates, so that no slot is lost between two."""

    def __init__(self, gates: Gates, max_batch: int) -> None:
        self.gates = gates
        self._max_batch = max_batch
        self._calls: Lane = OrderedDict()
        self._patient: Lane = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._wake_at = 0.0
        self._sweep_at = 0.0

    def __len__(self) -> int:
        return len(self._calls) + len(self._patient)

    def free(self, asked: Asked) -> bool:
        """May it go at once? Raises `ProviderError` when it cannot go in time either."""
        ahead = len(self) if asked.patient else len(self._calls)
        if not ahead and self.gates.delay_s(asked.at, asked.number, patient=asked.patient) == 0:
            return True
        refusal = self.gates.refusal(asked.number, asked.at, asked.until(), ahead // self._max_batch)
        if refusal is None:
            return False
        try:
            raise refusal
        finally:
            del refusal  # else it and this frame would hold each other

    async def wait(self, asked: Asked) -> Came:
        """A turn to lead, what a leader's request brought, or why there is neither."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Came] = loop.create_future()
        asked.future = future
        self._lane(asked)[asked] = None
        self._admit(loop)
        try:
            return await future
        except asyncio.CancelledError:
            self._leave(asked, future)
            raise
        finally:
            asked.future = None  # which holds the turn, which holds it

    def pass_on(self, turn: Turn) -> None:
        """The leader leaves before anything was sent: the next one leads."""
        for asked in turn.batch[1:]:
            if asked.waits:
                turn.batch = turn.batch[turn.batch.index(asked) :]
                asked.tell(turn)
                return
        self.gates.abandoned(turn.ticket, asyncio.get_running_loop().time())
        self.wake()

    def wake(self, *, trouble: bool = False) -> None:
        """A request came back: let in who may go. After `trouble`, turn away those who would wait in vain."""
        if not len(self):
            return
        loop = asyncio.get_running_loop()
        self._admit(loop)
        if trouble:
            self._turn_away(loop.time())

    def _admit(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        held_s = min([self._admit_from(self._calls, now), self._admit_from(self._patient, now)])
        if len(self):
            self._wake_in(min(max(held_s, MIN_WAIT_S), SWEEP_S), loop)

    def _admit_from(self, lane: Lane, now: float) -> float:
        """Let in who may go. Returns for how long the others are held back."""
        while lane:
            delay_s = self.gates.delay_s(now, patient=lane is self._patient)
            if delay_s != 0:
                return SWEEP_S if delay_s is None else delay_s
            batch, held_s = self._take(lane, now)
            if not batch:
                return held_s
            batch[0].tell(Turn(self.gates.enter(now), batch, now))
        return inf

    def _turn_away(self, now: float) -> None:
        for asked in tuple(self._all()):
            refusal = self.gates.refusal(asked.number, now, asked.until())
            if refusal is not None:
                self._refuse(asked, refusal)

    def _take(self, lane: Lane, now: float) -> tuple[list[Asked], float]:
        """The next batch; when there is none, how long all are held back. Nobody is let in who has left or whose time is over."""
        batch: dict[str, Asked] = {}
        late: list[Asked] = []
        held_s = inf
        for asked in lane:
            if asked.until() <= now or not asked.waits:
                late.append(asked)
                continue
            delay_s = self.gates.network_delay_s(now, asked.number)
            held_s = min(held_s, delay_s)
            if not delay_s and self._fits(asked, batch):
                batch.setdefault(asked.number.e164, asked)  # no number twice: a result has only its number to go by
                if len(batch) >= self._max_batch:
                    break
        for asked in batch.values():
            del lane[asked]
        for asked in late:
            self._refuse(asked, ProviderBusy())
        return list(batch.values()), held_s

    def _fits(self, asked: Asked, batch: dict[str, Asked]) -> bool:
        """Not with one that goes alone, nor with a suspect of another network."""
        if not batch:
            return True
        first = next(iter(batch.values()))
        suspect = self.gates.suspect
        return not (first.alone or asked.alone) and suspect(asked.number) == suspect(first.number)

    def _wake_in(self, delay_s: float, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all: in uvloop a timer is the dearest part of waiting."""
        at = loop.time() + delay_s
        if self._timer is not None:
            if self._wake_at <= at:
                return
            self._timer.cancel()
        self._wake_at = at
        self._timer = loop.call_at(at, self._woken, loop)

    def _woken(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_S
            for asked in [one for one in self._all() if one.until() <= now]:
                self._refuse(asked, ProviderBusy())
        self._admit(loop)

    def _lane(self, asked: Asked) -> Lane:
        return self._patient if asked.patient else self._calls

    def _all(self) -> Iterator[Asked]:
        return chain(self._calls, self._patient)

    def _refuse(self, asked: Asked, error: ProviderError) -> None:
        del self._lane(asked)[asked]
        asked.tell(error)

    def _leave(self, asked: Asked, future: asyncio.Future[Came]) -> None:
        self._lane(asked).pop(asked, None)
        if future.done() and not future.cancelled():
            came = future.result()
            if isinstance(came, Turn):
                self.pass_on(came)
