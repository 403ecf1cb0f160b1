"""The only vendor I/O: drives a provider's generator over aiohttp, within one deadline, and tells what may have been paid.

What a provider may rely on: it gets every complete reply, whatever its status, with at most `max_body_bytes` of body; anything
else is a `ProviderError` thrown in. Nothing is followed (redirects), decoded (compression), kept (cookies) or read from the
environment (proxies, .netrc). A charged request is never sent twice: not by us, and not by aiohttp, which would repeat a GET on a
kept-alive connection that broke.

Quirk: aiohttp's exceptions carry the URL and Python chains them as context, so ours are raised outside the `except` blocks.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import socket
import ssl
from collections.abc import Generator
from math import inf
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from agi_lookup import __version__
from agi_lookup.domain.errors import (
    ConfigError,
    ProviderError,
    ProviderOutcomeUnknown,
    ProviderProtocolError,
    ProviderTimeout,
    ProviderTlsError,
    ProviderUnavailable,
)
from agi_lookup.providers.base import HttpReply, HttpRequest, ProviderOptions, Reply, Step
from agi_lookup.providers.base_url import is_public_address

T = TypeVar("T")

MAX_STEPS: Final = 16
"""Requests of one lookup: a batch of 100 that is refused and sent again in tens makes 11."""
LEAST_S: Final = 0.005
"""A request is not begun with less: no vendor answers in it, but may charge. uvloop's timers end up to a millisecond early."""
DNS_TIMEOUT_S: Final = 2.0
DNS_FRESH_S: Final = 60
KEEP_ALIVE_S: Final = 15.0
"""Apache closes idle connections after 5 s, nginx after 75 s; a close that we have seen costs nothing."""
NO_TIMEOUTS: Final = aiohttp.ClientTimeout(total=None, connect=None, sock_read=None, sock_connect=None)
"""`HttpDriver.run` has the one clock."""


class HttpDriver:
    """One vendor account's connections. Make it inside the running loop, `close` it when nothing is under way.

    Never more than `max_concurrency` connections; a request that finds none free waits within its own deadline.
    """

    def __init__(self, options: ProviderOptions, *, resolver: AbstractResolver | None = None) -> None:
        self._max_body_bytes = options.max_body_bytes
        self._resolver = VendorResolver(resolver or aiohttp.AsyncResolver(), allow_private=options.allow_private)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=options.max_concurrency,
                ssl=tls_context(options.ca_file),
                resolver=self._resolver,
                ttl_dns_cache=DNS_FRESH_S,
                keepalive_timeout=KEEP_ALIVE_S,
            ),
            timeout=NO_TIMEOUTS,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": f"agi-lookup/{__version__}"},
            trace_configs=[_trace_what_was_sent()],
        )

    async def close(self) -> None:
        await self._session.close()
        await self._resolver.close()

    async def run(self, lookup: Generator[Step, Reply, T], *, timeout_s: float) -> T:
        """What the generator returns. Raises `ProviderError`: its own, or ours.

        All of it, from DNS to the last byte, ends within `timeout_s`; what had come by then the generator may still return. May be
        cancelled at any point; what had been sent by then may have been paid.
        """
        spent = _Spent()
        try:
            return await self._drive(lookup, spent, asyncio.get_running_loop().time() + timeout_s)
        except _TooLateError:
            if not spent.charged:
                raise
        finally:
            lookup.close()
        raise ProviderTimeout

    async def _drive(self, lookup: Generator[Step, Reply, T], spent: _Spent, deadline: float) -> T:
        try:
            step = next(lookup)
            for _ in range(MAX_STEPS):
                try:
                    reply = await self._send_in_time(step, spent, deadline)
                except ProviderError as error:
                    step = lookup.throw(error)
                else:
                    step = lookup.send(reply)
        except StopIteration as done:
            result: T = done.value
            return result
        raise ProviderProtocolError("too many requests for one lookup")

    async def _send_in_time(self, step: HttpRequest, spent: _Spent, deadline: float) -> HttpReply:
        """By the deadline, and within the time of the step where it has one of its own."""
        now = asyncio.get_running_loop().time()
        if deadline - now < LEAST_S:
            raise _TooLateError
        try:
            async with asyncio.timeout_at(min(deadline, now + (step.timeout_s or inf))):
                return await self._send(step, spent)
        except TimeoutError:
            pass
        raise ProviderTimeout if spent.charged else ProviderUnavailable("time was over before the request was sent")

    async def _send(self, step: HttpRequest, spent: _Spent) -> HttpReply:
        if self._session.closed:
            closed = "its connections were closed by a reload"
            raise ProviderOutcomeUnknown(closed) if spent.charged else ProviderUnavailable(closed)
        try:
            async with self._session.request(
                step.method,
                URL(step.url),
                params=step.query or None,
                data=step.form if step.body is None else step.body,
                json=step.json,
                headers=step.headers,
                allow_redirects=False,
                middlewares=(_never_repeat,) if step.charged else (),
                trace_request_ctx=spent if step.charged else None,
            ) as response:
                return await self._read(response)
        except _BrokenError as broken:
            failure = _failure(broken.error, spent)
        except (aiohttp.ClientError, OSError) as error:
            failure = _failure(error, spent)
        raise failure

    async def _read(self, response: aiohttp.ClientResponse) -> HttpReply:
        headers = {name.lower(): value for name, value in response.headers.items()}
        if headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
            raise ProviderProtocolError("a compressed reply, which was not asked for")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._max_body_bytes:
                raise ProviderProtocolError("the reply is too long")
        return HttpReply(response.status, headers, bytes(body))


class VendorResolver(AbstractResolver):
    """Names of vendors to addresses: c-ares, so no thread; bounded in time; the last good answer outlives a DNS outage.

    aiohttp asks once for all who wait for the same name, so no more than one query a vendor is ever under way.
    """

    def __init__(self, upstream: AbstractResolver, *, allow_private: bool) -> None:
        self._upstream = upstream
        self._allow_private = allow_private
        self._last_good: dict[str, list[ResolveResult]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        try:
            async with asyncio.timeout(DNS_TIMEOUT_S):
                found = await self._upstream.resolve(host, port, family)
        except OSError:  # TimeoutError is one
            if host not in self._last_good:
                raise
            return self._last_good[host]
        allowed = [address for address in found if self._allow_private or is_public_address(address["host"])]
        if not allowed:
            raise PrivateAddressError
        self._last_good[host] = allowed
        return allowed

    async def close(self) -> None:
        await self._upstream.close()


class PrivateAddressError(OSError):
    """A vendor's name points to no public address, and `allow_private` is not set."""


class _Spent:
    """Has a charged request left this machine during this run?"""

    charged = False


class _TooLateError(ProviderUnavailable):
    """For a step that was not sent any more; to a lookup that makes nothing of what came before, that may have been paid."""


class _BrokenError(Exception):
    """Hides an error from aiohttp's own repetition of idempotent requests."""

    def __init__(self, error: aiohttp.ClientError) -> None:
        self.error = error


async def _never_repeat(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        broken = _BrokenError(error)
    raise broken


def _trace_what_was_sent() -> aiohttp.TraceConfig:
    async def note(_session: object, context: object, _params: object) -> None:
        spent = getattr(context, "trace_request_ctx", None)
        if spent is not None:
            spent.charged = True

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(note)  # comes right before the first byte is written
    return trace


def _failure(error: Exception, spent: _Spent) -> ProviderError:
    """What a failed exchange means. Says classes and error numbers only: the texts of these exceptions hold URLs."""
    detail = _describe(error)
    if isinstance(error, aiohttp.ClientResponseError):
        return ProviderProtocolError(detail)  # no HTTP
    if spent.charged:
        return ProviderOutcomeUnknown(detail)
    return ProviderTlsError(detail) if _is_tls(error) else ProviderUnavailable(detail)


def _is_tls(error: Exception) -> bool:
    if isinstance(error, aiohttp.ClientSSLError):
        return True
    cut_off = isinstance(getattr(error, "os_error", None), ConnectionResetError | ConnectionAbortedError)
    return cut_off and isinstance(error, aiohttp.ClientConnectorError)  # connected, then cut off: during the handshake


def _describe(error: Exception) -> str:
    cause = getattr(error, "os_error", error)
    words = (
        type(error).__name__,
        type(cause).__name__ if cause is not error else "",
        errno.errorcode.get(getattr(cause, "errno", None) or 0, ""),
        getattr(cause, "verify_message", "") or getattr(cause, "reason", ""),
    )
    return " ".join(str(word) for word in words if word)


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or later, verified. Raises `ConfigError` when `ca_file` is no PEM file."""
    if ca_file is None:
        return _system_tls()
    try:
        return _tls(str(ca_file))
    except (OSError, ValueError) as error:
        raise ConfigError(f"ca_file {ca_file}: not a readable PEM file ({type(error).__name__})") from None


@functools.cache
def _system_tls() -> ssl.SSLContext:
    """Shared by all: loading the system's certificates takes some 20 ms."""
    return _tls(None)


def _tls(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
