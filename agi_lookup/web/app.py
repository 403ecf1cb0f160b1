"""The HTTP listener: health, metrics, and the API that the command line uses while a server holds the cache.

Bound to loopback by default. With a token, everything but `/healthz` and `/readyz` wants it as a bearer token; without one, a
request must name a loopback host, so that a web page on the operator's desktop cannot reach it by DNS rebinding. A request that a
browser marks as another site's is refused with or without a token.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog
from aiohttp import web

from agi_lookup.agi.request import AgiRefused, parse_options
from agi_lookup.cache.codec import to_line
from agi_lookup.call import CallRequest
from agi_lookup.domain.errors import CacheError, NumberError
from agi_lookup.domain.model import Facet
from agi_lookup.domain.number import normalise
from agi_lookup.report import explain_json, look_up, lookup_json
from agi_lookup.server import Server
from agi_lookup.variables import render
from agi_lookup.wiring import Core, Generation

log: structlog.stdlib.BoundLogger = structlog.get_logger()

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
MAX_REQUEST_BYTES: Final = 16 * 1024
MAX_CONNECTIONS: Final = 64

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Serving(Protocol):
    """What is being served right now; `generation` changes on reload."""

    core: Core
    generation: Generation
    server: Server
    ready: bool


class _Refuse(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class Web:
    """Starts and stops the listener of one `Serving`."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._options = serving.generation.config.http
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; returns the port, or 0 when the listener is switched off. Raises `OSError`."""
        if not self._options.enabled:
            return 0
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_REQUEST_BYTES)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/api/v1/lookup/{number}", self._lookup)
        app.router.add_get("/api/v1/explain/{number}", self._explain)
        app.router.add_get("/api/v1/cache/{number}", self._cache_get)
        app.router.add_delete("/api/v1/cache/{number}", self._cache_forget)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._connection, self._options.host, self._options.port)
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    def _connection(self) -> asyncio.BaseProtocol:
        """A capped number of connections: idle ones must not take the descriptors that calls need."""
        server = self._runner.server if self._runner else None
        if server is None or len(server.connections) >= MAX_CONNECTIONS:
            self._serving.core.metrics.event("http_refused")
            return _Refuse()
        return server()

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in OPEN_PATHS and not self._may(request):
            self._serving.core.metrics.event("http_denied")
            log.warning("http denied", peer=request.remote)
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
        try:
            return await handler(request)
        except (AgiRefused, NumberError) as error:
            return web.json_response({"error": error.code}, status=400)
        except CacheError as error:
            self._serving.core.metrics.event("http_cache_error")
            return web.json_response({"error": str(error)}, status=503)

    def _may(self, request: web.Request) -> bool:
        if "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return False  # another site's page in the operator's browser: it must not spend the operator's money
        token = self._options.token
        if token is None:
            return request.url.host in LOOPBACK_NAMES
        expected = f"Bearer {token.get_secret_value()}".encode()
        return hmac.compare_digest(
            request.headers.get("Authorization", "").encode("utf-8", "surrogateescape"), expected
        )

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _ready(self, _request: web.Request) -> web.Response:
        ready = self._serving.ready
        return web.json_response({"ready": ready}, status=200 if ready else 503)

    async def _metrics(self, _request: web.Request) -> web.Response:
        core = self._serving.core
        core.metrics.flights.set(len(core.flights))
        core.metrics.sessions.set(self._serving.server.sessions)
        body = core.metrics.exposition()
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _lookup(self, request: web.Request) -> web.Response:
        """`?profile=`, `need=`, `timeout_ms=`, `fresh=yes` as in AGI; `provider=` asks only that one; `variables=yes` adds them."""
        options = dict(request.query)
        with_variables = options.pop("variables", "no") == "yes"
        report = await look_up(self._call_request(request, options), self._serving.generation.kit)
        shown = lookup_json(report)
        if with_variables:
            prefix = self._serving.generation.access.prefix
            shown["variables"] = dict(render(report.decision, prefix=prefix, now=report.now, ms=int(report.ms)))
        return web.json_response(shown)

    async def _explain(self, request: web.Request) -> web.Response:
        call = self._call_request(request, dict(request.query))
        return web.json_response(explain_json(await look_up(call, self._serving.generation.kit)))

    def _call_request(self, request: web.Request, options: dict[str, str]) -> CallRequest:
        provider = options.pop("provider", None)
        if provider is not None and provider not in self._serving.generation.config.providers:
            raise AgiRefused("unknown_provider")
        given = [f"{key}={value}" for key, value in options.items()]
        fields = parse_options(given, self._serving.generation.kit.profiles)
        return CallRequest(request.match_info["number"], provider=provider, **fields)

    async def _cache_get(self, request: web.Request) -> web.Response:
        hits = await self._serving.core.cache.get(self._number(request), frozenset(Facet))
        return web.json_response({"entries": [json.loads(to_line(entry)) for entry in hits.values()]})

    async def _cache_forget(self, request: web.Request) -> web.Response:
        return web.json_response({"forgotten": await self._serving.core.cache.forget(self._number(request))})

    def _number(self, request: web.Request) -> str:
        """E.164 by the profile's dial plan. Raises `NumberError`."""
        profiles = self._serving.generation.kit.profiles
        profile = profiles.get(request.query.get("profile", "default"))
        if profile is None:
            raise AgiRefused("unknown_profile")
        number = normalise(request.match_info["number"], profile.dial_plan).e164
        if not number:
            raise NumberError("never_looked_up")  # a short code or an extension
        return number
