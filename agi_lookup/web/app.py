"""The HTTP side: its listeners, and what is served on which. Bound to loopback by default.

Health and metrics are answered here, the rest by `api` (one number), `views` (the server), `console` (the page) and `hooks`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from aiohttp import web

from agi_lookup.web import hooks, openapi
from agi_lookup.web.answers import answer
from agi_lookup.web.api import NumberApi
from agi_lookup.web.console import Console, is_open
from agi_lookup.web.guard import Guard, add_headers
from agi_lookup.web.listener import Listener
from agi_lookup.web.live import Pulse
from agi_lookup.web.scrape import CONTENT_TYPE, Scrape
from agi_lookup.web.serving import Serving
from agi_lookup.web.views import ServerApi

MAX_REQUEST_BYTES: Final = 16 * 1024


class Web:
    """Starts and stops the listeners of one `Serving`: this one, and that of webhooks where they have one of their own."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._options = serving.generation.config.http
        self._hooks = hooks.Hooks(serving)
        self._scrape = Scrape(serving)
        self._pulse = Pulse(serving)
        self._pulsing: asyncio.Task[None] | None = None
        self._listeners: list[Listener] = []

    async def start(self) -> dict[str, str]:
        """Listen; returns where, by name: `http` and `hooks`, as far as they are switched on. Raises `OSError`."""
        where: dict[str, str] = {}
        if self._options.enabled:
            where["http"] = await self._listen(self._application(), self._options.host, self._options.port)
            self._pulsing = asyncio.create_task(self._pulse.run())
        own = self._serving.generation.config.hooks
        if own.port is not None:
            where["hooks"] = await self._listen(hooks.application(self._hooks), own.host, own.port, self._hooks.lets_in)
        return where

    async def _listen(
        self, app: web.Application, host: str, port: int, lets_in: Callable[[str], bool] = lambda _address: True
    ) -> str:
        app.on_response_prepare.append(add_headers)
        listener = Listener(app, self._serving.core.metrics, lets_in=lets_in)
        self._listeners.append(listener)
        return f"{host}:{await listener.start(host, port)}"

    def _application(self) -> web.Application:
        guard = Guard(self._options.token, self._serving.core.metrics, is_open, self._is_hook, time.monotonic)
        app = web.Application(middlewares=[guard.middleware], client_max_size=MAX_REQUEST_BYTES)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get(openapi.PATH, openapi.handle)
        NumberApi(self._serving).add_routes(app)
        ServerApi(self._serving, self._pulse).add_routes(app)
        Console().add_routes(app)
        if self._serving.generation.config.hooks.port is None:
            app.router.add_post(hooks.PATH, self._hooks.handle)
        return app

    async def stop(self) -> None:
        if self._pulsing is not None:
            self._pulsing.cancel()
        for listener in self._listeners:
            await listener.stop()

    def _is_hook(self, request: web.Request) -> bool:
        """Known by its path, not by a token."""
        return request.match_info.handler == self._hooks.handle

    async def _health(self, _request: web.Request) -> web.Response:
        return answer({"status": "ok"})

    async def _ready(self, _request: web.Request) -> web.Response:
        ready = self._serving.ready
        return answer({"ready": ready}, 200 if ready else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=await self._scrape.exposition(), headers={"Content-Type": CONTENT_TYPE})
