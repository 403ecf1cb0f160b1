"""The simulated Number Portability Lookup, asked by the real provider over the real driver, and as any client would."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec
import pytest
import yaml

from agi_lookup.domain.errors import ProviderAuthError
from agi_lookup.domain.model import LookupAnswer, Number
from agi_lookup.lookup.gates import Gates
from agi_lookup.lookup.line import Line
from agi_lookup.lookup.link import Link
from agi_lookup.providers import loading
from agi_lookup.providers.base import Balance, NumberResult
from agi_lookup.providers.http import HttpDriver
from agi_lookup.sim import recordings
from agi_lookup.sim.delivery import Faults
from agi_lookup.sim.npl import Limits
from agi_lookup.sim.scenarios import Scenario
from agi_lookup.sim.vendors import Simulator
from tests.providers.replay import NOW
from tests.providers.test_contract import check
from tests.sim import accounts
from tests.sim.accounts import hold, simulated, told

PREFIX = "+4474001234"
CREDENTIALS = {"user": "sim-user", "pass": "sim-pass"}


def account(simulator: Simulator, **changes: Any) -> AbstractAsyncContextManager[tuple[Any, HttpDriver]]:
    return accounts.account(simulator, "npl", **changes)


async def ask(simulator: Simulator, *numbers: str, **options: Any) -> dict[str, NumberResult]:
    return await accounts.ask(simulator, "npl", *numbers, **options)


async def post(simulator: Simulator, **form: str) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{simulator.url}/npl", data={**CREDENTIALS, **form}) as reply,
    ):
        assert reply.status == 200
        return await reply.text()


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
    Scenario.LANDLINE: "unknown not_applicable no landline",
    Scenario.VOIP: "unknown network_only no voip",
    Scenario.TOLL_FREE: "unknown network_only no toll_free",
    Scenario.ROAMING: "yes ok no mobile",
    Scenario.CALL_BARRED: "no call_barred no mobile",
    Scenario.INVALID: "provider_failure",
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
UNPAID = {Scenario.RATE_LIMITED, Scenario.HTTP_500, Scenario.HTTP_429}


@pytest.mark.parametrize("scenario", Scenario, ids=lambda scenario: scenario.name.lower())
async def test_the_last_two_digits_say_what_happens(scenario: Scenario) -> None:
    number = f"{PREFIX}{scenario:02}"
    async with simulated(faults=Faults(slow_s=0.05)) as simulator:
        results = await ask(simulator, number, timeout_s=2.0 if scenario is Scenario.NEVER_ANSWERS else 15.0)
        assert told(results[number]) == EXPECTED[scenario]
        assert simulator.bill.accounts["npl"].charged == (0 if scenario in UNPAID else 1)
        assert simulator.bill.accounts["npl"].requests == 1


async def test_roaming_shows_when_the_msc_is_asked_for_and_costs_more() -> None:
    async with simulated() as simulator:
        answers = await ask(simulator, "+33639980012", "+33639980000", msc=True)
        roaming = [a.liveness.roaming for a in answers.values() if isinstance(a, LookupAnswer) and a.liveness]
        assert roaming == ["yes", "no"]
        assert simulator.bill.accounts["npl"].charged == Decimal("2.40")
        assert {a.cost for a in answers.values() if isinstance(a, LookupAnswer)} == {Decimal("1.20")}


async def test_north_america_has_a_carrier_and_no_liveness() -> None:
    async with simulated() as simulator:
        results = await ask(simulator, "+12025550103")
    answer = results["+12025550103"]
    assert told(answer) == "unknown network_only no mobile"
    assert isinstance(answer, LookupAnswer)
    assert answer.identity is not None
    assert (answer.identity.ocn, answer.identity.carrier) == ("6529", "Example Wireless")


async def test_what_was_recorded_is_served_on_request() -> None:
    """Every recording of one number, over real HTTP."""
    async with simulated(npl=Limits(recorded=True)) as simulator:
        for recording in recordings.load("numberportabilitylookup").values():
            if recording.number:
                results = await ask(simulator, recording.number, **recording.options)
                check(results[recording.number], recording.expect)


async def test_a_batch_is_answered_number_by_number() -> None:
    numbers = [f"{PREFIX}{ending:02}" for ending in (0, 7, 28, 1, 29, 30, 31, 2)]
    async with simulated() as simulator:
        results = await ask(simulator, *numbers)
        assert [told(results[n]).split()[0] for n in numbers] == [
            "yes", "provider_failure", "bad_answer", "yes", "yes", "yes", "yes", "no",
        ]  # fmt: skip
        assert simulator.bill.summary()["npl"]["numbers"] == 8
        last = results[numbers[-1]]
        assert isinstance(last, LookupAnswer)
        assert last.balance_after == simulator.bill.accounts["npl"].balance


async def test_a_batch_above_the_limit_goes_again_in_tens_and_is_paid_once() -> None:
    numbers = [f"{PREFIX}{ending}" for ending in range(30, 55)]
    async with simulated(npl=Limits(max_numbers=10)) as simulator:
        results = await ask(simulator, *numbers, max_batch=100)
        assert {told(result) for result in results.values()} == {"yes ok no mobile"}
        assert len(results) == 25
        assert simulator.bill.summary()["npl"] == {
            "requests": 4, "free": 1, "numbers": 25, "charged": "25.00", "currency": "credits", "balance": "999975.00",
        }  # fmt: skip


async def test_errors_of_the_request_are_plain_text() -> None:
    async with simulated(npl=Limits(credit=Decimal("1.50"), max_numbers=10)) as simulator:
        one, two, eleven = ("447400123400", "447400123400,447400123401", ",".join(["447400123400"] * 11))
        assert await post(simulator, msisdn=one, **{"pass": "wrong"}) == "FAIL Invalid password"
        assert await post(simulator, format="json") == "No numbers specified"
        assert await post(simulator, msisdn=eleven) == "Request too long"
        assert await post(simulator, msisdn=two, format="json") == "FAIL Insufficient credit"
        assert await post(simulator, query="balance") == "1.50"
        assert simulator.bill.accounts["npl"].charged == 0
        assert (await post(simulator, msisdn=one, format="json")).startswith('[{"msisdn": "447400123400"')
        assert await post(simulator, query="balance") == "0.50"


async def test_the_balance_is_asked_for_nothing() -> None:
    async with simulated(npl=Limits(credit=Decimal("812.40"))) as simulator:
        async with account(simulator) as (provider, driver):
            await driver.run(provider.lookup([Number(f"{PREFIX}00")], NOW), timeout_s=5.0)
            assert await driver.run(provider.balance(NOW), timeout_s=5.0) == Balance(Decimal("811.40"), "credits")
        async with account(simulator, password="wrong") as (provider, driver):
            with pytest.raises(ProviderAuthError):
                await driver.run(provider.balance(NOW), timeout_s=5.0)
        assert simulator.bill.accounts["npl"].charged == 1
        assert simulator.bill.accounts["npl"].free == 2


async def test_what_is_no_number_is_a_failed_lookup() -> None:
    async with simulated() as simulator:
        assert '"errorcode": "36"' in await post(simulator, msisdn="hello", format="json")


async def test_without_a_format_the_answer_is_the_legacy_csv() -> None:
    async with simulated() as simulator, aiohttp.ClientSession() as session:
        query = {**CREDENTIALS, "msisdn": "+447400123400,447400123402"}
        async with session.get(f"{simulator.url}/npl", params=query) as reply:
            assert await reply.text() == "447400123400 23415,234150000000000,\r\n447400123402 ERR27\r\n"


async def test_more_connections_than_allowed_are_refused_and_unpaid(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = hold(monkeypatch, 2)
    async with simulated(npl=Limits(max_connections=2)) as simulator:
        held = [asyncio.create_task(ask(simulator, f"{PREFIX}01", timeout_s=60)) for _ in range(2)]
        while simulator.bill.accounts["npl"].requests < 2:
            await asyncio.sleep(0.01)
        assert told((await ask(simulator, f"{PREFIX}00"))[f"{PREFIX}00"]) == "rate_limited"
        go_on.set()
        assert {told(result) for results in await asyncio.gather(*held) for result in results.values()} == {
            "yes ok yes mobile"
        }
        assert simulator.bill.accounts["npl"].charged == 2
        assert told((await ask(simulator, f"{PREFIX}00"))[f"{PREFIX}00"]) == "yes ok no mobile"


async def test_the_chain_never_meets_the_connection_limit() -> None:
    """Twenty callers, four connections of ours, five of the vendor's: all are served."""
    async with simulated(faults=Faults(latency_ms=10)) as simulator, account(simulator) as (provider, driver):
        link = Link(provider, driver, Line(Gates(max_concurrency=4), max_batch=1), timeout_s=5.0)
        deadline = asyncio.get_running_loop().time() + 5.0
        asked = (link.ask(Number(f"{PREFIX}{n}"), NOW, lambda: deadline) for n in range(30, 50))
        assert len(await asyncio.gather(*asked)) == 20
        assert simulator.bill.accounts["npl"].charged == 20


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
        timeout_s = 2.0 if word == "timeout" else 15.0
        assert told((await ask(simulator, f"{PREFIX}00", timeout_s=timeout_s))[f"{PREFIX}00"]) == word
        assert simulator.bill.accounts["npl"].charged == charged


async def test_the_same_seed_breaks_the_same_requests() -> None:
    async def run() -> list[str]:
        async with simulated(faults=Faults(error_rate=0.5, seed=7)) as simulator:
            return [told((await ask(simulator, f"{PREFIX}00"))[f"{PREFIX}00"]) for _ in range(12)]

    first = await run()
    assert set(first) == {"lost_reply", "yes ok no mobile"}
    assert await run() == first


async def test_faults_bill_and_journal_are_seen_and_set_beside_the_vendors() -> None:
    async with simulated() as simulator, aiohttp.ClientSession(simulator.url) as session:
        await ask(simulator, f"{PREFIX}00")
        await ask(simulator, f"{PREFIX}01")
        async with session.get("/_sim/bill") as reply:
            assert (await reply.json())["npl"]["charged"] == "2.00"
        async with session.get("/_sim/journal", params={"number": f"{PREFIX}01"}) as reply:
            assert await reply.json() == [
                {"vendor": "npl", "numbers": [f"{PREFIX[1:]}01"], "result": "answered", "charged": "1.00"}
            ]
        async with session.post("/_sim/faults", data=b'{"slow_s": 1}') as reply:
            assert (await reply.json())["slow_s"] == 1
        async with session.post("/_sim/faults", data=b'{"latency_ms": 2}') as reply:
            assert msgspec.convert(await reply.json(), Faults) == Faults(slow_s=1, latency_ms=2)
        for wrong in (b'{"slow": 1}', b'{"error_rate": 2}', b"[]", b"{"):
            async with session.post("/_sim/faults", data=wrong) as reply:
                assert reply.status == 400
        async with session.post("/_sim/reset") as reply:
            assert (await reply.json())["npl"]["requests"] == 0
        async with session.get("/_sim/faults") as reply:
            assert msgspec.convert(await reply.json(), Faults) == Faults()


async def test_two_thousand_requests_are_held_at_once() -> None:
    options = Limits(max_connections=0)
    async with simulated(npl=options) as simulator, account(simulator, max_concurrency=2000) as (provider, driver):
        held = [
            asyncio.create_task(driver.run(provider.lookup([Number(f"+44740{n:05}21")], NOW), timeout_s=60.0))
            for n in range(2000)
        ]
        while simulator.bill.accounts["npl"].requests < 2000:
            await asyncio.sleep(0.01)
        assert not any(task.done() for task in held)
        assert told((await ask(simulator, f"{PREFIX}00"))[f"{PREFIX}00"]) == "yes ok no mobile"
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)


async def test_clients_that_leave_leave_nothing_behind() -> None:
    async with simulated(npl=Limits(max_connections=1)) as simulator:
        for _ in range(3):
            assert told((await ask(simulator, f"{PREFIX}21", timeout_s=1.5))[f"{PREFIX}21"]) == "timeout"
            await asyncio.sleep(0.05)
        assert told((await ask(simulator, f"{PREFIX}00"))[f"{PREFIX}00"]) == "yes ok no mobile"


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_stopped_and_prints_the_bill(stop: signal.Signals) -> None:
    command = [sys.executable, "-m", "agi_lookup.cli.main", "sim", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = msgspec.json.decode(process.stdout.readline())["url"]
        assert url.startswith("http://127.0.0.1:")
        process.send_signal(stop)
        bill = msgspec.json.decode(process.stdout.read())["bill"]
        assert process.wait(10) == 0
        assert process.stderr.read() == ""
    assert bill["npl"]["requests"] == 0


def test_the_command_prints_the_config_that_points_to_it() -> None:
    command = [sys.executable, "-m", "agi_lookup.cli.main", "sim", "--print-config", "--port", "18574"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    block = yaml.safe_load(printed)["providers"]["npl"]
    assert block["base_url"] == "http://127.0.0.1:18574/npl"
    assert loading.find(block["kind"]).Options.model_validate(block)
