"""Asks the running server about many numbers, over connections that are kept. For one number there is `client.ask`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from agi_lookup.config import HttpOptions
from agi_lookup.web.client import ServerRefused, bearer, where


class Asking:
    """To be entered inside the event loop."""

    def __init__(self, options: HttpOptions, *, timeout_s: float, connections: int) -> None:
        where(options)
        self._options = options
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._connections = connections

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=bearer(self._options),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, what: str, number: str, query: Mapping[str, str]) -> dict[str, Any] | None:
        """None: the server did not answer, or cannot now. Raises `ServerRefused`."""
        url = URL.build(
            scheme="http",
            host=self._options.host,
            port=self._options.port,
            path=f"/api/v1/{what}/{quote(number, safe='')}",
            query_string=urlencode(query),
            encoded=True,
        )
        try:
            async with self._session.get(url, allow_redirects=False) as reply:
                status, body = reply.status, await reply.read()
            shown: dict[str, Any] = json.loads(body) if status in (200, 400) else {}
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return None
        if status >= 500:
            return None
        if status != 200:
            raise ServerRefused(str(shown.get("error", f"the server at {where(self._options)} says {status}")))
        return shown
