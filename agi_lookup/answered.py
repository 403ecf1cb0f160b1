"""Who answered a call lately, kept over restarts: that outweighs any provider's word. By keyed hash: no number is in the file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from agi_lookup import whole_file
from agi_lookup.keyed import HASH_BYTES, key_of, keyed
from agi_lookup.policy.history import Answered, Histories

ANSWERED_FILE: Final = "answered.msgpack"
MOST: Final = 200_000
"""Those that answered last; 6 MB."""


def save(path: Path, answered: Answered) -> None:
    """Whole or not at all, in any thread: a hash takes a microsecond. Raises `OSError`."""
    if not (answered.before or answered.since or path.exists()):
        return
    hashed = partial(keyed, key_of(path.with_suffix(".key")))
    times = answered.before | {hashed(number): at for number, at in answered.since.items()}
    latest = sorted(times.items(), key=lambda row: row[1])[-MOST:]
    whole_file.write(path, msgspec.msgpack.encode(latest))


def restore(path: Path, histories: Histories, on_alarm: Callable[[str, str], None], now: float) -> None:
    """Never fails: what cannot be used is put aside, with an alarm. For the start: clears half-written files."""
    whole_file.clear_halves(path)
    try:
        rows = msgspec.msgpack.decode(path.read_bytes(), type=list[tuple[bytes, float]])
        before = {hash_: min(at, now) for hash_, at in islice(rows, MOST) if len(hash_) == HASH_BYTES}
        histories.remember(before, partial(keyed, key_of(path.with_suffix(".key"))))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        with suppress(OSError):
            path.replace(path.with_suffix(".unusable"))
        on_alarm("learned_unusable", f"{path.name}: {type(error).__name__}; who answered lately is learned anew")
