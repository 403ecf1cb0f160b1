"""Where a call really goes: from a number and what is known about it to what decks and trunks are matched against."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from agi_lookup.domain.model import Identity, Number, Tri
from agi_lookup.routing.options import CarrierGroup
from agi_lookup.routing.rates import Destination

LEADING_DIGITS: Final = 4
"""Country and kind of number, mostly: what stands for a network that is not known."""
_NANP_LRN: Final = re.compile(r"1?([2-9][0-9]{9})")
_NOBODY: Final = Identity()


class CarrierGroups:
    """The config's carrier groups, turned round: which ones a network is in."""

    def __init__(self, groups: Mapping[str, CarrierGroup]) -> None:
        self._by_mccmnc: dict[str, frozenset[str]] = {}
        self._by_carrier: dict[str, frozenset[str]] = {}
        for name, group in groups.items():
            for mccmnc in group.mccmnc:
                self._by_mccmnc[mccmnc] = self._by_mccmnc.get(mccmnc, frozenset()) | {name}
            for carrier in map(str.casefold, group.carriers):
                self._by_carrier[carrier] = self._by_carrier.get(carrier, frozenset()) | {name}

    def of(self, mccmnc: str | None, carrier: str | None) -> frozenset[str]:
        by_code = self._by_mccmnc.get(mccmnc, frozenset()) if mccmnc else frozenset()
        by_name = self._by_carrier.get(carrier.casefold(), frozenset()) if carrier and self._by_carrier else frozenset()
        return by_code | by_name if by_name else by_code


def destination(number: Number, identity: Identity | None, groups: CarrierGroups) -> Destination:
    """The network is the one that serves the number now; the one that issued it counts only where it was not ported."""
    known = identity or _NOBODY
    mcc, mnc, carrier = known.mcc, known.mnc, known.carrier
    if known.ported is Tri.NO and not (mcc or carrier):
        mcc, mnc, carrier = known.orig_mcc, known.orig_mnc, known.orig_carrier
    mccmnc = mcc + mnc if mcc and mnc else None
    return Destination(
        digits=number.e164[1:],
        mccmnc=mccmnc,
        groups=groups.of(mccmnc, carrier),
        ocn=known.ocn,
        lrn=_lrn(known.lrn) if known.lrn and number.e164.startswith("+1") else None,
    )


def _lrn(lrn: str) -> str | None:
    """With the 1 in front, as decks write it; None for what is no North American one."""
    match = _NANP_LRN.fullmatch(lrn.removeprefix("+"))
    return "1" + match[1] if match else None


def quality_key(to: Destination) -> str:
    """Under what the quality of a trunk is learned: the network, else the leading digits."""
    return to.mccmnc or to.digits[:LEADING_DIGITS]
