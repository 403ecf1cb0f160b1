"""The operator's console: one page at `/` and its files under `/static/`, read once at the start and served from memory.

They hold nothing secret and no data: the page asks the API for that, with the token that its user types in. So they may be open
where the API is not. No path of a request ever reaches the file system, no script or style stands in the page, and the page may
talk to us alone (the policy below), whatever an operator's name, a vendor's word or a dialled string contains.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from agi_lookup import __version__
from agi_lookup.alarms import ALARMS

PAGE_PATH: Final = "/"
STATIC_PATH: Final = "/static/"
TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""What is served, and as what. Anything else in the folder stays there."""
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # asked for again each time, and sent again only when it has changed
}


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    type: str
    etag: str


class Console:
    """Everything in memory: some 150 kB."""

    def __init__(self) -> None:
        self._page = _file(_render().encode(), "text/html")
        root = files("agi_lookup.web") / "static"
        self._files = {STATIC_PATH + name: file for name, file in _read(root, "")}

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get(PAGE_PATH, self._answer)
        app.router.add_get(STATIC_PATH + "{name:.+}", self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        file = self._page if request.path == PAGE_PATH else self._files.get(request.path)
        if file is None:
            raise web.HTTPNotFound
        known = any(tag.value in (file.etag, "*") for tag in request.if_none_match or ())
        answer = web.Response(status=304) if known else web.Response(body=file.body, content_type=file.type)
        if not known:
            answer.charset = "utf-8"
        answer.etag = file.etag
        answer.headers.update(HEADERS)
        return answer


def is_open(request: web.Request) -> bool:
    """May anybody who reaches the listener have it? See above."""
    return request.method in ("GET", "HEAD") and (request.path == PAGE_PATH or request.path.startswith(STATIC_PATH))


def _render() -> str:
    pages = Environment(
        loader=PackageLoader("agi_lookup.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return pages.get_template("console.html").render(version=__version__, alarms=ALARMS)


def _read(folder: Traversable, prefix: str) -> Iterator[tuple[str, _File]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _read(entry, f"{prefix}{entry.name}/")
        elif (kind := TYPES.get(f".{entry.name.rpartition('.')[2]}")) is not None:
            yield prefix + entry.name, _file(entry.read_bytes(), kind)


def _file(body: bytes, kind: str) -> _File:
    return _File(body, kind, hashlib.sha256(body).hexdigest()[:16])
