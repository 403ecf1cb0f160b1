"""Where a call really goes: the network that serves the number, never a guess."""

from __future__ import annotations

from typing import Any

import pytest

from agi_lookup.domain.model import Identity, Number, Tri
from agi_lookup.routing.destination import CarrierGroups, destination, quality_key
from agi_lookup.routing.options import CarrierGroup
from agi_lookup.routing.rates import Destination

GROUPS = CarrierGroups(
    {
        "vodafone": CarrierGroup(mccmnc=frozenset({"23415"}), carriers=frozenset({"Vodafone UK"})),
        "big": CarrierGroup(mccmnc=frozenset({"23415", "23410"})),
    }
)
UK = Number("+447400123456", "GB")
US = Number("+12015550123", "US")


def to(identity: Identity | None, number: Number = UK) -> Destination:
    return destination(number, identity, GROUPS)


def test_a_ported_number_goes_by_its_current_network() -> None:
    found = to(Identity(mcc="234", mnc="15", orig_mcc="234", orig_mnc="10", ported=Tri.YES))

    assert (found.mccmnc, found.groups) == ("23415", frozenset({"vodafone", "big"}))


def test_a_number_that_was_not_ported_goes_by_the_network_that_issued_it() -> None:
    assert to(Identity(orig_mcc="234", orig_mnc="10", ported=Tri.NO)).mccmnc == "23410"


@pytest.mark.parametrize("ported", [Tri.UNKNOWN, Tri.YES])
def test_who_issued_a_number_says_nothing_where_it_may_have_moved(ported: Tri) -> None:
    found = to(Identity(orig_mcc="234", orig_mnc="10", orig_carrier="Vodafone UK", ported=ported))

    assert (found.mccmnc, found.groups) == (None, frozenset())


def test_zeros_of_mcc_and_mnc_are_kept() -> None:
    assert to(Identity(mcc="001", mnc="01")).mccmnc == "00101"


def test_a_country_code_alone_is_no_network() -> None:
    assert to(Identity(mcc="234")).mccmnc is None


def test_a_group_is_found_by_the_carriers_name_however_it_is_written() -> None:
    assert to(Identity(carrier="VODAFONE uk")).groups == {"vodafone"}


def test_without_an_identity_only_the_digits_are_known() -> None:
    assert to(None) == Destination("447400123456")


@pytest.mark.parametrize(
    ("lrn", "number", "expected"),
    [
        ("2015550000", US, "12015550000"),
        ("+12015550000", US, "12015550000"),
        ("1155500000", US, None),  # no area code begins with 1
        ("D01512345", US, None),
        ("2015550000", UK, None),  # a routing number of another plan
    ],
)
def test_a_routing_number_counts_in_north_america_and_as_decks_write_it(
    lrn: str, number: Number, expected: str | None
) -> None:
    assert to(Identity(lrn=lrn), number).lrn == expected


@pytest.mark.parametrize(
    ("known", "key"), [({"mccmnc": "23415"}, "23415"), ({}, "4474")], ids=["network", "leading digits"]
)
def test_quality_is_learned_under_the_network_where_it_is_known(known: dict[str, Any], key: str) -> None:
    assert quality_key(Destination("447400123456", **known)) == key
