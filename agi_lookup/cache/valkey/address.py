"""What the url of a shared server says. Its text may hold a password: no error repeats it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit

FORM: Final = (
    "use redis://USER:PASSWORD@HOST:6379/DB, unix:///SOCKET?db=DB, redis+sentinel://USER:PASSWORD@HOST:26379,HOST:26379/NAME/DB "
    "or redis+cluster://USER:PASSWORD@HOST:6379,HOST:6379; rediss for TLS, % codes in USER and PASSWORD"
)
_MOST_HOSTS: Final = 16


@dataclass(frozen=True, slots=True)
class Address:
    """`urls` are those of single servers, as redis-py reads them: of the one, of each sentinel, of some nodes of the cluster."""

    kind: Literal["one", "sentinel", "cluster"]
    urls: tuple[str, ...]
    service: str = ""  # what the sentinels call the primary
    login: str = ""  # `USER:PASSWORD@`, or empty
    database: str = "0"
    tls: bool = False


def address_of(url: str) -> Address:
    """Raises `ValueError`."""
    scheme, _, rest = url.partition("://")
    if scheme in ("redis", "rediss", "unix"):
        parts = urlsplit(url)
        if not (_is_socket(parts) if scheme == "unix" else _is_server(parts)):
            raise ValueError(FORM)
        return Address("one", (url,))
    single, _, kind = scheme.partition("+")
    if single not in ("redis", "rediss") or kind not in ("sentinel", "cluster"):
        raise ValueError(FORM)
    where, _, path = rest.partition("/")
    login, at, hosts = where.rpartition("@")
    # Sentinels have users of their own, mostly none; the nodes of a cluster have those of the data.
    urls = tuple(f"{single}://{login + at if kind == 'cluster' else ''}{host}" for host in hosts.split(","))
    named = re.fullmatch(r"([A-Za-z0-9_.-]{1,64})(?:/([0-9]{1,5}))?", path) if kind == "sentinel" else None
    if len(urls) > _MOST_HOSTS or not all(_is_server(urlsplit(one)) for one in urls):
        raise ValueError(FORM)
    if kind == "cluster":
        if path:
            raise ValueError(FORM)
        return Address("cluster", urls, login=login + at, tls=single == "rediss")
    if named is None:
        raise ValueError(FORM)
    return Address("sentinel", urls, named[1], login + at, named[2] or "0", single == "rediss")


def _is_server(parts: SplitResult) -> bool:
    """May raise `ValueError` for the port."""
    return (
        parts.scheme in {"redis", "rediss"}
        and bool(parts.hostname)
        and (parts.port is None or parts.port > 0)
        and re.fullmatch(r"(/[0-9]{0,5})?", parts.path) is not None
        and not (parts.query or parts.fragment)
    )


def _is_socket(parts: SplitResult) -> bool:
    return (
        parts.path.startswith("/") and re.fullmatch(r"(db=[0-9]{1,5})?", parts.query) is not None and not parts.fragment
    )
