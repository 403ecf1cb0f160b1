"""What this instance may use of budgets and vendors' limits, renewed every second. No call waits for it. See `lease`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Protocol, TypeAlias

from agi_lookup.cache.base import Count
from agi_lookup.cache.valkey.link import Command, Reply
from agi_lookup.cluster.claims import Ask
from agi_lookup.cluster.lease import ALIVE_S, RENEW_S, SCRIPT, Lease, Standing
from agi_lookup.cluster.options import ClusterOptions
from agi_lookup.domain.errors import CacheError
from agi_lookup.lookup.caps import DAY_S, CapName
from agi_lookup.lookup.caps import Standing as CapStanding
from agi_lookup.lookup.gates import RATE_WINDOW_S
from agi_lookup.lookup.line import Line

SOONEST_S: Final = 0.02
"""Between two renewals, when something is short."""
UNIT: Final = 1_000_000
"""Amounts are kept to the millionth."""
KEY_LIVES_S: Final = 2.0 * DAY_S

Caps: TypeAlias = Callable[[float], Iterable[CapStanding]]
"""Every cap and what of it is used, at a time in Unix seconds."""


class Limited(Protocol):
    """A vendor's options, as far as they limit."""

    @property
    def max_concurrency(self) -> int: ...
    @property
    def max_per_minute(self) -> int | None: ...
    @property
    def timeout_s(self) -> float: ...


@dataclass(slots=True)
class _Vendor:
    """The line to one vendor, with its leases; `paces` are the rates of the last minute, with when each was left."""

    line: Line
    limits: Limited
    connections: Lease
    rate: Lease | None
    paces: list[tuple[float, int]] = field(default_factory=list)
    pace: int = 0


class Leases:
    """`lookup.caps.Lender`, and what gates are told. `instances`: how many there are, as the others tell."""

    def __init__(
        self,
        ask: Ask,
        prefix: str,
        name: Callable[[], str],
        options: ClusterOptions,
        count: Count,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.instances = 1
        self._ask = ask
        self._prefix = f"{prefix}:lease:1"
        self._name = name
        self._options = options
        self._count = count
        self._monotonic = monotonic
        self._caps: dict[tuple[CapName, int], Lease] = {}  # with the day
        self._needed: dict[CapName, Decimal] = {}
        self._vendors: dict[str, _Vendor] = {}
        self._wake = asyncio.Event()

    def usable(self, cap: CapName, at: float, most: Decimal) -> Decimal:
        """See `lookup.caps.Lender`."""
        day = _day(cap, at)
        lease = self._caps.get((cap, day))
        if lease is None:
            lease = self._caps[cap, day] = Lease(_units(most))
            self._wake.set()
        usable = lease.usable(self._monotonic(), self._share(lease), for_a_day=_is_day(cap))
        return min(most, Decimal(usable).scaleb(-6))

    def short(self, cap: CapName, at: float, amount: Decimal) -> bool:
        """See `lookup.caps.Lender`. What was asked for in vain, or could not be, is asked for again when it is time anyway."""
        lease = self._caps.get((cap, _day(cap, at)))
        if cap not in self._needed and (lease is None or lease.in_vain_since is None):
            self._wake.set()
        self._needed[cap] = max(amount, self._needed.get(cap, amount))
        return lease is not None and lease.used_up

    def share_line(self, provider: str, line: Line, limits: Limited) -> None:
        """From now on its gates let through what this instance holds. A line takes the place of an earlier one of its vendor."""
        held = self._vendors.get(provider)
        if held is not None and held.line is line:
            return
        rate = Lease(limits.max_per_minute, least=1, even=True) if limits.max_per_minute else None
        self._vendors[provider] = vendor = _Vendor(line, limits, Lease(limits.max_concurrency, least=1), rate)
        self._open_gates(vendor)
        self._wake.set()

    async def due(self) -> None:
        """Returns when it is time to renew: sooner when something is short."""
        await asyncio.sleep(SOONEST_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(RENEW_S - SOONEST_S):
                await self._wake.wait()
        self._wake.clear()

    async def renew(self, caps: Caps, at: float) -> None:
        """Once. Never raises for the server's sake."""
        wanted = list(self._standings(caps, at))
        commands = tuple(self._command(key, lease, standing) for key, lease, standing in wanted)
        try:
            replies = await self._ask(commands) if commands else []
        except CacheError:
            self._count("cluster_not_renewed")
        else:
            self._needed.clear()
            for (_, lease, standing), reply in zip(wanted, replies, strict=True):
                _take(lease, standing, reply, self._monotonic())
        for vendor in self._vendors.values():
            self._open_gates(vendor)

    def _standings(self, caps: Caps, at: float) -> Iterator[tuple[str, Lease, Standing]]:
        leases: dict[tuple[CapName, int], Lease] = {}
        for cap in caps(at):
            name: CapName = (cap.scope, cap.name, cap.currency, cap.seconds)
            day = _day(name, at)
            lease = leases[name, day] = self._caps.get((name, day)) or Lease(_units(cap.cap))
            kept_s = 0.0 if _is_day(name) else float(cap.seconds)
            standing = Standing(_units(cap.cap), _units(cap.spent), _units(self._needed.get(name, Decimal(0))), kept_s)
            yield ":".join(map(str, ("cap", *name, day))), lease, standing
        self._caps = leases
        for provider, vendor in self._vendors.items():
            yield f"connections:{provider}", vendor.connections, self._connections(vendor)
            if vendor.rate is not None:
                yield f"rate:{provider}", vendor.rate, self._rate(vendor)

    def _connections(self, vendor: _Vendor) -> Standing:
        under_way = vendor.line.gates.under_way
        return Standing(vendor.limits.max_concurrency, under_way, 1 + len(vendor.line), vendor.limits.timeout_s)

    def _rate(self, vendor: _Vendor) -> Standing:
        """A rate that was gone by counts for a minute after it was left."""
        now = self._monotonic()
        vendor.paces = [(left, pace) for left, pace in vendor.paces if now - left < RATE_WINDOW_S]
        used = max([vendor.pace, *(pace for _, pace in vendor.paces)])
        return Standing(vendor.limits.max_per_minute or 0, used, 0, RATE_WINDOW_S)

    def _command(self, key: str, lease: Lease, standing: Standing) -> Command:
        hold_ms = int((standing.kept_s + ALIVE_S) * 1000) if standing.kept_s else 0
        lives_ms = int(((standing.kept_s + ALIVE_S) if standing.kept_s else KEY_LIVES_S) * 1000)
        wanted = lease.wants(standing, max(self.instances, self._options.instances))
        return (
            "EVAL", SCRIPT, 1, f"{self._prefix}:{key}", self._name(), standing.used, wanted, standing.most,
            lease.others, int(ALIVE_S * 1000), hold_ms, lives_ms,
        )  # fmt: skip

    def _open_gates(self, vendor: _Vendor) -> None:
        now = self._monotonic()
        connections = vendor.connections.usable(now, self._share(vendor.connections))
        pace = None
        if vendor.rate is not None:
            pace = vendor.rate.usable(now, self._share(vendor.rate))
            if pace < vendor.pace:
                vendor.paces.append((now, vendor.pace))
            vendor.pace = pace
        vendor.line.gates.lend(connections, pace)
        vendor.line.wake()

    def _share(self, lease: Lease) -> float:
        return self._options.share(max(self.instances, lease.count))


def _take(lease: Lease, standing: Standing, reply: Reply, now: float) -> None:
    """What is no answer of the script's is none."""
    match reply:
        case [int(held), int(others), int(asked), int(count)]:
            lease.granted(standing, held, others, asked, count, now)


def _is_day(cap: CapName) -> bool:
    return cap[3] == DAY_S


def _day(cap: CapName, at: float) -> int:
    """A day's cap is another one each day."""
    return int(at // DAY_S) if _is_day(cap) else 0


def _units(amount: Any) -> int:
    return int(amount * UNIT)
