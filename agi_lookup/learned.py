"""What was learned from calls, kept over restarts: how good routes are, and how much block rules are trusted. Holds no numbers."""

from __future__ import annotations

import errno
import re
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from agi_lookup import whole_file
from agi_lookup.policy.governance import Governor
from agi_lookup.routing.memory import Memory

LEARNED_FILE: Final = "learned.json"
VERSION: Final = 1
_VERSION_OF: Final = re.compile(rb'\A{"version":([0-9]{1,9}),')
"""It comes first, so that nothing need be read to know it."""
MAX_BYTES: Final = 64 * 1024 * 1024
"""Some 300,000 pairs of trunk and destination."""


def snapshot(memory: Memory, governor: Governor) -> dict[str, Any]:
    return {"routing": memory.snapshot(), "governance": governor.export()}


def save(path: Path, learned: dict[str, Any]) -> None:
    """Whole or not at all, in any thread. Raises `OSError`, also for a newer version's file: that stays as it is."""
    if _is_newer(path):
        raise FileExistsError(errno.EEXIST, "a newer version's file stays", str(path))
    whole_file.write(path, _encoded(learned))


def restore(path: Path, memory: Memory, governor: Governor, on_alarm: Callable[[str, str], None]) -> None:
    """Never fails: what cannot be used is put aside, with an alarm, and learned anew. For the start: clears half-written files."""
    whole_file.clear_halves(path)
    try:
        if _is_newer(path):
            on_alarm("learned_unusable", f"{path.name}: a newer version's; it stays, and what calls teach is not kept")
            return
        learned = _read(path)
        memory.restore(learned["routing"])
        governor.restore(learned["governance"])
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:  # msgspec's errors are ValueErrors
        _put_aside(path)
        on_alarm("learned_unusable", f"{path.name}: {type(error).__name__}; what calls taught is learned anew")


def _encoded(learned: dict[str, Any]) -> bytes:
    """As JSON, and no more than may be read back: of the quality of routes, which alone can be much, what was used last."""
    routing = learned["routing"]
    learned = {"version": VERSION, **learned}
    rest = msgspec.json.encode({**learned, "routing": {**routing, "quality": []}})
    quality = _last(routing["quality"], MAX_BYTES - len(rest))
    return msgspec.json.encode({**learned, "routing": {**routing, "quality": quality}})


def _last(rows: Sequence[Any], room: int) -> list[msgspec.Raw]:
    """As many from the end as go into so many bytes. One by one, so that other threads have their turn."""
    kept: deque[msgspec.Raw] = deque()
    for row in reversed(rows):
        encoded = msgspec.json.encode(row)
        room -= len(encoded) + 1  # and a comma
        if room < 0:
            break
        kept.appendleft(msgspec.Raw(encoded))
    return list(kept)


def _is_newer(path: Path) -> bool:
    """Raises `OSError`, but not for a file that is not there."""
    try:
        with path.open("rb") as file:
            found = _VERSION_OF.match(file.read(32))
    except FileNotFoundError:
        return False
    return found is not None and int(found[1]) > VERSION


def _read(path: Path) -> Any:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError("too large")
    return msgspec.json.decode(path.read_bytes())


def _put_aside(path: Path) -> None:
    with suppress(OSError):  # then it will be written over
        path.replace(path.with_suffix(".unusable"))
