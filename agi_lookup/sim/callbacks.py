"""What simulated vendors post to webhooks: in the background, again when it is not taken, and never to another machine."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from agi_lookup.sim.bill import Bill, Entry

TIMEOUT_S: Final = 10.0
PAUSE_S: Final = 0.1
"""Before a callback that was not taken is posted again; a vendor waits longer."""


@dataclass(frozen=True, slots=True)
class Callback:
    """One POST to a webhook. `numbers` are for the journal."""

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    numbers: tuple[str, ...] = ()
    delay_s: float = 0.0


class Callbacks:
    """One vendor's. `post` from inside the running loop; `close` gives up whatever is under way."""

    def __init__(self, vendor: str, bill: Bill, *, retries: int) -> None:
        self._vendor = vendor
        self._bill = bill
        self._attempts = 1 + retries
        self._session: aiohttp.ClientSession | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    def post(self, callback: Callback) -> None:
        """Raises `ValueError` for a URL that is not this machine's."""
        if not is_this_machine(callback.url):
            raise ValueError("callbacks go to this machine only")
        task = asyncio.create_task(self._deliver(callback))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _deliver(self, callback: Callback) -> None:
        await asyncio.sleep(callback.delay_s)
        for attempt in range(self._attempts):
            if attempt:
                await asyncio.sleep(PAUSE_S)
            result = await self._send(callback)
            self._bill.journal.append(Entry(self._vendor, callback.numbers, f"callback {result}", Decimal(0)))
            if result == "200":
                return

    async def _send(self, callback: Callback) -> str:
        """The status that came back, or that none came."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), trust_env=False)
        try:
            async with self._session.post(
                callback.url, data=callback.body, headers=callback.headers, allow_redirects=False
            ) as response:
                return str(response.status)
        except (aiohttp.ClientError, OSError):  # TimeoutError is an OSError
            return "not delivered"


def is_this_machine(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return parts.scheme in {"http", "https"} and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False
