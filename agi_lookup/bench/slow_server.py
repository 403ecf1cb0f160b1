"""Our server with a vendor that takes its time and costs next to nothing: `python -m agi_lookup.bench.slow_server SECONDS FILE`.

All is as in `agi-lookup serve`, provider, chain and flights included; only the HTTP driver is replaced, because a client's and a
simulator's cost for thousands of open requests would drown what a waiting call costs the server.
"""

from __future__ import annotations

import asyncio
import json
import sys
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
    """Answers as the simulated Number Portability Lookup does, after `latency_s`."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s

    async def run(self, lookup: Lookup, *, timeout_s: float) -> Mapping[str, NumberResult]:
        request = next(lookup)
        await asyncio.sleep(self._latency_s)
        try:
            lookup.send(HttpReply(200, {"content-type": "application/json"}, _body(dict(request.form or ())["msisdn"])))
        except StopIteration as done:
            results: Mapping[str, NumberResult] = done.value
            return results
        raise AssertionError("one request is enough")

    async def close(self) -> None:
        pass


def _body(number: str) -> bytes:
    return _template(number[:2], number[-3:]).replace(b"@", number.encode())


@lru_cache(maxsize=1024)
def _template(country: str, ending: str) -> bytes:
    """What is said of a number depends on its first and last digits only."""
    said = record(f"{country}70000{ending}", Decimal(1), Decimal(1))
    return json.dumps([{**said, "msisdn": "@"}]).encode()


def main(latency_s: float, path: Path) -> None:
    config = configuration.read(path)
    metrics = Metrics()
    sink = configure(config.log.level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(path, config, metrics, make_driver=lambda _options: SlowVendor(latency_s)))
    sink.close()


if __name__ == "__main__":
    main(float(sys.argv[1]), Path(sys.argv[2]))
