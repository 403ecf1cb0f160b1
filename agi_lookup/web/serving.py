"""What the web side is shown of the server."""

from __future__ import annotations

from typing import Protocol

from agi_lookup.server import Server
from agi_lookup.wiring import Core, Generation


class Serving(Protocol):
    """What is being served right now; `generation` changes on reload."""

    core: Core
    generation: Generation
    server: Server
    ready: bool
