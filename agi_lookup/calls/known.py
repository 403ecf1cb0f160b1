"""What the cache on this machine knows of a number's network, read beside whoever writes it. Nobody is asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from agi_lookup.cache.codec import BadEntry
from agi_lookup.cache.sqlite import file, statements
from agi_lookup.calls.past import Known
from agi_lookup.domain.errors import CacheError, OutsideError
from agi_lookup.domain.model import CacheState, Facet, Identity, Sourced
from agi_lookup.lookup.freshness import state

NOBODY: Final[Known] = lambda _number, _at: None  # noqa: E731


@contextmanager
def cached_identities(path: Path | None) -> Iterator[Known]:
    """Nobody's without a file. An answer that came after the call counts as one that was there.

    Raises `OutsideError` for a file that cannot be read.
    """
    if path is None or not path.exists():
        yield NOBODY
        return
    try:
        with closing(file.open_reader(path)) as connection:
            yield lambda number, at: _identity(connection, number, at)
    except (sqlite3.Error, CacheError) as error:
        raise OutsideError(f"{path}: cannot be read ({error}); go on without it by --no-cache") from None


def _identity(connection: sqlite3.Connection, number: str, at: float) -> Sourced[Identity] | None:
    wanted = msgspec.json.encode([statements.digits(number)]).decode()
    for row in connection.execute(statements.READ, (wanted,)):
        try:
            entry = statements.entry_of(row)
        except BadEntry:
            continue
        cache = state(entry, max(at, entry.observed_at))
        if entry.facet is Facet.IDENTITY and cache is not CacheState.MISS and isinstance(entry.body, Identity):
            stale = cache is CacheState.STALE
            return Sourced(entry.body, entry.provider, entry.method, entry.observed_at, cache, stale)
    return None
