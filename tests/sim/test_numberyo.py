"""The simulated Numberyo, asked by the real provider over the real driver, and as any client would."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from agi_lookup.domain.model import LookupAnswer, Number
from agi_lookup.providers import numberyo
from agi_lookup.providers.base import NumberResult
from agi_lookup.sim import recordings
from agi_lookup.sim.bill import Account
from agi_lookup.sim.delivery import Faults
from agi_lookup.sim.numberyo import Limits
from agi_lookup.sim.scenarios import Scenario
from agi_lookup.sim.vendors import Simulator
from tests.providers.replay import NOW
from tests.providers.test_contract import check
from tests.sim import accounts
from tests.sim.accounts import account, simulated, told

PREFIX = "+4474001234"
ANY = f"{PREFIX}00"
LOST = f"{PREFIX}22"
"""The reply to this one's check is cut off."""
PATIENT_S = 20.0
"""Of it, with `patient`, 4 s are for the reply to a check, and 8 s for each step of the recovery."""


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost reply is not waited for long, and a step that finds it may meet a busy machine."""
    monkeypatch.setattr(numberyo, "REPLY_SHARE", 0.2)
    monkeypatch.setattr(numberyo, "RECOVERY_SHARE", 0.4)


async def ask(simulator: Simulator, number: str, **options: Any) -> NumberResult:
    """`now` is the real time: the simulator's checks are made now."""
    results = await accounts.ask(simulator, "numberyo", number, **{"now": time.time(), **options})
    return results[number]


async def send(
    simulator: Simulator, method: str, path: str, token: str = "sim-token", **options: Any
) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.request(method, f"{simulator.url}/numberyo/{path}", **options) as reply,
    ):
        return reply.status, await reply.json()


async def order(simulator: Simulator, number: str, kind: str = "HLR") -> tuple[int, Any]:
    return await send(simulator, "POST", "checks", json={"phone_number": number.removeprefix("+"), "type": kind})


def bill(simulator: Simulator) -> Account:
    return simulator.bill.accounts["numberyo"]


EXPECTED = {
    Scenario.REACHABLE: "yes ok no mobile",
    Scenario.PORTED: "yes ok yes mobile",
    Scenario.ABSENT: "no absent no mobile",
    Scenario.UNKNOWN_SUBSCRIBER: "no unknown_subscriber unknown unknown",
    Scenario.NO_TELESERVICE: "no absent no mobile",
    Scenario.NO_COVERAGE: "provider_failure",
    Scenario.INCONCLUSIVE: "unknown inconclusive unknown unknown",
    Scenario.PARTNER_FAILURE: "provider_failure",
    Scenario.NETWORK_ONLY: "unknown network_only no mobile",
    Scenario.LANDLINE: "unknown inconclusive unknown unknown",
    Scenario.VOIP: "unknown inconclusive unknown unknown",
    Scenario.TOLL_FREE: "unknown inconclusive unknown unknown",
    Scenario.ROAMING: "yes ok no mobile",
    Scenario.CALL_BARRED: "no absent no mobile",
    Scenario.INVALID: "rejected",
    Scenario.RATE_LIMITED: "rate_limited",
    Scenario.SLOW: "yes ok no mobile",
    Scenario.NEVER_ANSWERS: "yes ok no mobile",  # recovered
    Scenario.CUT_OFF: "yes ok no mobile",  # recovered
    Scenario.HTTP_500: "lost_reply",
    Scenario.HTTP_429: "rate_limited",
    Scenario.NULLS: "unknown inconclusive unknown unknown",
    Scenario.TYPES_FLIPPED: "yes ok no mobile",
    Scenario.UNKNOWN_KEYS: "yes ok no mobile",
    Scenario.OTHER_NUMBER: "bad_answer",
    Scenario.DUPLICATE: "yes ok no mobile",
}
UNPAID = {Scenario.INVALID, Scenario.RATE_LIMITED, Scenario.HTTP_500, Scenario.HTTP_429}


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("scenario", Scenario, ids=lambda scenario: scenario.name.lower())
async def test_the_last_two_digits_say_what_happens(scenario: Scenario) -> None:
    number = f"{PREFIX}{scenario:02}"
    async with simulated(faults=Faults(slow_s=0.05)) as simulator:
        result = await ask(simulator, number, timeout_s=PATIENT_S)
        assert told(result) == EXPECTED[scenario]
        assert bill(simulator).charged == (0 if scenario in UNPAID else 1)


async def test_what_was_recorded_is_served_on_request() -> None:
    """Every recording of one number, over real HTTP."""
    async with simulated(numberyo=Limits(recorded=True)) as simulator:
        for recording in recordings.load("numberyo").values():
            if recording.number:
                check(await ask(simulator, recording.number, now=NOW, **recording.options), recording.expect)


async def test_a_verification_names_a_carrier_and_nothing_that_is_live() -> None:
    async with simulated() as simulator:
        answer = await ask(simulator, ANY, check="Verify")
    assert isinstance(answer, LookupAnswer)
    assert answer.identity is not None
    assert (answer.method, answer.identity.orig_carrier, answer.liveness) == ("validate", "Example Mobile", None)
    assert (answer.cost, answer.currency) == (Decimal("1.00"), "credits")


async def test_results_may_be_older_than_their_check() -> None:
    async with simulated(numberyo=Limits(result_age_s=600)) as simulator:
        now = time.time()
        answer = await ask(simulator, ANY, now=now)
    assert isinstance(answer, LookupAnswer)
    assert now - 600 <= answer.observed_at < now - 540


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("lost", [f"{PREFIX}21", LOST], ids=["never answered", "cut off"])
async def test_a_lost_reply_is_found_and_not_paid_again(lost: str) -> None:
    """P5, P20: one check in the bill, one answer, and the reading is free."""
    async with simulated() as simulator:
        answer = await ask(simulator, lost, timeout_s=PATIENT_S)
        assert isinstance(answer, LookupAnswer)
        assert (answer.number, answer.cost, told(answer)) == (lost, None, "yes ok no mobile")
        summary = bill(simulator).summary()
        assert (summary["charged"], summary["numbers"], summary["requests"], summary["free"]) == ("1.00", 1, 3, 2)


@pytest.mark.parametrize(("lost", "word"), [(f"{PREFIX}21", "timeout"), (LOST, "lost_reply")])
async def test_without_recovery_a_lost_reply_stays_lost(lost: str, word: str) -> None:
    async with simulated() as simulator:
        assert told(await ask(simulator, lost, recover=False, timeout_s=2.0)) == word
        assert bill(simulator).summary()["requests"] == 1


async def test_a_lost_verification_is_found_too() -> None:
    async with simulated() as simulator:
        await order(simulator, ANY)
        answer = await ask(simulator, LOST, check="Verify")
        assert isinstance(answer, LookupAnswer)
        assert answer.method == "validate"
        assert bill(simulator).charged == 2


@pytest.mark.usefixtures("patient")
async def test_a_lost_reply_is_found_behind_newer_checks_of_others() -> None:
    async with simulated(faults=Faults(latency_ms=10)) as simulator:
        lost = asyncio.create_task(ask(simulator, f"{PREFIX}21", timeout_s=PATIENT_S))
        while bill(simulator).requests < 1:
            await asyncio.sleep(0.005)
        for number in range(30, 34):
            assert told(await ask(simulator, f"{PREFIX}{number}")) == "yes ok no mobile"
        answer = await lost
        assert isinstance(answer, LookupAnswer)
        assert answer.number == f"{PREFIX}21"
        assert bill(simulator).charged == 5


async def test_a_check_from_before_is_not_the_lost_one() -> None:
    """An old check of the same number is no news: what was asked now stays lost."""
    async with simulated() as simulator:
        await order(simulator, ANY)
        simulator.delivery.use(Faults(error_rate=1))
        assert told(await ask(simulator, ANY, now=time.time() + 3600)) == "lost_reply"
        assert bill(simulator).charged == 1


async def test_lost_replies_of_many_callers_at_once_are_never_mixed_up_nor_paid_twice() -> None:
    """P5, P8: whatever is found is the number's own. One digit decides the simulated network."""
    numbers = [f"+44740012{middle}22" for middle in range(30, 60)]
    async with simulated() as simulator, account(simulator, "numberyo", timeout_s=30) as (provider, driver):
        now = time.time()
        asked = (driver.run(provider.lookup([Number(number)], now), timeout_s=30.0) for number in numbers)
        results = await asyncio.gather(*asked, return_exceptions=True)
        charged = bill(simulator).charged
    assert charged == len(numbers)
    found = {}
    for number, result in zip(numbers, results, strict=True):
        if isinstance(result, dict):
            assert result.keys() == {number}
            found[number] = result[number].identity.carrier
    assert len(found) >= 4
    for number, carrier in found.items():
        assert carrier == ("Example Mobile" if number[-3] in "02468" else "Sample Telecom")


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_is_lost_is_paid_once_at_the_most(seed: int) -> None:
    """P5, P14: replies to checks, to lists and to results lost at random."""
    async with simulated(faults=Faults(drop_rate=0.5, error_rate=0.2, seed=seed)) as simulator:
        word = told(await ask(simulator, ANY))
        assert word in {"yes ok no mobile", "lost_reply"}
        assert bill(simulator).charged <= 1
        assert len([entry for entry in simulator.bill.journal if entry.numbers]) <= 1


@pytest.mark.parametrize(
    ("faults", "word", "charged"),
    [
        (Faults(error_rate=1), "lost_reply", 0),
        (Faults(drop_rate=1), "lost_reply", 1),
        (Faults(malformed=True), "bad_answer", 1),
        (Faults(hang=True), "timeout", 1),
        (Faults(drip_ms=500), "timeout", 1),
        (Faults(drip_ms=0.1), "yes ok no mobile", 1),
    ],
)
async def test_faults_strike_every_request(faults: Faults, word: str, charged: int) -> None:
    async with simulated(faults=faults) as simulator:
        assert told(await ask(simulator, ANY, timeout_s=2.0 if word == "timeout" else 15.0)) == word
        assert bill(simulator).charged == charged


async def test_the_list_is_paged_and_free() -> None:
    async with simulated() as simulator:
        for number in range(30, 43):
            assert (await order(simulator, f"{PREFIX}{number}"))[0] == 201
        status, first = await send(simulator, "GET", "checks")
        assert (status, first["pagination"]) == (200, {"current_page": 1, "total_pages": 2, "total": 13})
        assert [check["id"] for check in first["checks"]] == list(range(13, 3, -1))
        assert first["checks"][0].keys() == {"id", "type", "created_at"}
        _, second = await send(simulator, "GET", "checks?page=2")
        assert [check["id"] for check in second["checks"]] == [3, 2, 1]
        assert (await send(simulator, "GET", "checks?page=3"))[1]["checks"] == []
        _, results = await send(simulator, "GET", "checks/2/results")
        assert results["results"][0]["number_requested"] == f"{PREFIX[1:]}31"
        assert bill(simulator).charged == 13


async def test_refusals_are_told_in_the_vendors_words() -> None:
    """The statuses 401 and 429 and the validation are guesses; the others are documented."""
    async with simulated(numberyo=Limits(credit=Decimal("1.50"))) as simulator:
        assert await send(simulator, "GET", "checks", token="wrong") == (401, {"message": "Unauthenticated."})
        assert await send(simulator, "GET", "checks/7/results") == (
            404,
            {"message": "Check not found or access denied."},
        )
        assert await order(simulator, ANY, "SMS") == (400, {"message": "Unsupported check type."})
        for wrong in (b"", b"[]", b'{"phone_number": 44}'):
            status, body = await send(simulator, "POST", "checks", data=wrong)
            assert (status, body.keys()) == (422, {"message", "errors"})
        assert (await order(simulator, ANY))[0] == 201
        assert await order(simulator, ANY) == (
            422,
            {
                "status": False,
                "message": "Error creating check.",
                "error": "You don't have enough credits to perform this action (0.50 credits).",
            },
        )
        assert told(await ask(simulator, ANY)) == "out_of_credit"
        assert told(await ask(simulator, ANY, token="wrong")) == "auth"
        assert bill(simulator).charged == 1
        assert (await send(simulator, "DELETE", "checks"))[0] == 404


async def test_a_rate_may_be_imposed() -> None:
    """P13"""
    async with simulated(numberyo=Limits(max_per_minute=2)) as simulator:
        results = [await ask(simulator, ANY) for _ in range(3)]
        assert [told(result).split()[0] for result in results] == ["yes", "yes", "rate_limited"]
        assert results[-1].retry_after_s == 60  # type: ignore[union-attr]
        assert bill(simulator).charged == 2
