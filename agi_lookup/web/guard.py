"""Who may ask, and what every answer carries: token, limits for who guesses it, other sites' pages, headers, errors as JSON.

With a token, everything but the open paths wants it as a bearer token. Without one, a request must name a loopback host, so that a
web page on the operator's desktop cannot reach it by DNS rebinding. A request that a browser marks as another site's is refused
with or without a token. Webhooks have a secret of their own, and whoever does not know it is to learn nothing: they pass untouched.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog
from aiohttp import web
from cachetools import TTLCache
from pydantic import SecretStr

from agi_lookup.agi.request import AgiRefused
from agi_lookup.domain.errors import CacheError, NumberError
from agi_lookup.web.answers import failed
from agi_lookup.web.listener import network_of

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
HOOKS: Final = "/hooks"
LOOPBACK_HOST: Final = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE | re.ASCII)
MAX_WRONG: Final = 10
"""Wrong tokens in `WRONG_S`; then a source is told 429 for the rest of it, right token or not: else it could go on to guess."""
WRONG_S: Final = 60.0
MAX_SOURCES: Final = 10_000
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_WORDS: Final = {404: "not_found", 405: "method_not_allowed", 413: "too_long"}


class Metrics(Protocol):
    def event(self, word: str) -> None: ...
    def bug(self, where: str) -> None: ...


class Guard:
    """The middleware of one application. `is_open`: may anybody who reaches the listener have it?"""

    def __init__(
        self,
        token: SecretStr | None,
        metrics: Metrics,
        is_open: Callable[[web.Request], bool],
        is_hook: Callable[[web.Request], bool],
        timer: Callable[[], float],
    ) -> None:
        """`timer` is monotonic seconds."""
        self._token = token
        self._metrics = metrics
        self._is_open = is_open
        self._is_hook = is_hook
        self._wrong: TTLCache[str, list[None]] = TTLCache(MAX_SOURCES, WRONG_S, timer=timer)  # since the first of them

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._is_hook(request):
            return await handler(request)
        try:
            refusal = self._refusal(request)
            return await handler(request) if refusal is None else refusal
        except web.HTTPException as error:
            if request.path.startswith(HOOKS):
                raise  # looks like a webhook that is not let in
            allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return failed(error.status, _WORDS.get(error.status, "refused"), **allow)
        except Exception as error:  # noqa: BLE001 - answered, and bugs are counted and logged
            return self._failed(error)

    def _failed(self, error: Exception) -> web.Response:
        if isinstance(error, AgiRefused | NumberError):
            return failed(400, error.code)
        if isinstance(error, CacheError):
            self._metrics.event("http_cache_error")
            return failed(503, "cache", str(error))
        self._metrics.bug("http")
        log.error("a bug while answering over http", exc_info=error)
        return failed(500, "internal")

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.path in OPEN_PATHS or self._is_open(request):
            return None
        if _is_another_sites(request):
            return self._denied(403, "another_site")
        if self._token is None:
            here = LOOPBACK_HOST.fullmatch(request.headers.get("Host", ""))
            return None if here else self._denied(403, "unknown_host")
        source = network_of(request.remote or "")
        if len(self._wrong.get(source, ())) >= MAX_WRONG:
            self._metrics.event("http_locked_out")
            return failed(429, "too_many_failures", **{"Retry-After": f"{WRONG_S:.0f}"})
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if hmac.compare_digest(given, f"Bearer {self._token.get_secret_value()}".encode()):
            return None
        if given:  # who brings none does not guess: a browser's first look, for one
            self._wrong.setdefault(source, []).append(None)
            log.warning("http denied", peer=request.remote or "")  # ten a minute and source
        return self._denied(401, "denied", **{"WWW-Authenticate": "Bearer"})

    def _denied(self, status: int, word: str, **headers: str) -> web.Response:
        self._metrics.event("http_denied")
        return failed(status, word, **headers)


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """`on_response_prepare`: what the handler has not said otherwise."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "agi-lookup"  # else aiohttp's and Python's versions stand there


def _is_another_sites(request: web.Request) -> bool:
    """A page in the operator's browser must not spend money. Browsers say whose request it is, and no page can change that."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("none", "same-origin")
    origin = request.headers.get("Origin")
    return origin is not None and origin.partition("://")[2] != request.headers.get("Host")
