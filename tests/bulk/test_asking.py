"""How many numbers at a time, and on whose account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agi_lookup import config as configuration
from agi_lookup.bulk.asking import at_a_time
from tests.processes import make_site


def config_of(folder: Path, sources: list[str] | None = None, **options: Any) -> configuration.Config:
    site = make_site(folder, provider="http://127.0.0.1:9", sources=sources)
    npl = site.data["providers"]["npl"]
    site.data["providers"] = {"npl": npl | options, "other": npl}
    site.write()
    return configuration.read(site.config)


@pytest.mark.parametrize(
    ("options", "alone", "served"),
    [
        ({}, (4 + 1) * 10, 32),
        ({"max_concurrency": 1, "max_batch": 1}, 2, 2),
        ({"max_concurrency": 20, "max_batch": 80}, 1000, 32),
    ],
)
def test_as_many_as_fill_the_batches_and_no_more_than_a_server_has_connections_for(
    tmp_path: Path, options: dict[str, int], alone: int, served: int
) -> None:
    config = config_of(tmp_path, ["npl"], **options)

    assert at_a_time(config, "default", None, served=False) == alone
    assert at_a_time(config, "default", None, served=True) == served


def test_what_is_wanted_counts_as_far_as_a_server_has_connections_for_it(tmp_path: Path) -> None:
    """What waits for a connection runs out of time, and would look as if the server had gone."""
    config = config_of(tmp_path)

    assert [at_a_time(config, "default", wanted, served=True) for wanted in (1, 20, 5000)] == [1, 20, 32]
    assert [at_a_time(config, "default", wanted, served=False) for wanted in (1, 20, 5000)] == [1, 20, 5000]


def test_all_sources_of_a_profile_count(tmp_path: Path) -> None:
    assert at_a_time(config_of(tmp_path), "default", None, served=False) == 100


def test_without_providers_it_goes_on_all_the_same(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    config = configuration.read(site.config)

    assert at_a_time(config, "default", None, served=False) == 8
    assert at_a_time(config, "default", None, served=True) == 8
