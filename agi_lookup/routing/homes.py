"""Which networks may serve the numbers of a country, as far as MCCs tell. Where nothing tells, any may.

An MCC's first digit is a region of the world; 9 is that of networks whose numbers are of no country (ITU-T E.212, annex A).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Final

import phonenumbers

_US: Final = frozenset({"US", "AS", "GU", "MP", "PR", "VI"})


class Homes:
    """`countries` says where networks are: by MCCMNC an ISO 3166-1 alpha-2 code, or empty in an MCC of several countries."""

    def __init__(self, countries: Mapping[str, str]) -> None:
        self._countries = countries

    @cached_property
    def _known(self) -> set[str]:
        return {mccmnc[:3] for mccmnc in self._countries}

    @cached_property
    def _by_plan(self) -> dict[str, set[str]]:
        """Worked out at first use: few configs weigh lookups."""
        found: dict[str, set[str]] = defaultdict(set)
        for mccmnc, country in self._countries.items():
            if country:
                found[plan(country)].add(mccmnc[:3])
        return found

    def may_serve(self, mccmnc: str, country: str | None) -> bool:
        """The numbers of that country (None: of none, or of nobody knows which)."""
        if country is None:
            return True
        if home := self._countries.get(mccmnc):
            return plan(home) == plan(country)
        mcc = mccmnc[:3]
        if mcc.startswith("9"):
            return False
        mccs = self._by_plan.get(plan(country))
        return mccs is None or mcc in mccs or (mcc not in self._known and any(mcc[0] == known[0] for known in mccs))


@lru_cache(maxsize=1024)
def plan(country: str) -> str:
    """Countries of one numbering plan use each other's networks, as Jersey does Britain's. North America's are kept apart."""
    if country in _US:
        return "US"
    code = phonenumbers.country_code_for_region(country)
    return country if code in (0, 1) else str(code)
