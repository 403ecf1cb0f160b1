"""Who a call is, by its environment: whose budget random dialling burns."""

from __future__ import annotations

import pytest

from agi_lookup.agi.request import parse_request
from agi_lookup.agi.wire import AgiParser, Environment
from tests.environments import lookup_environment


@pytest.mark.parametrize(
    ("channel", "account", "caller"),
    [
        ("PJSIP/alice-0000001c", "", "PJSIP/alice"),
        ("PJSIP/call-centre-7-0000001c", "", "PJSIP/call-centre-7"),
        ("PJSIP/alice-0000001c", "sales", "sales"),
        ("Local/447400123401@out-00000001;1", "", "Local/out"),
        ("Local/447400123402@out-00000002;2", "", "Local/out"),
        ("Local/4474@evil@out-00000002;2", "", "Local/out"),
    ],
)
def test_a_caller_cannot_become_another_one_by_what_it_dials(channel: str, account: str, caller: str) -> None:
    """B6"""
    parser = AgiParser()
    parser.receive_data(lookup_environment("447400123456"))
    environment = parser.next_event()
    assert isinstance(environment, Environment)
    environment.values["agi_channel"], environment.values["agi_accountcode"] = channel, account
    assert parse_request(environment, token="", profiles={"default"}).caller == caller
