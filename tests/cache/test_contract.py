"""What every tier must do, for every tier that there is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from agi_lookup.cache.base import CacheTier
from agi_lookup.cache.memory import MemoryTier
from agi_lookup.domain.model import Facet
from tests.cache.conftest import OpenShared, OpenTier
from tests.cache.entries import NOW, NUMBER, identity, liveness
from tests.fakes import ABSENT, KNOWN

OTHER = "+447400123457"


@pytest.fixture(params=["memory", "sqlite", "valkey"])
async def tier(
    request: pytest.FixtureRequest, open_tier: OpenTier, open_shared: OpenShared
) -> AsyncIterator[CacheTier]:
    match request.param:
        case "memory":
            tier: CacheTier = MemoryTier(1000)
        case "sqlite":
            tier = await open_tier()
        case _:
            tier = await open_shared()
    yield tier
    await tier.close()


async def test_an_unknown_number_has_no_hits(tier: CacheTier) -> None:
    assert dict(await tier.get(NUMBER)) == {}


async def test_what_was_put_may_be_held(tier: CacheTier) -> None:
    tier.put([identity()])

    assert tier.may_hold(NUMBER)


async def test_what_was_put_is_got_at_once_and_equal(tier: CacheTier) -> None:
    tier.put([identity(), liveness()])

    assert dict(await tier.get(NUMBER)) == {Facet.IDENTITY: identity(), Facet.LIVENESS: liveness()}


async def test_facets_are_put_apart_and_kept_together(tier: CacheTier) -> None:
    tier.put([identity()])
    tier.put([liveness(body=ABSENT)])

    assert dict(await tier.get(NUMBER)) == {Facet.IDENTITY: identity(), Facet.LIVENESS: liveness(body=ABSENT)}


async def test_the_last_word_on_a_facet_counts(tier: CacheTier) -> None:
    newer = identity(observed_at=NOW + 5, body=replace(KNOWN, mnc="01"))
    tier.put([identity(), newer])
    assert (await tier.get(NUMBER))[Facet.IDENTITY] == newer

    tier.put([identity()])
    assert (await tier.get(NUMBER))[Facet.IDENTITY] == identity()


async def test_numbers_do_not_mix(tier: CacheTier) -> None:
    tier.put([identity(), identity(OTHER)])

    assert (await tier.get(OTHER))[Facet.IDENTITY].number == OTHER
    assert (await tier.get(NUMBER))[Facet.IDENTITY].number == NUMBER


async def test_zeros_in_front_of_network_codes_are_kept(tier: CacheTier) -> None:
    body = replace(KNOWN, mcc="001", mnc="01", orig_mnc="001")
    tier.put([identity(body=body)])

    assert (await tier.get(NUMBER))[Facet.IDENTITY].body == body


async def test_forget_erases_one_number_and_says_how_much(tier: CacheTier) -> None:
    tier.put([identity(), liveness(), identity(OTHER)])

    assert await tier.forget(NUMBER) == 2
    assert await tier.forget(NUMBER) == 0
    assert dict(await tier.get(NUMBER)) == {}
    assert len(await tier.get(OTHER)) == 1


async def test_stats_are_figures_by_name(tier: CacheTier) -> None:
    tier.put([identity()])

    assert all(isinstance(figure, int | str) for figure in (await tier.stats()).values())


async def test_closing_twice_is_harmless(tier: CacheTier) -> None:
    await tier.close()
    await tier.close()
