"""What instances tell each other every few seconds: how good trunks are, and how block rules and providers do.

Each writes its own sums under a key of its own, which goes when it is not renewed, and reads the others'. Nothing is added up in
the server: what comes twice, late or never counts once or not. Holds no numbers.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from agi_lookup.cache.base import Count, OnAlarm
from agi_lookup.cluster.claims import Ask
from agi_lookup.domain.errors import CacheError
from agi_lookup.policy.governance import Governor
from agi_lookup.policy.peers import Seen
from agi_lookup.routing.memory import Memory
from agi_lookup.routing.quality import Others, Row

FORMAT: Final = 1
"""Goes up with each change that older versions cannot read: a part of the keys."""
EVERY_S: Final = 5.0
GONE_S: Final = 20.0
"""After so long without a word, an instance counts for nothing."""
UNHEARD_S: Final = 120.0
"""A name that nobody has told for so long is taken off the list. By the clock of who reads: those of others may be wrong."""
MAX_PAIRS: Final = 256
"""Of trunk and destination, those that were used last: some 12 kB."""
MAX_BYTES: Final = 256 * 1024
MAX_INSTANCES: Final = 1000
AT_ONCE: Final = 20
"""Instances read in one exchange."""
HUNDREDTHS: Final = 100

Counts: TypeAlias = Annotated[
    list[Annotated[int, msgspec.Meta(ge=0, le=10**12)]], msgspec.Meta(min_length=9, max_length=9)
]
"""Of `quality.Tally`, in hundredths of a call."""


class Report(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What one instance tells. `token` is its process."""

    token: str
    quality: Annotated[list[tuple[str, str, float, Counts]], msgspec.Meta(max_length=MAX_PAIRS)]
    seen: Seen


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Report).decode


class Name:
    """What an instance is called. One whose name another one has takes a name of its own."""

    def __init__(self, name: str) -> None:
        self.token = secrets.token_hex(8)
        self._name = name

    def __call__(self) -> str:
        return self._name

    def is_taken(self) -> None:
        self._name = f"{self._name[:46]}~{self.token}"


class Peers:
    """`others` are those that told something of late."""

    def __init__(
        self,
        ask: Ask,
        prefix: str,
        name: Name,
        memory: Memory,
        governor: Governor,
        *,
        clock: Callable[[], float],
        on_alarm: OnAlarm,
        count: Count,
    ) -> None:
        self.others = 0
        self._ask = ask
        self._registry = f"{prefix}:members:{FORMAT}"
        self._key = f"{prefix}:member:{FORMAT}"
        self._name = name
        self._memory = memory
        self._governor = governor
        self._clock = clock
        self._on_alarm = on_alarm
        self._count = count
        self._told = False  # under this name
        self._heard: dict[bytes, tuple[bytes, float]] = {}  # by name, what it last said of the time, and since when
        self._heard_at = -GONE_S

    async def exchange(self) -> None:
        """Once. Never raises for the server's sake. Who has heard nothing for long goes by what it has seen itself."""
        now = self._clock()
        try:
            names = await self._tell(now)
            reports = [report async for report in self._hear(names)]
        except CacheError:
            self._count("cluster_not_exchanged")
            if now - self._heard_at < GONE_S:
                return
            reports = []
        else:
            self._heard_at = now
        self.others = len(reports)
        await self._follow(reports, now)

    async def _tell(self, now: float) -> list[str]:
        """Returns who else there is. Raises `CacheError`."""
        report = Report(self._name.token, list(self._pairs()), self._governor.seen(now))
        own = f"{self._key}:{self._name()}"
        before, *_, known = await self._ask(
            (
                ("GETRANGE", own, 0, MAX_BYTES - 1),
                ("SET", own, _encode(report), "PX", int(GONE_S * 1000)),
                ("HSET", self._registry, self._name(), int(now)),
                ("PEXPIRE", self._registry, int(GONE_S * 1000)),
                ("HGETALL", self._registry),
            )
        )
        twin = _report(before)
        if self._told and twin is not None and twin.token != self._name.token:
            self._on_alarm("cluster_name_taken", f"another instance is called {self._name()}, too: set cluster.name")
            self._name.is_taken()
            self._told = False
            await self._ask((("DEL", own),))  # else what it says would count twice
            return []
        self._told = True
        names = await self._still_told(list(known) if isinstance(known, list) else [], now)
        return [name for name in names if name != self._name()][:MAX_INSTANCES]

    async def _still_told(self, rows: list[Any], now: float) -> list[str]:
        """Those of the list that were told anew of late; the others are taken off it. Raises `CacheError`."""
        before, self._heard = self._heard, {}
        for name, said in zip(rows[::2], rows[1::2], strict=False):
            if isinstance(name, bytes):
                last = before.get(name)
                self._heard[name] = last if last is not None and last[0] == said else (said, now)
        gone = {name for name, (_, since) in self._heard.items() if now - since > UNHEARD_S}
        if gone:
            await self._ask((("HDEL", self._registry, *gone),))
        return [name.decode(errors="replace") for name in self._heard if name not in gone]

    async def _hear(self, names: list[str]) -> AsyncIterator[Report]:
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            bodies = await self._ask(tuple(("GETRANGE", f"{self._key}:{name}", 0, MAX_BYTES - 1) for name in some))
            for body in bodies:
                report = _report(body)
                if report is not None:
                    yield report
                elif body != b"":
                    self._count("cluster_bad_report")
                await asyncio.sleep(0)

    async def _follow(self, reports: list[Report], now: float) -> None:
        """Calls go in between: one report takes the event loop for half a millisecond at most."""
        others = Others(self._memory.quality.options.half_life_s, now)
        for report in reports:
            others.add(_rows(report))
            await asyncio.sleep(0)
        self._memory.quality.follow(others)
        self._governor.follow((report.seen for report in reports), now)

    def _pairs(self) -> Iterator[tuple[str, str, float, list[int]]]:
        for trunk, key, at, counts in self._memory.quality.seen(MAX_PAIRS):
            yield trunk, key, at, [round(count * HUNDREDTHS) for count in counts]


def _report(body: object) -> Report | None:
    """None for what is none."""
    if not isinstance(body, bytes) or not body:
        return None
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _rows(report: Report) -> Iterator[Row]:
    for trunk, key, at, counts in report.quality:
        yield trunk, key, at, tuple(count / HUNDREDTHS for count in counts)
