"""`POST /hooks/{provider}/{secret}`: what vendors report by webhook.

The unguessable path is what lets in a vendor that cannot sign; a provider whose vendor signs checks that for itself. Whoever does
not know the path learns nothing: a wrong secret, an unknown provider and an address that is not let in are the same 404. A body is
read only after that, and bounded in length and time. Neither secret nor number goes into a log or a label.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Final, Protocol

import structlog
from aiohttp import web

from agi_lookup.domain.errors import NoticeRefused
from agi_lookup.providers.base import Network, Notice, Notified, WebhookOptions
from agi_lookup.server import is_within
from agi_lookup.wiring import Core, Generation

log: structlog.stdlib.BoundLogger = structlog.get_logger()

PATH: Final = "/hooks/{provider}/{secret}"
MAX_BODY_BYTES: Final = 1024 * 1024
"""Of any notice; a provider that asks for fewer numbers at once takes less: a long body holds up every call while it is parsed."""
BODY_S: Final = 10.0
QUIET_S: Final = 60.0
NOBODYS_SECRET: Final = secrets.token_urlsafe(16)
NOWHERE: Final[tuple[Network, ...]] = ()


class Serving(Protocol):
    """What is being served right now; `generation` changes on reload."""

    core: Core
    generation: Generation


class Hooks:
    """Takes notices for the providers of the running generation."""

    def __init__(self, serving: Serving, *, body_s: float = BODY_S) -> None:
        self._serving = serving
        self._body_s = body_s
        self._quiet_until: dict[str, float] = {}

    def lets_in(self, peer: str) -> bool:
        """May notices of some provider come from this address?"""
        options = self._serving.generation.config.providers.values()
        return any(is_within(peer, one.webhook_allow) for one in options if isinstance(one, WebhookOptions))

    async def handle(self, request: web.Request) -> web.Response:
        name = request.match_info["provider"]
        provider = self._let_in(name, request.match_info["secret"], request.remote or "")
        if provider is None:
            self._refuse("hook_denied")
            raise web.HTTPNotFound
        most = min(MAX_BODY_BYTES, self._serving.generation.config.providers[name].max_body_bytes)
        headers = {key.lower(): value for key, value in request.headers.items()}
        notice = Notice(headers, await self._body(request, name, headers, most))
        try:
            results = provider.notice(notice, time.time())
        except NoticeRefused as refused:
            self._refuse("hook_refused", name, refused.code)
            raise (web.HTTPUnauthorized if refused.code == "signature" else web.HTTPBadRequest) from None
        except Exception as error:  # noqa: BLE001 - a kind of another package may raise anything, with a number in its text
            self._serving.core.metrics.bug("hook")
            log.error("a bug in reading a webhook", provider=name, error=type(error).__name__)  # noqa: TRY400
            raise web.HTTPInternalServerError from None
        for word, count in self._serving.core.notices.deliver(name, results).items():
            for _ in range(count):
                self._serving.core.metrics.event(f"hook_{word}")
        return web.Response()

    def _let_in(self, name: str, secret: str, peer: str) -> Notified | None:
        """The provider that expects notices at this path from this peer. Takes the same time for any name."""
        generation = self._serving.generation
        provider, options = generation.providers.get(name), generation.config.providers.get(name)
        expected, networks = NOBODYS_SECRET, NOWHERE
        if isinstance(options, WebhookOptions) and options.webhook_secret is not None:
            expected, networks = options.webhook_secret.get_secret_value(), options.webhook_allow
        same = hmac.compare_digest(secret.encode("utf-8", "surrogatepass"), expected.encode())
        may = same and is_within(peer, networks)
        return provider if may and isinstance(provider, Notified) else None

    async def _body(self, request: web.Request, name: str, headers: Mapping[str, str], most: int) -> bytes:
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            self._refuse("hook_refused", name, "compressed")
            raise web.HTTPUnsupportedMediaType
        try:
            async with asyncio.timeout(self._body_s):
                return await self._read(request, name, most)
        except TimeoutError:
            self._refuse("hook_refused", name, "slow")
            raise web.HTTPRequestTimeout from None
        except (web.RequestPayloadError, ConnectionError):
            self._refuse("hook_refused", name, "cut_off")
            raise web.HTTPBadRequest from None

    async def _read(self, request: web.Request, name: str, most: int) -> bytes:
        stated, body = request.content_length or 0, bytearray()
        while max(stated, len(body)) <= most:
            chunk = await request.content.readany()
            if not chunk:
                return bytes(body)
            body += chunk
        self._refuse("hook_refused", name, "too_long")
        raise web.HTTPRequestEntityTooLarge(most, len(body))

    def _refuse(self, event: str, provider: str = "", why: str = "") -> None:
        """Counted always, logged once a minute for each reason. `provider` is one of the config's names."""
        self._serving.core.metrics.event(event)
        now = time.monotonic()
        key = f"{event} {provider} {why}"
        if now >= self._quiet_until.get(key, 0.0):
            self._quiet_until[key] = now + QUIET_S
            log.warning(event.replace("_", " "), provider=provider, why=why)


def application(hooks: Hooks) -> web.Application:
    """A listener's, on which nothing else is served."""
    only = web.Application()
    only.router.add_post(PATH, hooks.handle)
    return only
