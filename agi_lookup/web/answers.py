"""Answers as JSON, and query parameters, read strictly."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

import msgspec
from aiohttp import web

from agi_lookup.agi.request import AgiRefused

JSON: Final = "application/json"
_encode: Final = msgspec.json.Encoder(enc_hook=str).encode


def answer(body: object, status: int = 200, **headers: str) -> web.Response:
    return web.Response(body=_encode(body), status=status, content_type=JSON, headers=headers)


def failed(status: int, word: str, detail: str = "", **headers: str) -> web.Response:
    """`shapes.Error`. `detail` holds no number and no secret."""
    return answer({"error": word, "detail": detail} if detail else {"error": word}, status, **headers)


def query(request: web.Request, known: Collection[str] | None = None) -> dict[str, str]:
    """Each parameter once; all of `known`, where that is given. Raises `AgiRefused`."""
    given = dict(request.query)
    if len(given) != len(request.query):
        raise AgiRefused("option_twice")
    if known is not None and not given.keys() <= set(known):
        raise AgiRefused("unknown_option")
    return given


def whole(text: str | None, default: int, most: int, refusal: str) -> int:
    """1 to `most`. Raises `AgiRefused(refusal)`."""
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) or not 1 <= int(text) <= most:
        raise AgiRefused(refusal)
    return int(text)


def flag(text: str | None, refusal: str) -> bool:
    """`yes` or `no`, which it is where it is left out. Raises `AgiRefused(refusal)`."""
    if text not in (None, "yes", "no"):
        raise AgiRefused(refusal)
    return text == "yes"
