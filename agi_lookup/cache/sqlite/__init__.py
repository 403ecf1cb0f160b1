"""Entries on disk, in SQLite. `SqliteTier` is the door."""

from agi_lookup.cache.sqlite.tier import Limits, Mode, SqliteTier

__all__ = ["Limits", "Mode", "SqliteTier"]
