"""A Valkey, and instances on it."""

from __future__ import annotations

from tests.cache.conftest import clock, heard, valkey

__all__ = ["clock", "heard", "valkey"]
