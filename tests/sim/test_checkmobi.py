"""The simulated CheckMobi, asked by the real provider over the real driver, and as any client would."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from agi_lookup.domain.model import LookupAnswer
from agi_lookup.providers.base import NumberResult
from agi_lookup.sim import recordings
from agi_lookup.sim.checkmobi import SECRET_KEY, Limits
from agi_lookup.sim.delivery import Faults
from agi_lookup.sim.scenarios import Scenario
from agi_lookup.sim.vendors import Simulator
from tests.providers.replay import NOW
from tests.providers.test_contract import check
from tests.sim.accounts import account, simulated, told
from tests.sim.accounts import ask as ask_vendor

PREFIX = "+4474001234"


async def ask(simulator: Simulator, *numbers: str, **changes: Any) -> dict[str, NumberResult]:
    return await ask_vendor(simulator, "checkmobi", *numbers, **changes)


EXPECTED = {
    Scenario.REACHABLE: "yes ok no mobile",
    Scenario.PORTED: "yes ok yes mobile",
    Scenario.ABSENT: "no absent no mobile",
    Scenario.UNKNOWN_SUBSCRIBER: "no invalid_number unknown mobile",
    Scenario.NO_TELESERVICE: "no no_teleservice no mobile",
    Scenario.NO_COVERAGE: "not_covered",
    Scenario.INCONCLUSIVE: "unknown inconclusive unknown mobile",
    Scenario.PARTNER_FAILURE: "provider_failure",
    Scenario.NETWORK_ONLY: "unknown inconclusive no mobile",
    Scenario.LANDLINE: "unknown not_applicable unknown landline",
    Scenario.VOIP: "unknown not_applicable unknown voip",
    Scenario.TOLL_FREE: "unknown not_applicable unknown toll_free",
    Scenario.ROAMING: "yes ok no mobile",
    Scenario.CALL_BARRED: "no absent no mobile",
    Scenario.INVALID: "no invalid_number unknown unknown",
    Scenario.RATE_LIMITED: "rate_limited",
    Scenario.SLOW: "yes ok no mobile",
    Scenario.NEVER_ANSWERS: "timeout",
    Scenario.CUT_OFF: "lost_reply",
    Scenario.HTTP_500: "lost_reply",
    Scenario.HTTP_429: "rate_limited",
    Scenario.NULLS: "unknown inconclusive unknown unknown",
    Scenario.TYPES_FLIPPED: "yes ok no mobile",
    Scenario.UNKNOWN_KEYS: "yes ok no mobile",
    Scenario.OTHER_NUMBER: "bad_answer",
    Scenario.DUPLICATE: "yes ok no mobile",
}
UNPAID = {
    Scenario.LANDLINE, Scenario.VOIP, Scenario.TOLL_FREE, Scenario.INVALID, Scenario.RATE_LIMITED, Scenario.HTTP_500,
    Scenario.HTTP_429,
}  # fmt: skip


@pytest.mark.parametrize("scenario", Scenario, ids=lambda scenario: scenario.name.lower())
async def test_the_last_two_digits_say_what_happens(scenario: Scenario) -> None:
    number = f"{PREFIX}{scenario:02}"
    async with simulated(faults=Faults(slow_s=0.05)) as simulator:
        results = await ask(simulator, number, timeout_s=2.0 if scenario is Scenario.NEVER_ANSWERS else 15.0)
        assert told(results[number]) == EXPECTED[scenario]
        booked = simulator.bill.accounts["checkmobi"]
        assert (booked.requests, booked.charged) == (1, Decimal(0 if scenario in UNPAID else "0.006"))


async def test_each_method_tells_what_it_can_and_costs_what_it_costs() -> None:
    number = f"{PREFIX}01"
    async with simulated() as simulator:
        found = {method: (await ask(simulator, number, method=method))[number] for method in ("hlr", "mnp", "verify")}
        shown = {
            method: (
                told(a).split()[2],
                a.identity.carrier,
                a.identity.orig_carrier,
                a.liveness is not None,
                str(a.cost),
            )
            for method, a in found.items()
            if isinstance(a, LookupAnswer) and a.identity is not None
        }
        assert shown == {
            "hlr": ("yes", "Example Mobile", "Sample Telecom", True, "0.006"),
            "mnp": ("unknown", "Example Mobile", None, False, "0.003"),
            "verify": ("unknown", None, "Sample Telecom", False, "0.0"),
        }
        assert simulator.bill.accounts["checkmobi"].charged == Decimal("0.009")


async def test_a_landline_is_paid_in_north_america_only() -> None:
    async with simulated() as simulator:
        results = await ask(simulator, "+12025550109")
        assert told(results["+12025550109"]) == "unknown inconclusive no landline"
        assert simulator.bill.accounts["checkmobi"].charged == Decimal("0.006")


async def test_the_calling_code_is_a_number_or_by_switch_a_text() -> None:
    for as_text, expected in ((False, 44), (True, "44")):
        async with simulated(checkmobi=Limits(prefix_as_text=as_text)) as simulator:
            assert told((await ask(simulator, f"{PREFIX}00"))[f"{PREFIX}00"]) == "yes ok no mobile"
            _, found = await get(simulator, f"lookup/hlr/{PREFIX[1:]}00")
            assert found["current_network"]["country_prefix"] == found["original_network"]["country_prefix"] == expected


async def get(simulator: Simulator, path: str, key: str = SECRET_KEY) -> tuple[int, Any]:
    return await request(simulator, "GET", path, key)


async def request(simulator: Simulator, verb: str, path: str, key: str = SECRET_KEY, **sent: Any) -> tuple[int, Any]:
    """Status and JSON of what any client gets."""
    url = f"{simulator.url}/checkmobi/v1/{path}"
    async with (
        aiohttp.ClientSession(headers={"Authorization": key}) as session,
        session.request(verb, url, **sent) as reply,
    ):
        text = await reply.text()
        return reply.status, json.loads(text) if reply.content_type == "application/json" else text


def refused(code: int, status: int = 400) -> tuple[int, int]:
    return status, code


async def test_errors_are_a_code_with_a_status() -> None:
    async with simulated(checkmobi=Limits(credit=Decimal("0.005"), max_numbers=2)) as simulator:
        batch = {"numbers": [f"{PREFIX}00"], "notification_callback": "http://127.0.0.1:9/"}

        async def code(verb: str, path: str, key: str = SECRET_KEY, **sent: Any) -> tuple[int, int]:
            status, found = await request(simulator, verb, path, key, **sent)
            assert found["error"]
            return status, found["code"]

        assert await code("GET", f"lookup/hlr/{PREFIX}00", "wrong") == refused(1, 401)
        assert await code("GET", f"lookup/hlr/{PREFIX}00", f"Bearer {SECRET_KEY}") == refused(1, 401)
        assert await code("GET", "lookup/hlr/hello") == refused(2)
        assert await code("GET", f"lookup/hlr/{PREFIX}00") == refused(5)
        assert await code("GET", f"lookup/sms/{PREFIX}00") == refused(17)
        assert await code("POST", "lookup/verify", json=batch) == refused(17)
        assert await code("POST", "lookup/hlr", data=json.dumps(batch)) == refused(7)
        assert await code("POST", "lookup/hlr", json=[]) == refused(7)
        assert await code("POST", "lookup/hlr", json={**batch, "numbers": []}) == refused(7)
        assert await code("POST", "lookup/hlr", json={**batch, "numbers": [f"{PREFIX}00"] * 3}) == refused(7)
        assert await code(
            "POST", "lookup/hlr", json={**batch, "notification_callback": "https://example.com/"}
        ) == refused(9)
        assert (await get(simulator, "nothing"))[0] == 404
        assert simulator.bill.accounts["checkmobi"].charged == 0


async def test_what_an_account_may_not_do_is_a_403_that_the_provider_reads_as_its_own_trouble() -> None:
    async with simulated(checkmobi=Limits(disabled=True)) as simulator:
        assert told((await ask(simulator, f"{PREFIX}00"))[f"{PREFIX}00"]) == "auth"
        status, found = await get(simulator, f"lookup/hlr/{PREFIX}00")
        assert (status, found["code"]) == (403, 11)


async def test_a_wrong_key_and_an_empty_account_are_told_apart() -> None:
    number = f"{PREFIX}00"
    async with simulated(checkmobi=Limits(credit=Decimal(0))) as simulator:
        assert told((await ask(simulator, number, secret_key="wrong"))[number]) == "auth"
        assert told((await ask(simulator, number))[number]) == "out_of_credit"


async def test_the_balance_follows_what_was_charged() -> None:
    async with simulated(checkmobi=Limits(credit=Decimal(1))) as simulator:
        await ask(simulator, f"{PREFIX}00")
        async with account(simulator, "checkmobi") as (provider, driver):
            held = await driver.run(provider.balance(NOW), timeout_s=5.0)
        assert (held.amount, held.currency) == (Decimal("0.994"), "USD")


async def test_what_was_recorded_is_served_on_request() -> None:
    """Every recording of one number, over real HTTP."""
    async with simulated(checkmobi=Limits(recorded=True)) as simulator:
        for recording in recordings.load("checkmobi").values():
            if recording.number and recording.is_lookup:
                results = await ask(simulator, recording.number, **recording.options)
                check(results[recording.number], recording.expect)


@pytest.mark.parametrize(
    ("faults", "word"),
    [(Faults(error_rate=1), "lost_reply"), (Faults(drop_rate=1), "lost_reply"), (Faults(malformed=True), "bad_answer")],
)
async def test_faults_strike_every_request(faults: Faults, word: str) -> None:
    async with simulated(faults=faults) as simulator:
        assert told((await ask(simulator, f"{PREFIX}00"))[f"{PREFIX}00"]) == word
