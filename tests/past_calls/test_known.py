"""Networks from the cache on disk: read beside its writer, by the time of the call."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agi_lookup.cache.base import CacheEntry, Outcome
from agi_lookup.cache.sqlite import Mode, SqliteTier
from agi_lookup.calls.known import cached_identities
from agi_lookup.domain.errors import OutsideError
from agi_lookup.domain.model import CacheState, Facet, Method
from tests.past_calls.logged import NOW, NUMBER, OTHER, VODAFONE, Heard


def cached(path: Path, number: str) -> None:
    """Vodafone's at `NOW`, good for two hours, and of use for three."""
    entry = CacheEntry(
        number=number,
        facet=Facet.IDENTITY,
        outcome=Outcome.POSITIVE,
        provider="npl",
        method=Method.MNP,
        observed_at=NOW,
        fresh_until=NOW + 7200,
        stale_until=NOW + 10_800,
        body=VODAFONE,
    )
    heard = Heard()

    async def fill() -> None:
        tier = await SqliteTier.open(path, mode=Mode.TOOL, clock=lambda: NOW, on_alarm=heard.alarm, count=heard.count)
        tier.put([entry])
        await tier.flush()
        await tier.close()

    asyncio.run(fill())


@pytest.mark.parametrize(
    ("at", "found"),
    [
        (NOW - 90 * 86_400, CacheState.FRESH),  # it was not known then, but it would have been looked up
        (NOW + 60, CacheState.FRESH),
        (NOW + 9000, CacheState.STALE),
        (NOW + 20_000, None),
    ],
)
def test_an_identity_counts_by_the_time_of_the_call(tmp_path: Path, at: float, found: CacheState | None) -> None:
    path = tmp_path / "cache.sqlite"
    cached(path, NUMBER)

    with cached_identities(path) as known:
        sourced = known(NUMBER, at)
        assert known(OTHER, at) is None

    assert (sourced and sourced.cache) == found
    assert sourced is None or (sourced.value, sourced.stale) == (VODAFONE, found is CacheState.STALE)


def test_without_a_cache_nothing_is_known(tmp_path: Path) -> None:
    with cached_identities(tmp_path / "cache.sqlite") as known:
        assert known(NUMBER, NOW) is None


def test_a_cache_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    path.write_bytes(b"no database" * 1000)

    with pytest.raises(OutsideError, match="--no-cache"), cached_identities(path):
        pass
