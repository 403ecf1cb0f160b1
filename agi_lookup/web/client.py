"""Asks the running server, for commands that may not touch its cache themselves: one process writes a cache."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import quote, urlencode

from agi_lookup.config import HttpOptions
from agi_lookup.domain.errors import OutsideError


class ServerUnavailable(OutsideError):
    """The server did not answer; the text says where it was looked for."""


class ServerRefused(OutsideError):
    """The server answered that it will not; the text is its stable word."""


def ask(
    options: HttpOptions, method: str, what: str, number: str = "", *, timeout_s: float, **query: str
) -> dict[str, Any]:
    """`ask(http, "GET", "lookup", "+44...")`. Raises `ServerUnavailable` or `ServerRefused`."""
    server = where(options)
    path = f"/api/v1/{what}/{quote(number, safe='')}" if number else f"/api/v1/{what}"
    connection = http.client.HTTPConnection(options.host, options.port, timeout=timeout_s)
    try:
        connection.request(method, f"{path}?{urlencode(query)}" if query else path, headers=bearer(options))
        reply = connection.getresponse()
        body = json.loads(reply.read() or b"{}") if reply.status in (200, 400) else {}
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ServerUnavailable(f"the server at {server} does not answer ({type(error).__name__})") from None
    finally:
        connection.close()
    if reply.status != http.client.OK:
        raise ServerRefused(str(body.get("error", f"the server at {server} says {reply.status}")))
    shown: dict[str, Any] = body
    return shown


def where(options: HttpOptions) -> str:
    """`HOST:PORT`. Raises `ServerUnavailable` when the server does not listen there."""
    if not options.enabled or not options.port:
        raise ServerUnavailable("a server is running and its http listener is off: switch it on, or stop the server")
    return f"{options.host}:{options.port}"


def bearer(options: HttpOptions) -> dict[str, str]:
    return {"Authorization": f"Bearer {options.token.get_secret_value()}"} if options.token else {}
