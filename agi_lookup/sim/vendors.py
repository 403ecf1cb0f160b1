"""All simulated vendors on one port, each under a path of its own, with their bill, journal and faults under `/_sim`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

import msgspec
from aiohttp import web

from agi_lookup.sim.bill import Bill
from agi_lookup.sim.delivery import Delivery, Faults
from agi_lookup.sim.npl import Npl, NplOptions

STOP_S: Final = 0.5
"""How long requests that are still held may last once the simulator stops."""
BACKLOG: Final = 4096


class Vendor(Protocol):
    """One simulated vendor, served under `/<name>` and everything below."""

    name: str

    def config(self, base: str) -> dict[str, str]:
        """The keys of the provider block that points to it, as YAML scalars."""

    async def handle(self, request: web.Request) -> web.StreamResponse: ...


class Simulator:
    """The vendors and what they share. `url` is known once it serves."""

    def __init__(self, *, npl: NplOptions | None = None, faults: Faults | None = None) -> None:
        self._default_faults = faults or Faults()
        self.bill = Bill()
        self.delivery = Delivery(self._default_faults)
        self.vendors: tuple[Vendor, ...] = (Npl(npl or NplOptions(), self.bill, self.delivery),)
        self.url = ""

    def application(self) -> web.Application:
        application = web.Application()
        for vendor in self.vendors:
            application.router.add_route("*", f"/{vendor.name}", vendor.handle)
            application.router.add_route("*", f"/{vendor.name}/{{rest:.*}}", vendor.handle)
        application.router.add_get("/_sim/bill", self._show_bill)
        application.router.add_get("/_sim/journal", self._show_journal)
        application.router.add_get("/_sim/faults", self._show_faults)
        application.router.add_post("/_sim/faults", self._change_faults)
        application.router.add_post("/_sim/reset", self._reset)
        return application

    def reset(self) -> None:
        """Bill, journal and faults as at the start."""
        self.bill.reset()
        self.delivery.use(self._default_faults)

    async def _show_bill(self, _request: web.Request) -> web.Response:
        return _json(self.bill.summary())

    async def _show_journal(self, request: web.Request) -> web.Response:
        """Newest last; `?number=` shows one number's requests only."""
        wanted = request.query.get("number", "").strip().removeprefix("+")
        entries = (entry for entry in self.bill.journal if not wanted or wanted in entry.numbers)
        return _json([entry.as_json() for entry in entries])

    async def _show_faults(self, _request: web.Request) -> web.Response:
        return _json(self.delivery.faults)

    async def _change_faults(self, request: web.Request) -> web.Response:
        """Keys that are not named keep their value."""
        try:
            changes = msgspec.json.decode(await request.read(), type=dict[str, Any])
            faults = msgspec.convert({**msgspec.to_builtins(self.delivery.faults), **changes}, Faults)
        except msgspec.MsgspecError as error:
            return web.json_response({"error": str(error)}, status=400)
        self.delivery.use(faults)
        return _json(faults)

    async def _reset(self, _request: web.Request) -> web.Response:
        self.reset()
        return _json(self.bill.summary())


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


@asynccontextmanager
async def serve(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Simulator]:
    """Serve until the block ends. Raises `OSError` when the port cannot be had."""
    # A client that leaves ends its handler: nothing else would end the scenarios that never answer.
    runner = web.AppRunner(simulator.application(), handler_cancellation=True, access_log=None, shutdown_timeout=STOP_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=BACKLOG)
        await site.start()
        bound = runner.addresses[0]
        simulator.url = f"http://{f'[{bound[0]}]' if ':' in bound[0] else bound[0]}:{bound[1]}"
        yield simulator
    finally:
        await runner.cleanup()


def print_config(base: str) -> str:
    """The YAML provider blocks that point to a simulator at `base` (`http://HOST:PORT`)."""
    lines = ["providers:"]
    for vendor in Simulator().vendors:
        lines += [f"  {vendor.name}:", *(f"    {key}: {value}" for key, value in vendor.config(base).items())]
    return "\n".join(lines) + "\n"
