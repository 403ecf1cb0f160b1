"""Whole instances, as processes, that share a Valkey and the simulated vendors' accounts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.cache.servers import Server
from tests.calls import Vendors, site_of
from tests.processes import Site

IN_TIME_MS = 5_000
"""What a call gives the shared server: a test's two cores are busy. By default it is 20."""


def instance(
    folder: Path,
    sim: Vendors,
    valkey: Server,
    *vendors: str,
    budget: Any = None,
    timeout_ms: float = IN_TIME_MS,
    cluster: dict[str, Any] | None = None,
    blocks: dict[str, Any] | None = None,
    **profile: Any,
) -> Site:
    """Called by its folder's name. `blocks` changes what vendors' blocks say."""
    folder.mkdir(exist_ok=True)
    site = site_of(folder, sim.blocks(*(vendors or ("npl",)), **(blocks or {})), budget=budget, **profile)
    site.data["cache"] = {"shared": {"url": valkey.url, "timeout_ms": timeout_ms}}
    site.data["cluster"] = {"enabled": True, "name": folder.name, **(cluster or {})}
    site.write()
    return site
