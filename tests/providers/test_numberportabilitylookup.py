"""What no recording can say of Number Portability Lookup."""

from __future__ import annotations

import pytest

from agi_lookup.domain.model import LookupAnswer, NumberType, Tri
from tests.providers.replay import json_reply, make, outcomes

NUMBER = "+447700900150"


def ask(**record: object) -> LookupAnswer:
    replies = [json_reply([{"msisdn": NUMBER[1:], "errorcode": "0", **record}])]
    answer = outcomes(make("numberportabilitylookup"), [NUMBER], replies)[NUMBER]
    assert isinstance(answer, LookupAnswer)
    assert answer.identity is not None
    return answer


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"ported": "false"}, Tri.UNKNOWN),
        ({"ported": "false", "operatorname": "Example"}, Tri.NO),
        ({"ported": "false", "mcc": "234", "mnc": "15"}, Tri.NO),
        ({"ported": "true"}, Tri.YES),
    ],
)
def test_not_ported_needs_a_network_that_was_found(record: dict[str, object], expected: Tri) -> None:
    identity = ask(**record).identity
    assert identity is not None
    assert identity.ported is expected


def test_an_imsi_goes_nowhere() -> None:
    """S16"""
    assert "23415098765432" not in repr(ask(imsi="234150987654321", mcc="234", mnc="15").identity)


def test_a_negative_cost_is_no_cost_but_a_balance_may_be_negative() -> None:
    answer = ask(transactioncost="-1.00", userbalance="-3.20")
    assert answer.cost is None
    assert answer.currency is None
    assert str(answer.balance_after) == "-3.20"


@pytest.mark.parametrize("iso", ["GBR", "G1", "44", "", None, 44])
def test_only_an_alpha_2_code_is_a_country(iso: object) -> None:
    identity = ask(countryiso=iso).identity
    assert identity is not None
    assert identity.country is None


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"mobile": "true", "landline": "false"}, NumberType.MOBILE),
        ({"mobile": "false", "landline": "true"}, NumberType.LANDLINE),
        ({"mobile": "true", "landline": "true"}, NumberType.MOBILE_OR_LANDLINE),
        ({"mobile": "false", "landline": "false"}, NumberType.UNKNOWN),
        ({"numbertype": "Rboc", "mobile": "true"}, NumberType.LANDLINE),
        ({"numbertype": "Satellite", "mobile": "true"}, NumberType.MOBILE),
    ],
)
def test_the_flags_stand_in_for_a_type_that_is_not_listed(record: dict[str, object], expected: NumberType) -> None:
    identity = ask(**record).identity
    assert identity is not None
    assert identity.type is expected
