"""A Valkey, and instances on it."""

from __future__ import annotations

import pytest

from tests.cache.conftest import clock, heard, patience, valkey

__all__ = ["clock", "heard", "patience", "valkey"]


@pytest.fixture
def kept_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was told by a claim is there for others that a busy machine kept waiting."""
    monkeypatch.setattr("agi_lookup.cluster.claims.KEPT_S", 60.0)
