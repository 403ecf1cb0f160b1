"""A row for each replayed call, as CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from agi_lookup.calls.past import Skipped
from agi_lookup.calls.replay import Compared
from agi_lookup.calls.report import HEADER, row

Write: TypeAlias = Callable[[Compared | Skipped], None]


@contextmanager
def written(path: Path | None) -> Iterator[Write]:
    """The file is there whole, or not at all; without a path nothing is written. Raises `OSError`."""
    if path is None:
        yield lambda _one: None
        return
    new = path.with_name(f"{path.name}.new")
    try:
        with new.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            yield lambda one: writer.writerow(row(one)) if isinstance(one, Compared) else None
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
