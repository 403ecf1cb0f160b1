"""A file that is replaced whole or not at all, in any thread."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp


def write(path: Path, content: bytes) -> None:
    """Durable, readable to its owner only. Raises `OSError`; what was there stays then."""
    descriptor, name = mkstemp(prefix=f"{path.stem}.", suffix=".new", dir=path.parent)  # its own: two may write at once
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def clear_halves(path: Path) -> None:
    """What a killed process had begun to write. For the start, while nobody writes."""
    with suppress(OSError):
        for half in path.parent.glob(f"{path.stem}.*.new"):
            half.unlink()
