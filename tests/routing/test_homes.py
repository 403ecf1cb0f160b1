"""Which networks may serve the numbers of a country."""

from __future__ import annotations

import pytest

from agi_lookup.routing.homes import Homes

HOMES = Homes(
    {
        "20801": "FR",
        "23415": "GB",
        "23450": "",
        "26201": "DE",
        "310410": "US",
        "310999": "",
        "302720": "CA",
        "330110": "PR",
        "338050": "JM",
        "70001": "YY",
        "34020": "",
        "90128": "",
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("mccmnc", "country", "may"),
    [
        ("23415", "GB", True),
        ("23415", "FR", False),
        ("23415", "JE", True),  # also +44
        ("23450", "GB", True),
        ("23450", "FR", False),
        ("23499", "GB", True),
        ("23499", "FR", False),
        ("34020", "MQ", True),  # nobody knows which are Martinique's: any that has no country
        ("34020", "GB", False),
        ("23415", "MQ", False),
        ("29999", "GB", True),  # nobody knows the MCC: any country of the region
        ("29999", "CA", False),
        ("29999", "MQ", True),
        ("90128", "GB", False),  # of no country
        ("90199", "MQ", False),
        ("90128", None, True),
        ("23415", None, True),
        ("310410", "PR", True),
        ("330110", "US", True),
        ("310410", "CA", False),
        ("302720", "US", False),
        ("338050", "CA", False),
        ("70001", "YY", True),
        ("70001", "XX", False),
        ("310999", "CA", False),
        ("23415", "XX", False),
        ("34020", "XX", True),
    ],
)
def test_a_network_may_serve_the_numbers_of_a_country(mccmnc: str, country: str | None, may: bool) -> None:
    assert HOMES.may_serve(mccmnc, country) is may
