"""Our server with a vendor that takes its time and costs next to nothing.

`python -m agi_lookup.bench.slow_server SECONDS AT_ONCE FILE`

All is as in `agi-lookup serve`, provider, chain and flights included; only the HTTP driver is replaced, because a client's and a
simulator's cost for thousands of open requests would drown what a waiting call costs the server.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

import uvloop

from agi_lookup import config as configuration
from agi_lookup.daemon import serve
from agi_lookup.log import configure
from agi_lookup.metrics import Metrics
from agi_lookup.providers.base import HttpReply, Lookup, NumberResult
from agi_lookup.sim.npl_records import record


class SlowVendor:
    """Answers as the simulated Number Portability Lookup does, after `latency_s`; the first `at_once` without delay.

    All its requests share one timer.
    """

    def __init__(self, latency_s: float, at_once: int) -> None:
        self._latency_s = latency_s
        self._at_once = at_once
        self._due: deque[tuple[float, asyncio.Future[None]]] = deque()

    async def run(self, lookup: Lookup, *, timeout_s: float) -> Mapping[str, NumberResult]:
        number = dict(next(lookup).form or ())["msisdn"]  # the request itself is not held while it is under way
        self._at_once -= 1
        if self._at_once < 0:
            await self._delay()
        try:
            lookup.send(HttpReply(200, {"content-type": "application/json"}, _body(number)))
        except StopIteration as done:
            results: Mapping[str, NumberResult] = done.value
            return results
        raise AssertionError("one request is enough")

    def _delay(self) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        self._due.append((loop.time() + self._latency_s, over))
        if len(self._due) == 1:
            loop.call_later(self._latency_s, self._wake, loop)
        return over

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._due and self._due[0][0] <= loop.time():
            over = self._due.popleft()[1]
            if not over.done():
                over.set_result(None)
        if self._due:
            loop.call_at(self._due[0][0], self._wake, loop)

    async def close(self) -> None:
        pass


def _body(number: str) -> bytes:
    return _template(number[:2], number[-3:]).replace(b"@", number.encode())


@lru_cache(maxsize=1024)
def _template(country: str, ending: str) -> bytes:
    """What is said of a number depends on its first and last digits only."""
    said = record(f"{country}70000{ending}", Decimal(1), Decimal(1))
    return json.dumps([{**said, "msisdn": "@"}]).encode()


def main(latency_s: float, at_once: int, path: Path) -> None:
    config = configuration.read(path)
    metrics = Metrics()
    sink = configure(config.log.level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(path, config, metrics, make_driver=lambda _options: SlowVendor(latency_s, at_once)))
    sink.close()


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
