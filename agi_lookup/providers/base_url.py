"""Where credentials may be sent: https to a public host, unless the operator says otherwise.

Checked when the config is read, and once more when the name is resolved (`providers.http`), because a public name can point inside.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

HOST_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*", re.ASCII)
PRIVATE_NAMES: Final = ("localhost", "local", "internal", "lan", "home.arpa", "intranet", "corp", "private")
"""RFC 6761, 6762, 8375 and the names that RFC 6762 appendix G sees in private networks."""
NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


def check_base_url(url: str, *, allow_private: bool) -> str:
    """`url` itself when a provider may live there. Raises `ValueError`, whose text never repeats the URL."""
    parts = _split(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("base_url must not hold credentials: use the provider's own keys")
    if parts.query or parts.fragment:
        raise ValueError("base_url must not have a query or a fragment")
    if allow_private:
        return url
    if parts.scheme != "https":
        raise ValueError("base_url must be https (allow_private: true permits plain http to a test server)")
    if not is_public_host(parts.hostname or ""):
        raise ValueError("base_url must name a public host (allow_private: true permits a test server)")
    return url


def is_public_host(host: str) -> bool:
    """Could this name or literal be a vendor's? A name may still resolve to a private address."""
    try:
        return is_public_address(host)
    except ValueError:
        pass  # a name
    labels = host.lower().rstrip(".").split(".")
    if NUMERIC_LABEL.fullmatch(labels[-1]):
        return False  # 127.1, 2130706433, 0x7f.0.0.1: what the C library reads as an address
    private = any(".".join(labels).endswith(f".{name}") for name in PRIVATE_NAMES)
    return len(labels) > 1 and not private


def is_public_address(address: str) -> bool:
    """Raises `ValueError` when this is no IP address in its canonical form."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _split(url: str) -> SplitResult:
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("base_url must be printable ASCII without blanks")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        raise ValueError("base_url must be an http or https URL")
    host = parts.hostname or ""
    if ":" not in host and not HOST_NAME.fullmatch(host.rstrip(".")):
        raise ValueError("base_url must name a host")
    _ = parts.port  # raises ValueError for 0x50, 99999
    return parts
