"""A process that writes to a cache until it is killed, and says on a pipe what it has been promised."""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path

from agi_lookup.cache.sqlite import Mode, SqliteTier
from tests.cache.entries import NOW, identity

ROUND_S = 0.002


def write_until_killed(path: Path, first: int, pipe: int, *, flush: bool) -> None:
    """Put entry after entry. A line is the count that is on disk; without `flush` the count put, `ROUND_S` or more apart."""
    asyncio.run(_write(path, first, pipe, flush=flush))


async def _write(path: Path, first: int, pipe: int, *, flush: bool) -> None:
    tier = await SqliteTier.open(
        path, mode=Mode.SERVER, clock=lambda: NOW, on_alarm=lambda code, detail: None, count=lambda word: None
    )
    for i in itertools.count(first + 1):
        tier.put([identity(f"+4474{i - 1:08d}")])
        if flush and i % 7 == 0:
            await tier.flush(30.0)
            os.write(pipe, f"{i}\n".encode())
        elif not flush:
            os.write(pipe, f"{i}\n".encode())
            await asyncio.sleep(ROUND_S)
