"""All simulated vendors on one port, each under a path of its own, with their bill, journal and faults under `/_sim`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, runtime_checkable

import msgspec
from aiohttp import web

from agi_lookup.domain.errors import ConfigError
from agi_lookup.sim import checkmobi, enum, hlrlookup, http_json, npl, numberyo, smspartner
from agi_lookup.sim.bill import Bill
from agi_lookup.sim.delivery import Delivery, Faults

STOP_S: Final = 0.5
"""How long requests that are still held may last once the simulator stops."""
BACKLOG: Final = 4096
FREE_PORT_TRIES: Final = 8
KINDS: Final = (npl, numberyo, checkmobi, hlrlookup, smspartner, http_json, enum)
"""Modules with `NAME`, `Limits` (the account's, as a msgspec Struct with defaults) and `Vendor(limits, bill, delivery)`."""


class Vendor(Protocol):
    """One simulated vendor, served under `/<name>` and everything below."""

    name: str

    def config(self, base: str) -> dict[str, str]:
        """The keys of the provider block that points to it, as YAML scalars."""

    async def handle(self, request: web.Request) -> web.StreamResponse: ...


@runtime_checkable
class Closing(Protocol):
    """A vendor that holds something open: its callbacks."""

    async def close(self) -> None: ...


@runtime_checkable
class Listening(Protocol):
    """A vendor that does not speak HTTP: it takes the port of the same number that its protocol has."""

    async def listen(self, host: str, port: int) -> None: ...


class Simulator:
    """The vendors and what they share. `url` is known once it serves.

    `limits` are a vendor's, by its name: `Simulator(npl=npl.Limits(max_connections=1))`.
    """

    def __init__(self, *, faults: Faults | None = None, **limits: msgspec.Struct) -> None:
        self._default_faults = faults or Faults()
        self.bill = Bill()
        self.delivery = Delivery(self._default_faults)
        self.vendors: tuple[Vendor, ...] = tuple(
            kind.Vendor(limits.get(kind.NAME, kind.Limits()), self.bill, self.delivery) for kind in KINDS
        )
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

    async def listen(self, host: str, port: int) -> None:
        """Raises `OSError`."""
        for vendor in self.vendors:
            if isinstance(vendor, Listening):
                await vendor.listen(host, port)

    async def close(self) -> None:
        """What vendors hold open. Ends callbacks that are under way."""
        for vendor in self.vendors:
            if isinstance(vendor, Closing):
                await vendor.close()

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
        bound_host, bound_port = await _bind(simulator, runner, host, port)
        simulator.url = f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}"
        yield simulator
    finally:
        await runner.cleanup()
        await simulator.close()


async def _bind(simulator: Simulator, runner: web.AppRunner, host: str, port: int) -> tuple[str, int]:
    """One number, free in every protocol; where any will do, the next one is tried."""
    for left in range(0 if port else FREE_PORT_TRIES, -1, -1):
        site = web.TCPSite(runner, host, port, backlog=BACKLOG)
        await site.start()
        bound = runner.addresses[0]
        try:
            await simulator.listen(bound[0], bound[1])
        except OSError:
            await site.stop()
            if not left:
                raise
        else:
            break
    return bound[0], bound[1]


def limits_of(settings: Iterable[str]) -> dict[str, msgspec.Struct]:
    """`["npl.max_connections=1"]` as `Simulator` takes it. Raises `ConfigError` that names what there is."""
    given: dict[str, dict[str, str]] = {}
    known = {kind.NAME: kind.Limits for kind in KINDS}
    for setting in settings:
        where, _, value = setting.partition("=")
        vendor, _, name = where.partition(".")
        if vendor not in known or name not in known[vendor].__struct_fields__ or not value:
            names = ", ".join(f"{v}.{field}" for v, limits in known.items() for field in limits.__struct_fields__)
            raise ConfigError(f"--limit {setting}: no such limit; write VENDOR.NAME=VALUE with one of {names}")
        given.setdefault(vendor, {})[name] = value
    try:
        return {vendor: msgspec.convert(values, known[vendor], strict=False) for vendor, values in given.items()}
    except msgspec.ValidationError as error:
        raise ConfigError(f"--limit: {error}") from None


def print_config(base: str) -> str:
    """The YAML provider blocks that point to a simulator at `base` (`http://HOST:PORT`)."""
    lines = ["providers:"]
    for vendor in Simulator().vendors:
        lines += [f"  {vendor.name}:", *(f"    {key}: {value}" for key, value in vendor.config(base).items())]
    return "\n".join(lines) + "\n"
