"""A link to what the url says: one server, the primary that sentinels name, or a cluster."""

from __future__ import annotations

from urllib.parse import urlsplit

from agi_lookup.cache.valkey.address import address_of
from agi_lookup.cache.valkey.link import Connection, Link, to_server
from agi_lookup.cache.valkey.options import SharedOptions
from agi_lookup.cache.valkey.sentinel import SentinelConnection
from agi_lookup.cache.valkey.slots import ClusterLink


def link_to(options: SharedOptions) -> Link | ClusterLink:
    """Not open yet."""
    address = address_of(options.url.get_secret_value())
    scheme = "rediss" if address.tls else "redis"

    def server(host: str, port: int) -> Connection:
        where = f"[{host}]" if ":" in host else host
        return to_server(f"{scheme}://{address.login}{where}:{port}/{address.database}", options)

    if address.kind == "one":
        return Link(to_server(address.urls[0], options))
    if address.kind == "sentinel":
        sentinels = [to_server(url, options) for url in address.urls]
        return Link(SentinelConnection(sentinels, address.service, server))
    seeds = [(parts.hostname or "", parts.port or 6379) for parts in map(urlsplit, address.urls)]
    return ClusterLink(seeds, lambda host, port: Link(server(host, port)))
