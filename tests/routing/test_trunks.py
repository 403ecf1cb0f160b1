"""Whom a trunk takes and what `Dial()` is told."""

from __future__ import annotations

from typing import Any

import pytest

from agi_lookup.domain.model import Number
from agi_lookup.routing.rates import Destination
from agi_lookup.routing.trunks import ready
from tests.routing.routes import NOW, NUMBER, routing, trunk

UK = Number(NUMBER, "GB")
TO_UK = Destination(NUMBER[1:], mccmnc="23415", groups=frozenset({"vodafone"}))


def dialled(**options: Any) -> str:
    return trunk(**options).dial(UK, "07400 123456", TO_UK, looked_up=True)


@pytest.mark.parametrize(
    ("form", "expected"),
    [("e164", "447400123456"), ("plus", "+447400123456"), ("national", "07400123456")],
)
def test_a_number_is_written_as_the_trunk_wants_it(form: str, expected: str) -> None:
    assert dialled(number=form, countries={"GB"}) == f"PJSIP/{expected}@acme"


def test_a_number_that_no_plan_knows_is_passed_on_as_it_is() -> None:
    told = trunk(number="national", countries={"GB"}).dial(Number("+9991234567"), "", TO_UK, looked_up=True)

    assert told == "PJSIP/9991234567@acme"


def test_a_tech_prefix_goes_where_the_template_says() -> None:
    told = trunk(dial="PJSIP/acme/sip:{prefix}{number}@10.0.0.1:5060", tech_prefix="00991").dial(
        UK, "", TO_UK, looked_up=True
    )

    assert told == "PJSIP/acme/sip:00991447400123456@10.0.0.1:5060"


@pytest.mark.parametrize("said", ["07400123456", "+447400123456", "9011447400123456"])
def test_what_was_dialled_is_passed_on_where_a_trunk_wants_that(said: str) -> None:
    told = trunk(number="as_dialled").dial(UK, said, TO_UK, looked_up=True)

    assert told == f"PJSIP/{said}@acme"


@pytest.mark.parametrize(
    "said", ["", "07400@evil.example", "07400/evil", "1&PJSIP/2", "٤٤٧", "+", 40 * "1", "07400 123456"]
)
def test_what_was_dialled_never_names_another_host_or_channel(said: str) -> None:
    told = trunk(number="as_dialled").dial(UK, said, TO_UK, looked_up=True)

    assert told == "PJSIP/447400123456@acme"


US = Number("+12015550123", "US")
DIPPED = Destination(US.e164[1:], lrn="16465550000")
NOT_PORTED = Destination(US.e164[1:])


@pytest.mark.parametrize(
    ("lrn", "to", "looked_up", "told"),
    [
        ("rn", DIPPED, True, "16465550000"),
        ("npdi", DIPPED, True, "16465550000"),
        ("rn", NOT_PORTED, True, ""),
        ("npdi", NOT_PORTED, True, "npdi"),
        ("npdi", NOT_PORTED, False, ""),
    ],
)
def test_a_routing_number_goes_beside_the_number_to_a_trunk_that_asks(
    lrn: str, to: Destination, looked_up: bool, told: str
) -> None:
    said = trunk(dial="Local/{number}+{lrn}@us", lrn=lrn).dial(US, "", to, looked_up=looked_up)

    assert said == f"Local/12015550123+{told}@us"


def test_a_trunk_that_does_not_ask_never_sees_a_routing_number() -> None:
    assert trunk().dial(US, "", DIPPED, looked_up=True) == "PJSIP/12015550123@acme"


UNKNOWN = Destination(NUMBER[1:])


@pytest.mark.parametrize(
    ("options", "country", "to", "refusal"),
    [
        ({}, None, UNKNOWN, ""),
        ({"countries": ["GB"]}, "GB", UNKNOWN, ""),
        ({"countries": ["GB"]}, "FR", UNKNOWN, "denied_country"),
        ({"countries": ["GB"]}, None, UNKNOWN, "denied_country"),
        ({"except_countries": ["GB"]}, "GB", UNKNOWN, "denied_country"),
        ({"except_countries": ["GB"]}, None, UNKNOWN, ""),
        ({"carriers": ["23415"]}, "GB", TO_UK, ""),
        ({"carriers": ["vodafone"]}, "GB", TO_UK, ""),
        ({"carriers": ["23410"]}, "GB", TO_UK, "denied_carrier"),
        ({"carriers": ["23415"]}, "GB", UNKNOWN, "denied_carrier"),
        ({"except_carriers": ["vodafone"]}, "GB", TO_UK, "denied_carrier"),
        ({"except_carriers": ["23415"]}, "GB", UNKNOWN, ""),
        ({"countries": ["GB"], "except_carriers": ["23415"]}, "FR", TO_UK, "denied_country"),
        ({"windows": [{"hours": "07:00-08:00"}]}, "GB", TO_UK, "out_of_hours"),
        ({"windows": [{"hours": "08:00-09:00"}]}, "GB", TO_UK, ""),  # NOW is 08:00 UTC
    ],
)
def test_a_trunk_takes_whom_it_may(options: dict[str, Any], country: str | None, to: Destination, refusal: str) -> None:
    assert trunk(**options).refusal(country, to, NOW) == refusal


def test_equals_are_placed_by_priority_and_then_as_written() -> None:
    trunks = ready(routing({"C": {"priority": 1}, "B": {}, "A": {}}).trunks)

    assert [(trunk.name, trunk.place) for trunk in trunks] == [("B", 0), ("A", 1), ("C", 2)]
