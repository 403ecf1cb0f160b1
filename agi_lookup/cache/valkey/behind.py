"""The writing side: a task that writes what waits at once, in batches, and tries again while it cannot. No call waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from redis.exceptions import ResponseError

from agi_lookup.cache.queue import Change, WriteQueue
from agi_lookup.cache.valkey.health import Health
from agi_lookup.cache.valkey.link import Command, Exchange, reason
from agi_lookup.domain.errors import CacheError

BATCH: Final = 100
"""Changes: some 25 kB, and 1.5 ms of the event loop."""

CommandOf = Callable[[Change], Command]
"""What makes one change."""


class WriteBehind:
    """What waits in the queue stays there until the server has confirmed it."""

    def __init__(
        self, link: Exchange, queue: WriteQueue, command_of: CommandOf, *, timeout_s: float, health: Health
    ) -> None:
        self._link = link
        self._queue = queue
        self._command_of = command_of
        self._timeout_s = timeout_s
        self._health = health
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._drain()
            except Exception as error:  # noqa: BLE001 - counted and told; not even a bug may end the writing
                self._health.failed(reason(error))
                await asyncio.sleep(self._health.pause_s)
                self._wake.set()

    def nudge(self) -> None:
        """Something waits in the queue."""
        self._wake.set()

    async def flush(self) -> None:
        """Write all that waits. Raises `CacheError`; what could not be written waits on."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._drain()
        except (CacheError, TimeoutError) as error:
            raise CacheError(f"not written yet: {reason(error)}") from error

    async def close(self) -> None:
        await self._link.drop()

    async def _drain(self) -> None:
        async with self._turn:
            while batch := self._queue.oldest(BATCH):
                await self._write(batch)
                self._queue.written(batch)
                self._health.worked()

    async def _write(self, batch: Sequence[Change]) -> None:
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        if not self._link.is_open:
            await self._link.open(deadline)
        replies = await self._link.ask([self._command_of(change) for change in batch], deadline)
        refusal = next((reply for reply in replies if isinstance(reply, ResponseError)), None)
        if refusal is not None:
            await self._link.drop()  # another one may be the primary by now
            raise CacheError(reason(refusal))
