"""A simulated vendor that also says how much of it is in use: `python -m agi_lookup.bench.gauged_vendor VENDOR LATENCY_S LIMIT...`

It is `agi-lookup sim`, with limits given as there and the same refusals. Beside its bill, `/_sim/gauge` tells what was under way,
by the vendor's clock: a request is, from the end of its head to the last byte of its reply. It prints its URL.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import msgspec
import uvloop
from aiohttp import web
from aiohttp.typedefs import Handler

from agi_lookup.sim.delivery import Faults
from agi_lookup.sim.vendors import Simulator, limits_of, serve


class Gauge(msgspec.Struct, frozen=True, kw_only=True):
    """What a vendor has seen since it started. Times are its monotonic seconds."""

    at: float
    came_at: float  # when the last request came
    came: int  # requests
    under_way_s: float  # how long, of all requests together
    most: int  # under way at once
    taken: int  # requests that were charged
    refused: int  # requests that were not
    numbers: int  # that were charged


class Meter:
    """Counts what comes and goes. `now` never goes back."""

    def __init__(self, now: float) -> None:
        self.came_at = self._at = now
        self.came = self.most = self._under_way = 0
        self.under_way_s = 0.0

    def enter(self, now: float) -> None:
        self.until(now)
        self.came += 1
        self.came_at = now
        self._under_way += 1
        self.most = max(self.most, self._under_way)

    def leave(self, now: float) -> None:
        self.until(now)
        self._under_way -= 1

    def until(self, now: float) -> None:
        """Nothing has come or gone since the last time."""
        self.under_way_s += self._under_way * (now - self._at)
        self._at = now


class GaugedSimulator(Simulator):
    """All vendors; `vendor` is metered. Make it inside the running loop."""

    def __init__(self, vendor: str, latency_s: float, limits: Sequence[str]) -> None:
        super().__init__(faults=Faults(latency_ms=latency_s * 1000), **limits_of(limits))
        self._vendor = vendor
        self._time = asyncio.get_running_loop().time
        self._meter = Meter(self._time())

    def application(self) -> web.Application:
        application = super().application()
        application.middlewares.append(self._metered)
        application.router.add_get("/_sim/gauge", self._show_gauge)
        return application

    @web.middleware
    async def _metered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(f"/{self._vendor}/") and request.path != f"/{self._vendor}":
            return await handler(request)
        self._meter.enter(self._time())
        try:
            return await handler(request)
        finally:
            self._meter.leave(self._time())

    async def _show_gauge(self, _request: web.Request) -> web.Response:
        account, meter, now = self.bill.accounts[self._vendor], self._meter, self._time()
        meter.until(now)
        gauge = Gauge(
            at=now,
            came_at=meter.came_at,
            came=meter.came,
            under_way_s=meter.under_way_s,
            most=meter.most,
            taken=account.requests - account.free,
            refused=account.free,
            numbers=account.numbers,
        )
        return web.Response(body=msgspec.json.encode(gauge), content_type="application/json")


async def run(vendor: str, latency_s: float, limits: Sequence[str]) -> None:
    async with serve(GaugedSimulator(vendor, latency_s, limits)) as simulator:
        print(simulator.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
