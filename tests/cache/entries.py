"""Cache entries for tests."""

from __future__ import annotations

from agi_lookup.cache.base import CacheEntry, Outcome
from agi_lookup.domain.model import Facet, Identity, Liveness, Method
from tests.fakes import ALIVE, KNOWN

NOW = 1_700_000_000.0
NUMBER = "+447400123456"
BOTH = frozenset(Facet)


def identity(number: str = NUMBER, *, observed_at: float = NOW, body: Identity = KNOWN) -> CacheEntry:
    return CacheEntry(
        number=number,
        facet=Facet.IDENTITY,
        outcome=Outcome.POSITIVE,
        provider="fake",
        method=Method.HLR,
        observed_at=observed_at,
        fresh_until=observed_at + 86_400,
        stale_until=observed_at + 8 * 86_400,
        body=body,
    )


def liveness(number: str = NUMBER, *, observed_at: float = NOW, body: Liveness = ALIVE) -> CacheEntry:
    return CacheEntry(
        number=number,
        facet=Facet.LIVENESS,
        outcome=Outcome.POSITIVE,
        provider="fake",
        method=Method.HLR,
        observed_at=observed_at,
        fresh_until=observed_at + 900,
        stale_until=observed_at + 900,
        body=body,
    )


def numbers(count: int) -> list[str]:
    return [f"+4474{i:08d}" for i in range(count)]
