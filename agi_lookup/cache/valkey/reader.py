"""What calls ask by: many questions in one go, within their share of the deadline; after trouble, nobody waits.

One connection. While one batch is under way, those who come meanwhile wait for the next. When it fails, it is dropped and all who
wait go on without; a task of its own, and no call, makes a new one and believes it when it answers as fast as a call needs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Final, Generic, TypeVar

from redis.exceptions import ResponseError

from agi_lookup.cache.valkey.health import Health
from agi_lookup.cache.valkey.link import Command, Exchange, Reply, reason
from agi_lookup.domain.errors import CacheError, CacheNotAsked

OPEN_S: Final = 1.0
CHECK_S: Final = 30.0
"""A read that nobody wants, so that no time limit on idle connections cuts this one off before a call needs it."""
MAX_WAITING: Final = 1_000
BATCH: Final = 50
"""Questions: reading their replies keeps the event loop for about 1.5 ms."""

NOBODY: Final = "+0"
"""No number: asked for to see whether the server answers."""
Question = TypeVar("Question", bound=Hashable)
"""A number, or anything else that commands can be made of. Who ask the same at the same time get the same replies."""

_BROKEN_OFF: Final = "the read broke off"


@dataclass(slots=True)
class _Waiting:
    """Those who asked one question, and until when the first of them waits (loop seconds)."""

    deadline: float
    answers: list[asyncio.Future[list[Reply]]] = field(default_factory=list)


class Reader(Generic[Question]):
    """`start`, then `replies` as often as needed, then `close`. `nobody` is asked to see whether the server answers."""

    def __init__(
        self,
        link: Exchange,
        commands_of: Callable[[Question], list[Command]],
        nobody: Question,
        *,
        timeout_s: float,
        health: Health,
        from_sending: bool = False,
    ) -> None:
        """`from_sending`: the time counts from then, and not from when it was asked for."""
        self._link = link
        self._commands_of = commands_of
        self._nobody = nobody
        self._timeout_s = timeout_s
        self._health = health
        self._from_sending = from_sending
        self._usable = False
        self._asked: dict[Question, _Waiting] = {}
        self._reading: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._lost = asyncio.Event()

    async def start(self) -> None:
        """Returns when the first try to connect is over, whatever came of it."""
        self._keeping = asyncio.create_task(self._keep())
        await self._tried.wait()

    async def replies(self, question: Question) -> list[Reply]:
        """Of each of the question's commands; a caller may leave. Raises `CacheError`: `CacheNotAsked` where nothing was sent."""
        if not self._usable:
            raise CacheNotAsked(f"not asked for a while: {self._health.state}")
        if len(self._asked) >= MAX_WAITING:
            raise CacheNotAsked("too many reads wait")
        loop = asyncio.get_running_loop()
        waiting = self._asked.get(question)
        if waiting is None:
            waiting = self._asked[question] = _Waiting(loop.time() + self._timeout_s)
        answer: asyncio.Future[list[Reply]] = loop.create_future()
        waiting.answers.append(answer)
        if self._reading is None:
            self._reading = loop.create_task(self._read())
        return await answer

    async def close(self) -> None:
        tasks = [task for task in (self._keeping, self._reading) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._usable = False
        await self._link.drop()

    async def _keep(self) -> None:
        """For ever: see that there is a connection, one try at a time."""
        while True:
            if not self._usable:
                await asyncio.sleep(self._health.pause_s)
                await self._try_to_open()
                self._tried.set()
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await self._lost.wait()
            with suppress(CacheError):
                await self.replies(self._nobody)

    async def _try_to_open(self) -> None:
        now = asyncio.get_running_loop().time
        try:
            await self._link.open(now() + OPEN_S)
            await self._ask([self._nobody], now() + self._timeout_s)
        except CacheError as error:
            self._health.failed(str(error))
            return
        self._health.worked()
        self._lost.clear()
        self._usable = True

    async def _read(self) -> None:
        try:
            while self._asked:
                batch = dict(islice(self._asked.items(), BATCH))
                for question in batch:
                    del self._asked[question]
                await self._read_batch(batch)
        finally:
            self._reading = None
            _tell(self._asked, {}, CacheNotAsked(_BROKEN_OFF))
            self._asked = {}

    async def _read_batch(self, batch: dict[Question, _Waiting]) -> None:
        found: dict[Question, list[Reply]] = {}
        failure = CacheError(_BROKEN_OFF)
        try:
            found = await self._in_time(batch)
        except CacheError as error:
            failure = error
        finally:
            _tell(batch, found, failure)

    async def _in_time(self, batch: dict[Question, _Waiting]) -> dict[Question, list[Reply]]:
        """Raises `CacheError`. Only a server that had half of the time or more has failed."""
        if not self._usable:
            raise CacheNotAsked(f"not asked for a while: {self._health.state}")
        deadline = next(iter(batch.values())).deadline
        if self._from_sending:
            deadline = asyncio.get_running_loop().time() + self._timeout_s
        if deadline - asyncio.get_running_loop().time() < self._timeout_s / 2:
            raise CacheNotAsked("too many reads wait")
        try:
            found = await self._ask(list(batch), deadline)
        except CacheError as error:
            self._usable = False
            self._health.failed(str(error))
            self._lost.set()
            raise
        self._health.worked()
        return found

    async def _ask(self, questions: list[Question], deadline: float) -> dict[Question, list[Reply]]:
        """Raises `CacheError`, and then the link is closed. A key of another type is no trouble of the server's."""
        commands = [self._commands_of(question) for question in questions]
        replies = iter(await self._link.ask(list(chain.from_iterable(commands)), deadline))
        found = {question: list(islice(replies, len(own))) for question, own in zip(questions, commands, strict=True)}
        for reply in chain.from_iterable(found.values()):
            if isinstance(reply, ResponseError) and not str(reply).startswith("WRONGTYPE"):
                await self._link.drop()
                raise CacheError(reason(reply))
        return found


def _tell(batch: dict[Question, _Waiting], found: dict[Question, list[Reply]], failure: CacheError) -> None:
    for question, waiting in batch.items():
        for answer in waiting.answers:
            if answer.done():
                continue
            if question in found:
                answer.set_result(found[question])
            else:
                answer.set_exception(type(failure)(str(failure)))
