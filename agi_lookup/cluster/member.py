"""This instance among the others: two connections to the shared server, and all that goes over them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from agi_lookup.cache.base import Count, OnAlarm
from agi_lookup.cache.valkey.health import Health
from agi_lookup.cache.valkey.link import Command
from agi_lookup.cache.valkey.open import link_to
from agi_lookup.cache.valkey.options import SharedOptions
from agi_lookup.cache.valkey.reader import Reader
from agi_lookup.cluster.claims import RENEW_S, Claims
from agi_lookup.cluster.leases import Caps, Leases
from agi_lookup.cluster.options import ClusterOptions
from agi_lookup.cluster.peers import EVERY_S, Name, Peers
from agi_lookup.policy.governance import Governor
from agi_lookup.routing.memory import Memory

BEHIND_S: Final = 1.0
"""For what no call waits for."""
ALARM_EVERY_S: Final = 300.0
PROBE_LIVES_MS: Final = 1000

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Asking = Reader[tuple[Command, ...]]


class Member:
    """`open`, then `lend` once the ledger is read, then `join` where calls are served; to be closed whatever happens."""

    def __init__(
        self,
        server: SharedOptions,
        options: ClusterOptions,
        port: int,
        *,
        on_alarm: OnAlarm,
        count: Count,
        bug: Callable[[str], None],
    ) -> None:
        self._prefix = f"{server.prefix}:cluster"
        self._on_alarm = on_alarm
        self._count = count
        self._bug = bug
        self._tell_again_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._lends = False
        self._name = Name(options.name or f"{socket.gethostname()[:40]}:{port}")
        self._in_call = self._reader(server, "claim", server.timeout_ms / 1000)
        self._behind = self._reader(server, "lease", BEHIND_S)
        self.claims = Claims(self._in_call.replies, self._prefix, count)
        self.leases = Leases(self._behind.replies, self._prefix, self._name, options, count)

    @property
    def name(self) -> str:
        return self._name()

    async def open(self) -> None:
        """Waits for the first try to connect, 1 s at most. Never raises for the server's sake."""
        await asyncio.gather(self._in_call.start(), self._behind.start())
        self._tasks.append(asyncio.create_task(self._for_ever(self._renew_claims)))

    async def lend(self, caps: Caps) -> None:
        """From now on, caps and vendors' limits hold for all instances. Waits for the server's first word, 1 s at most; once."""
        if not self._lends:
            self._lends = True
            await self.leases.renew(caps, time.time())
            self._tasks.append(asyncio.create_task(self._for_ever(lambda: self._renew(caps))))

    def join(self, memory: Memory, governor: Governor) -> None:
        """From now on, tell the others what calls have taught, and hear it of them."""
        peers = Peers(
            self._behind.replies,
            self._prefix,
            self._name,
            memory,
            governor,
            clock=time.time,
            on_alarm=self._on_alarm,
            count=self._count,
        )

        async def exchange() -> None:
            await peers.exchange()
            self.leases.instances = 1 + peers.others
            await asyncio.sleep(EVERY_S)

        self._tasks.append(asyncio.create_task(self._for_ever(exchange)))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.claims.close()
        await self._in_call.close()
        await self._behind.close()

    async def _for_ever(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
            except Exception:  # counted, told, and tried again
                self._bug("cluster")
                log.exception("a bug while speaking to other instances; this one goes on")
                await asyncio.sleep(EVERY_S)

    async def _renew_claims(self) -> None:
        await asyncio.sleep(RENEW_S)
        await self.claims.renew()

    async def _renew(self, caps: Caps) -> None:
        await self.leases.due()
        await self.leases.renew(caps, time.time())

    def _reader(self, server: SharedOptions, side: str, timeout_s: float) -> Asking:
        """It is believed to be well when it does all that is asked of it."""
        key = f"{self._prefix}:probe"
        probe = (("SET", key, "1", "PX", PROBE_LIVES_MS), ("GETRANGE", key, 0, 0), ("EVAL", "return 1", 1, key))
        health = Health(side, tell=self._tell, count=self._count, what="cluster")
        return Reader(link_to(server), _commands, probe, timeout_s=timeout_s, health=health, from_sending=True)

    def _tell(self, detail: str) -> None:
        """Alarm the operator, but not for every try."""
        now = asyncio.get_running_loop().time()
        if now >= self._tell_again_at:
            self._tell_again_at = now + ALARM_EVERY_S
            self._on_alarm("cluster_alone", f"{detail}; this instance goes on alone")


def _commands(question: tuple[Command, ...]) -> list[Command]:
    return list(question)
