"""The simulated HLR Lookup, asked by the real provider over the real driver, and as any client would."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from agi_lookup.domain.errors import ProviderAuthError
from agi_lookup.domain.model import Liveness, LookupAnswer, Number
from agi_lookup.lookup.freshness import Lifetimes, current
from agi_lookup.providers.base import NumberResult
from agi_lookup.sim import recordings
from agi_lookup.sim.delivery import Faults
from agi_lookup.sim.hlrlookup import NAME, Limits
from agi_lookup.sim.scenarios import Scenario
from agi_lookup.sim.vendors import Simulator, limits_of
from tests.providers.replay import NOW
from tests.providers.test_contract import check
from tests.sim import accounts
from tests.sim.accounts import hold, simulated, told

PREFIX = "+4474001234"
REACHABLE = f"{PREFIX}00"
PORTED = f"{PREFIX}01"
CREDENTIALS = {"api_key": "sim-key", "api_secret": "sim-secret"}


async def ask(simulator: Simulator, *numbers: str, **options: Any) -> dict[str, NumberResult]:
    return await accounts.ask(simulator, NAME, *numbers, **options)


async def answered(simulator: Simulator, number: str, **options: Any) -> LookupAnswer:
    answer = (await ask(simulator, number, **options))[number]
    assert isinstance(answer, LookupAnswer)
    return answer


async def post(simulator: Simulator, path: str = "hlr", *, form: bool = False, **body: Any) -> tuple[int, Any]:
    """Status and JSON, or text where there is none."""
    sent: dict[str, Any] = {"data" if form else "json": {**CREDENTIALS, **body}}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{simulator.url}/hlrlookup/apiv2/{path}", **sent) as reply,
    ):
        if reply.content_type != "application/json":
            return reply.status, await reply.text()
        return reply.status, await reply.json()


def spent(simulator: Simulator) -> Decimal:
    return simulator.bill.accounts[NAME].charged


EXPECTED = {
    Scenario.REACHABLE: "yes ok no mobile",
    Scenario.PORTED: "yes ok yes mobile",
    Scenario.ABSENT: "no absent no mobile",
    Scenario.UNKNOWN_SUBSCRIBER: "no unknown_subscriber unknown mobile",
    Scenario.NO_TELESERVICE: "no no_teleservice no mobile",
    Scenario.NO_COVERAGE: "not_covered",
    Scenario.INCONCLUSIVE: "unknown inconclusive unknown mobile",
    Scenario.PARTNER_FAILURE: "provider_failure",
    Scenario.NETWORK_ONLY: "unknown network_only no mobile",
    Scenario.LANDLINE: "unknown not_applicable unknown landline",
    Scenario.VOIP: "unknown network_only no voip",
    Scenario.TOLL_FREE: "unknown not_applicable unknown toll_free",
    Scenario.ROAMING: "yes ok no mobile",
    Scenario.CALL_BARRED: "unknown inconclusive no mobile",
    Scenario.INVALID: "unknown invalid_number unknown unknown",
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
    Scenario.NO_COVERAGE,
    Scenario.PARTNER_FAILURE,
    Scenario.LANDLINE,
    Scenario.TOLL_FREE,
    Scenario.CALL_BARRED,
    Scenario.INVALID,
    Scenario.RATE_LIMITED,
    Scenario.HTTP_500,
    Scenario.HTTP_429,
}


@pytest.mark.parametrize("scenario", Scenario, ids=lambda scenario: scenario.name.lower())
async def test_the_last_two_digits_say_what_happens(scenario: Scenario) -> None:
    number = f"{PREFIX}{scenario:02}"
    async with simulated(faults=Faults(slow_s=0.05)) as simulator:
        results = await ask(simulator, number, timeout_s=2.0 if scenario is Scenario.NEVER_ANSWERS else 15.0)
        assert told(results[number]) == EXPECTED[scenario]
        assert spent(simulator) == (0 if scenario in UNPAID else 1)
        assert simulator.bill.accounts[NAME].requests == 1


async def test_what_was_recorded_is_served_on_request() -> None:
    """Every recording of one number, over real HTTP."""
    async with simulated(hlrlookup=Limits(recorded=True)) as simulator:
        for recording in recordings.load(NAME).values():
            if recording.number:
                results = await ask(simulator, recording.number, **recording.options)
                check(results[recording.number], recording.expect)


async def test_a_batch_is_answered_number_by_number_and_paid_by_what_was_found() -> None:
    numbers = [f"{PREFIX}{ending:02}" for ending in (0, 3, 5, 7, 15, 28, 29, 1)]
    async with simulated() as simulator:
        results = await ask(simulator, *numbers)
        assert [told(results[n]).split()[0] for n in numbers] == [
            "yes", "no", "not_covered", "provider_failure", "rate_limited", "bad_answer", "yes", "yes",
        ]  # fmt: skip
        assert simulator.bill.summary()[NAME]["requests"] == 1
        assert spent(simulator) == 5


async def test_eighty_numbers_are_a_request_and_eighty_one_are_none() -> None:
    numbers = [f"447400{n:04}40" for n in range(81)]
    async with simulated() as simulator:
        results = await ask(simulator, *(f"+{number}" for number in numbers[:80]))
        assert {told(result) for result in results.values()} == {"yes ok no mobile"}
        items = [{"telephone_number": number} for number in numbers]
        assert await post(simulator, requests=items) == (400, {"error": "BAD_REQUEST"})
        assert await post(simulator) == (400, {"error": "BAD_REQUEST"})
        nothing: tuple[object, ...] = ([], "x", [{}], [5])
        for senseless in nothing:
            assert await post(simulator, requests=senseless) == (400, {"error": "BAD_REQUEST"})
        assert spent(simulator) == 80


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_wrong_key_is_refused_by_its_word(status: int, wrapped: bool) -> None:
    async with simulated(hlrlookup=Limits(unauthorized_status=status, wrapped=wrapped)) as simulator:
        said, body = await post(simulator, requests=[{"telephone_number": "447400123400"}], api_secret="wrong")
        assert said == status
        assert (body["body"] if wrapped else body)["error"] == "UNAUTHORIZED"
        assert told((await ask(simulator, REACHABLE, api_key="wrong"))[REACHABLE]) == "auth"
        async with accounts.account(simulator, NAME, api_key="wrong") as (provider, driver):
            with pytest.raises(ProviderAuthError):
                await driver.run(provider.balance(NOW), timeout_s=5.0)
        assert spent(simulator) == 0


async def test_the_wrapper_of_the_pages_changes_nothing() -> None:
    async with simulated(hlrlookup=Limits(wrapped=True)) as simulator:
        assert told((await ask(simulator, PORTED))[PORTED]) == "yes ok yes mobile"


async def test_the_balance_is_what_was_not_spent() -> None:
    async with simulated(hlrlookup=Limits(credit=Decimal("2.5"))) as simulator:
        await ask(simulator, REACHABLE)
        async with accounts.account(simulator, NAME) as (provider, driver):
            balance = await driver.run(provider.balance(NOW), timeout_s=5.0)
        assert (balance.amount, balance.currency) == (Decimal("1.5"), "credits")
        assert await post(simulator, "balance") == (200, {"Status": "OK", "Credits": 1.5})


async def test_credit_ends_in_the_middle_of_a_batch() -> None:
    numbers = [f"{PREFIX}{ending}" for ending in (40, 41, 42)]
    async with simulated(hlrlookup=Limits(credit=Decimal("2.5"))) as simulator:
        results = await ask(simulator, *numbers)
        assert [told(results[n]) for n in numbers] == ["yes ok no mobile", "yes ok no mobile", "out_of_credit"]
        assert spent(simulator) == 2


@pytest.mark.parametrize(("method", "carrier"), [("mnp", "Sample Telecom"), ("validate", None)])
async def test_the_cheaper_methods_tell_nothing_of_liveness(method: str, carrier: str | None) -> None:
    number = f"{PREFIX[:-1]}501"
    async with simulated() as simulator:
        answer = await answered(simulator, number, method=method)
        assert (answer.method, answer.liveness, answer.cost) == (method, None, Decimal("0.5"))
        assert answer.identity is not None
        assert answer.identity.carrier == carrier
        assert answer.identity.ported == ("yes" if method == "mnp" else "unknown")
        assert told((await ask(simulator, f"{PREFIX}05", method=method))[f"{PREFIX}05"]) == "not_covered"
        assert spent(simulator) == Decimal("0.5")


async def test_a_ported_date_costs_a_credit_where_there_is_one() -> None:
    async with simulated() as simulator:
        answer = await answered(simulator, PORTED, get_ported_date=True)
        assert answer.identity is not None
        assert (answer.identity.ported_date, answer.cost) == ("2024-03-18T00:00:00Z", Decimal(2))
        assert (await answered(simulator, REACHABLE, get_ported_date=True)).cost == 1
        assert spent(simulator) == 3


async def test_a_landline_is_free_until_it_is_asked_for() -> None:
    landline = f"{PREFIX}09"
    async with simulated() as simulator:
        assert told((await ask(simulator, landline))[landline]) == "unknown not_applicable unknown landline"
        assert spent(simulator) == 0
        answer = await answered(simulator, landline, get_landline_status=True)
        assert told(answer) == "yes ok no landline"
        assert spent(simulator) == 1


async def test_the_status_of_a_us_mobile_costs_a_credit_more() -> None:
    mobile, voip = "+12025550103", "+12025550110"
    async with simulated() as simulator:
        assert told((await ask(simulator, mobile))[mobile]) == "unknown network_only unknown mobile"
        assert told((await ask(simulator, mobile, usa_status=True))[mobile]).startswith("no unknown_subscriber")
        assert told((await ask(simulator, voip, usa_status=True))[voip]) == "unknown network_only no voip"
        assert spent(simulator) == 1 + 2 + 1


async def test_the_vendors_cache_is_free_for_ones_own_and_half_for_shared_results() -> None:
    async with simulated() as simulator:
        costs = [
            (await answered(simulator, REACHABLE, **options)).cost
            for options in (
                {"cache_days_private": 1, "cache_days_global": 1},  # nothing is kept unless that is asked for
                {"cache_days_private": 1, "cache_days_global": 1, "save_to_cache": "PRIVATE"},
                {"cache_days_global": 1},
                {"cache_days_private": 1},
                {"save_to_cache": "YES"},
                {"cache_days_global": 1},
                {"cache_days_global": 1, "cache_days_private": 1},
            )
        ]
        assert costs == [1, 1, 1, 0, 1, Decimal("0.5"), 0]
        assert spent(simulator) == Decimal("4.5")


async def test_a_cached_answer_keeps_the_time_when_it_was_observed() -> None:
    """Its age is counted from there, so that an old liveness blocks nobody."""
    async with simulated() as simulator:
        first = await answered(simulator, REACHABLE, save_to_cache="PRIVATE")
        second = await answered(simulator, REACHABLE, cache_days_private=30)
        assert second.observed_at == first.observed_at
        later = current(second, Lifetimes(), first.observed_at + 86_400)
        assert later.liveness == Liveness()


async def test_the_testing_suite_is_free_and_answers_for_the_nearest_number() -> None:
    """P8: what it says of another number is nobody's answer."""
    known = "+447700900101"
    async with simulated(hlrlookup=Limits(testing=True)) as simulator:
        results = await ask(simulator, known, "+447700900177", REACHABLE)
        assert told(results[known]) == "yes ok yes mobile"
        assert {told(results[n]) for n in ("+447700900177", REACHABLE)} == {"bad_answer"}
        assert spent(simulator) == 0


async def test_afghanistan_is_slow_or_throttled() -> None:
    """P13: each 429 is free, and speaks of that network only."""
    number = "+93701234500"
    async with simulated(faults=Faults(slow_s=0.01)) as simulator:
        said = [told((await ask(simulator, number))[number]) for _ in range(20)]
        assert set(said) == {"rate_limited", "yes ok no mobile"}
        assert spent(simulator) == said.count("yes ok no mobile")
        assert told((await ask(simulator, REACHABLE))[REACHABLE]) == "yes ok no mobile"


async def test_too_many_a_second_meet_a_429_now_and_then() -> None:
    limits = Limits(max_per_second=2)
    async with simulated(hlrlookup=limits) as simulator, accounts.account(simulator, NAME) as (provider, driver):
        asked = (driver.run(provider.lookup([Number(f"{PREFIX}{n}")], NOW), timeout_s=5.0) for n in range(30, 80))
        results = await asyncio.gather(*asked, return_exceptions=True)
        served = sum(isinstance(result, dict) for result in results)
        assert 2 <= served < 50
        assert {str(result) for result in results if not isinstance(result, dict)} == {"HTTP 429"}
        assert spent(simulator) == served


async def test_more_connections_than_allowed_are_refused_and_unpaid(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = hold(monkeypatch, 2)
    async with simulated(hlrlookup=Limits(max_connections=2)) as simulator:
        held = [asyncio.create_task(ask(simulator, PORTED, timeout_s=60)) for _ in range(2)]
        while simulator.bill.accounts[NAME].requests < 2:
            await asyncio.sleep(0.01)
        assert told((await ask(simulator, REACHABLE))[REACHABLE]) == "rate_limited"
        go_on.set()
        assert {told(result[PORTED]) for result in await asyncio.gather(*held)} == {"yes ok yes mobile"}
        assert spent(simulator) == 2
        assert told((await ask(simulator, REACHABLE))[REACHABLE]) == "yes ok no mobile"


@pytest.mark.parametrize(
    ("faults", "word", "charged"),
    [
        (Faults(error_rate=1), "lost_reply", 0),
        (Faults(drop_rate=1), "lost_reply", 1),
        (Faults(malformed=True), "bad_answer", 1),
        (Faults(hang=True), "timeout", 1),
        (Faults(drip_ms=500), "timeout", 1),
        (Faults(latency_ms=5), "yes ok no mobile", 1),
    ],
    ids=str,
)
async def test_faults_strike_every_request(faults: Faults, word: str, charged: int) -> None:
    async with simulated(faults=faults) as simulator:
        timeout_s = 2.0 if word == "timeout" else 15.0
        assert told((await ask(simulator, REACHABLE, timeout_s=timeout_s))[REACHABLE]) == word
        assert spent(simulator) == charged


async def test_a_form_may_ask_for_one_number_as_it_is_written_by_hand() -> None:
    async with simulated() as simulator:
        status, body = await post(simulator, form=True, telephone_number="+44(7400) 12 34 00")
        assert (status, len(body["results"])) == (200, 1)
        assert body["results"][0]["detected_telephone_number"] == "447400123400"
        assert body["results"][0]["request_parameters"]["telephone_number"] == "+44(7400) 12 34 00"
        assert (await post(simulator, "ping"))[0] == 404


async def test_the_journal_holds_numbers_and_what_became_of_them() -> None:
    async with simulated() as simulator:
        await ask(simulator, REACHABLE)
        await ask(simulator, f"{PREFIX}24")
        assert [entry.as_json() for entry in simulator.bill.journal] == [
            {"vendor": "hlrlookup", "numbers": [REACHABLE[1:]], "result": "answered", "charged": "1"},
            {"vendor": "hlrlookup", "numbers": [f"{PREFIX[1:]}24"], "result": "HTTP 429", "charged": "0"},
        ]


def test_the_limits_can_be_given_on_the_command_line() -> None:
    given = limits_of(["hlrlookup.wrapped=true", "hlrlookup.unauthorized_status=401", "hlrlookup.credit=2.5"])
    assert given == {"hlrlookup": Limits(wrapped=True, unauthorized_status=401, credit=Decimal("2.5"))}
