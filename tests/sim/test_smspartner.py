"""The simulated SMS Partner, asked by the real link over real sockets, and its webhooks taken by the real listener."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from agi_lookup.domain.errors import ProviderError
from agi_lookup.domain.model import CacheState, Facet, LookupAnswer, LookupOutcome, LookupQuery, Number, Status
from agi_lookup.providers.base import Balance, NumberResult, Pending
from agi_lookup.sim import recordings
from agi_lookup.sim.delivery import Faults
from agi_lookup.sim.scenarios import Scenario
from agi_lookup.sim.smspartner import API_KEY, WEBHOOK_SECRET, Limits
from agi_lookup.sim.vendors import Simulator, print_config
from tests.processes import free_port, make_site, running
from tests.providers.replay import NOW
from tests.providers.test_contract import check
from tests.served import Served, read_config, serving
from tests.sim.accounts import account, hold, simulated, told
from tests.test_daemon import wait_for_port

PREFIX = "+336399812"
NUMBER = f"{PREFIX}00"


class Site:
    """A server whose one provider is the simulated vendor, which posts to the server's webhooks."""

    def __init__(self, served: Served, simulator: Simulator) -> None:
        self.served = served
        self.simulator = simulator

    async def ask(self, number: str = NUMBER) -> NumberResult:
        """The link's answer, webhook and all."""
        deadline = asyncio.get_running_loop().time() + 10.0
        try:
            return await self.served.generation.links["sms"].ask(Number(number), NOW, lambda: deadline)
        except ProviderError as error:
            return error

    async def resolve(self, number: str = NUMBER, within_s: float = 10.0) -> LookupOutcome:
        """What a call is told."""
        query = LookupQuery(Number(number), frozenset(Facet))
        deadline = asyncio.get_running_loop().time() + within_s
        return await self.served.generation.kit.profiles["default"].resolver.resolve(query, deadline=deadline)

    async def batch(self, *numbers: str) -> list[NumberResult]:
        """One request for all, and what the webhooks bring."""
        notices, generation = self.served.core.notices, self.served.generation
        for number in numbers:
            notices.expect("sms", number)
        lookup = generation.providers["sms"].lookup([Number(number) for number in numbers], NOW)
        accepted = await generation.drivers["sms"].run(lookup, timeout_s=30.0)
        assert all(isinstance(result, Pending) for result in accepted.values())
        told = await asyncio.gather(*(notices.result("sms", number, 30.0) for number in numbers))
        return [result for result in told if result is not None]

    def charged(self) -> Decimal:
        return self.simulator.bill.accounts["smspartner"].charged

    async def events(self, **wanted: int) -> None:
        """Wait until webhooks were counted so."""
        named = {f"hook_{word}": count for word, count in wanted.items()}
        await until(lambda: self.served.events() == named)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not reached():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def site(
    folder: Path, faults: Faults | None = None, limits: Limits | None = None, **options: Any
) -> AsyncIterator[Site]:
    async with (
        simulated(smspartner=limits or Limits(), faults=faults or Faults(slow_s=0.05)) as simulator,
        serving(read_config(folder)) as served,
    ):
        block = yaml.safe_load(print_config(simulator.url))["providers"]["smspartner"]
        await served.reload(read_config(folder, providers={"sms": {**block, "public_url": served.hooks, **options}}))
        yield Site(served, simulator)


# Round trips

EXPECTED = {
    Scenario.REACHABLE: "yes ok no mobile",
    Scenario.PORTED: "yes ok yes mobile",
    Scenario.ABSENT: "no absent no unknown",
    Scenario.UNKNOWN_SUBSCRIBER: "no unknown_subscriber unknown unknown",
    Scenario.NO_TELESERVICE: "no no_teleservice no unknown",
    Scenario.NO_COVERAGE: "not_covered",
    Scenario.INCONCLUSIVE: "unknown inconclusive unknown unknown",
    Scenario.PARTNER_FAILURE: "provider_failure",
    Scenario.NETWORK_ONLY: "unknown inconclusive unknown unknown",
    Scenario.LANDLINE: "provider_failure",
    Scenario.VOIP: "provider_failure",
    Scenario.TOLL_FREE: "provider_failure",
    Scenario.ROAMING: "yes ok no mobile",
    Scenario.CALL_BARRED: "no call_barred no unknown",
    Scenario.INVALID: "rejected",
    Scenario.RATE_LIMITED: "rate_limited",
    Scenario.SLOW: "yes ok no mobile",
    Scenario.NEVER_ANSWERS: "timeout",
    Scenario.CUT_OFF: "lost_reply",
    Scenario.HTTP_500: "lost_reply",
    Scenario.HTTP_429: "rate_limited",
    Scenario.NULLS: "unknown inconclusive unknown unknown",
    Scenario.TYPES_FLIPPED: "yes ok no mobile",
    Scenario.UNKNOWN_KEYS: "yes ok no mobile",
    Scenario.OTHER_NUMBER: "timeout",
    Scenario.DUPLICATE: "yes ok no mobile",
}
UNPAID = {Scenario.NO_COVERAGE, Scenario.INVALID, Scenario.RATE_LIMITED, Scenario.HTTP_500, Scenario.HTTP_429}


@pytest.mark.parametrize("scenario", Scenario, ids=lambda scenario: scenario.name.lower())
async def test_the_last_two_digits_say_what_happens(tmp_path: Path, scenario: Scenario) -> None:
    never = scenario in {Scenario.NEVER_ANSWERS, Scenario.OTHER_NUMBER}
    async with site(tmp_path, wait_s=0.3 if never else 10.0) as there:
        result = await there.ask(f"{PREFIX}{scenario:02}")
        assert told(result) == EXPECTED[scenario]
        assert there.charged() == (0 if scenario in UNPAID else Decimal("0.005"))
        if isinstance(result, LookupAnswer):
            assert (result.cost, result.currency) == (Decimal("0.005"), "EUR")


@pytest.mark.parametrize("encoding", ["json", "form", "list"])
async def test_a_batch_comes_back_in_any_encoding_and_order(tmp_path: Path, encoding: Any) -> None:
    numbers = [f"{PREFIX}{ending:02}" for ending in (0, 1, 2, 3, 25, 29, 40)]
    for newest_first in (False, True):
        limits = Limits(encoding=encoding, newest_first=newest_first, notice_delay_s=0.0)
        async with site(tmp_path, limits=limits) as there:
            results = await there.batch(*numbers)
            assert [told(result) for result in results] == [
                "yes ok no mobile", "yes ok yes mobile", "no absent no unknown", "no unknown_subscriber unknown unknown",
                "unknown inconclusive unknown unknown", "yes ok no mobile", "yes ok no mobile",
            ]  # fmt: skip
            assert there.simulator.bill.summary()["smspartner"]["requests"] == 1
            assert there.charged() == Decimal("0.035")


async def test_five_hundred_numbers_are_one_request(tmp_path: Path) -> None:
    numbers = [f"+336399{n:05}" for n in range(500)]
    usual = [n for n in numbers if int(n[-2:]) >= 30]
    async with site(tmp_path, limits=Limits(notice_delay_s=0.0), max_batch=500) as there:
        results = await there.batch(*usual)
        assert {told(result) for result in results} == {"yes ok no mobile"}
        assert there.simulator.bill.summary()["smspartner"]["requests"] == 1
        assert there.charged() == Decimal("0.005") * len(usual)


async def test_a_webhook_that_overtakes_the_acknowledgement_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acknowledge = hold(monkeypatch, 1)
    async with site(tmp_path, limits=Limits(notice_delay_s=0.0)) as there:
        asked = asyncio.create_task(there.ask())
        await there.events(accepted=1)
        assert not asked.done()
        acknowledge.set()
        assert told(await asked) == "yes ok no mobile"


async def test_a_webhook_that_comes_again_is_taken_once(tmp_path: Path) -> None:
    """A4"""
    async with site(tmp_path, limits=Limits(notice_copies=3)) as there:
        assert told(await there.ask()) == "yes ok no mobile"
        await there.events(accepted=1, repeated=2)


async def test_a_webhook_after_the_wait_is_kept_and_not_bought_again(tmp_path: Path) -> None:
    """P20: the call went on without it."""
    async with site(tmp_path, limits=Limits(notice_delay_s=3.0), wait_s=0.1) as there:
        first = await there.resolve()
        assert (first.error, first.liveness) == ("timeout", None)
        await there.events(accepted=1)
        second = await there.resolve()
        assert (second.status, second.cache) == (Status.OK, CacheState.FRESH)
        assert second.identity is not None
        assert (second.identity.value.mcc, second.identity.provider) == ("208", "sms")
        assert there.charged() == Decimal("0.005")


async def test_a_webhook_after_a_lost_acknowledgement_is_kept(tmp_path: Path) -> None:
    """P5, P20: the reply was cut off, the number was paid for."""
    async with site(tmp_path) as there:
        number = f"{PREFIX}{Scenario.CUT_OFF}"
        assert (await there.resolve(number)).error == "lost_reply"
        await there.events(accepted=1)
        assert (await there.resolve(number)).cache is CacheState.FRESH
        assert there.charged() == Decimal("0.005")


async def test_many_callers_of_a_number_share_one_request(tmp_path: Path) -> None:
    """C1"""
    async with site(tmp_path) as there:
        outcomes = await asyncio.gather(*(there.resolve() for _ in range(50)))
        assert {outcome.status for outcome in outcomes} == {Status.OK}
        assert there.charged() == Decimal("0.005")


async def test_a_forger_without_the_secret_ends_no_wait(tmp_path: Path) -> None:
    """A4, S19"""
    forged = {"phone": NUMBER, "errorGrpId": 1, "errorName": "EC_UNKNOWN_SUBSCRIBER", "mccMnc": "", "ported": 0}
    async with site(tmp_path, limits=Limits(notice_delay_s=0.3)) as there, aiohttp.ClientSession() as session:
        asked = asyncio.create_task(there.ask())
        await until(lambda: there.charged() > 0)
        for path in (f"sms/{WEBHOOK_SECRET[:-1]}", f"smspartner/{WEBHOOK_SECRET}"):
            async with session.post(f"{there.served.hooks}/hooks/{path}", json=forged) as reply:
                assert reply.status == 404
        assert told(await asked) == "yes ok no mobile"


async def test_a_forger_who_knows_the_secret_says_nothing_of_numbers_that_were_not_asked(tmp_path: Path) -> None:
    """A5, S19"""
    forged = {"phone": f"{PREFIX}77", "errorGrpId": 1, "errorName": "EC_UNKNOWN_SUBSCRIBER"}
    async with site(tmp_path) as there, aiohttp.ClientSession() as session:
        assert told(await there.ask()) == "yes ok no mobile"
        async with session.post(f"{there.served.hooks}/hooks/sms/{WEBHOOK_SECRET}", json=forged) as reply:
            assert reply.status == 200
        await there.events(accepted=1, unasked=1)
        assert (await there.resolve(f"{PREFIX}77")).cache is CacheState.MISS


async def test_a_wait_survives_a_reload(tmp_path: Path) -> None:
    """O4"""
    async with site(tmp_path, limits=Limits(notice_delay_s=0.3)) as there:
        old = there.served.generation
        asked = asyncio.create_task(there.ask())
        link = old.links["sms"]
        await until(
            lambda: there.charged() > 0 and not link.health().under_way
        )  # its reply came: it waits for the webhook
        await there.served.reload(old.config)
        assert told(await asked) == "yes ok no mobile"


# What the vendor refuses


@pytest.mark.parametrize(
    ("limits", "options", "word"),
    [
        (Limits(), {"api_key": "wrong"}, "auth"),
        (Limits(error_status=403), {"api_key": "wrong"}, "auth"),
        (Limits(error_status=400), {"api_key": "wrong"}, "auth"),
        (Limits(credit=Decimal("0.004")), {}, "out_of_credit"),
        (Limits(per_minute=0), {}, "rate_limited"),
        (Limits(), {"public_url": "http://192.0.2.1"}, "rejected"),
    ],
)
async def test_what_is_refused_costs_nothing_and_brings_no_webhook(
    tmp_path: Path, limits: Limits, options: dict[str, Any], word: str
) -> None:
    async with site(tmp_path, limits=limits, **options) as there:
        assert told(await there.ask()) == word
        assert there.charged() == 0
        assert not [entry for entry in there.simulator.bill.journal if entry.result.startswith("callback")]


async def test_three_hundred_and_sixty_requests_a_minute_and_no_more(tmp_path: Path) -> None:
    """P13: as the vendor counts them, whatever came of each."""
    async with simulated() as simulator:
        statuses = [await submitted(simulator, apiKey="wrong") for _ in range(361)]
        assert [status for status, _ in statuses] == [200] * 360 + [429]


async def submitted(
    simulator: Simulator, path: str = "hlr/notify", headers: Any = None, **asked: Any
) -> tuple[int, Any]:
    """What any client gets; a key that is `...` is left out."""
    said = {"apiKey": API_KEY, "phoneNumbers": NUMBER, **asked}
    body = json.dumps({key: value for key, value in said.items() if value is not ...}).encode()
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{simulator.url}/smspartner/v1/{path}", data=body, headers=headers) as reply,
    ):
        return reply.status, await reply.json() if reply.content_type == "application/json" else await reply.text()


async def test_json_is_taken_with_and_without_its_header() -> None:
    async with simulated() as simulator:
        for headers in (
            None,
            {"Content-Type": "application/json"},
            {"Content-Type": "application/x-www-form-urlencoded"},
        ):
            _, said = await submitted(simulator, headers=headers)
            assert (said["success"], said["number"], said["cost"], said["currency"]) == (True, 1, 0.005, "EUR")


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"apiKey": ...}, 1),
        ({"apiKey": "wrong"}, 10),
        ({"phoneNumbers": ...}, 2),
        ({"phoneNumbers": ""}, 2),
        ({"phoneNumbers": [NUMBER]}, 3),
        ({"phoneNumbers": f"{NUMBER} {PREFIX}01"}, 3),
        ({"phoneNumbers": f"{NUMBER};{PREFIX}01"}, 3),
        ({"phoneNumbers": ",".join([NUMBER] * 501)}, 3),
        ({"phoneNumbers": f"{NUMBER},{PREFIX}05"}, 13),
        ({"notifyUrl": "https://example.com/hooks"}, 99),
        ({"notifyUrl": "http://127.0.0.1.example.com/"}, 99),
    ],
)
async def test_each_control_code(asked: dict[str, Any], code: int) -> None:
    async with simulated() as simulator:
        _, said = await submitted(simulator, **asked)
        assert (said["success"], said["code"]) == (False, code)
        assert simulator.bill.accounts["smspartner"].charged == 0


async def test_a_number_that_cannot_be_one_is_not_counted() -> None:
    async with simulated() as simulator:
        _, said = await submitted(simulator, phoneNumbers=f"{NUMBER},hello,{PREFIX}14")
        assert (said["number"], said["cost"]) == (1, 0.005)


async def test_without_an_address_nothing_is_posted() -> None:
    async with simulated(smspartner=Limits(notice_delay_s=0.0)) as simulator:
        assert (await submitted(simulator))[1]["success"] is True
        assert [entry.result for entry in simulator.bill.journal] == ["accepted"]


# Balance, format check, recordings


async def test_the_balance_is_what_is_left() -> None:
    async with simulated(smspartner=Limits(credit=Decimal("12.5"))) as simulator:
        await submitted(simulator, phoneNumbers=f"{NUMBER},{PREFIX}01")
        async with account(simulator, "smspartner") as (provider, driver):
            assert await driver.run(provider.balance(NOW), timeout_s=5.0) == Balance(Decimal("12.490"), "EUR")
        async with account(simulator, "smspartner", api_key="wrong") as (provider, driver):
            with pytest.raises(ProviderError) as refused:
                await driver.run(provider.balance(NOW), timeout_s=5.0)
            assert refused.value.code == "auth"


async def test_the_format_check_is_free() -> None:
    async with simulated() as simulator:
        _, said = await submitted(simulator, "lookup", phoneNumbers=f"{NUMBER},{PREFIX}09")
        assert [found["format"]["e164"] for found in said["lookup"]] == [NUMBER, f"{PREFIX}09"]
        assert [found["type"] for found in said["lookup"]] == ["Mobile", "Fixed line"]
        assert simulator.bill.accounts["smspartner"].charged == 0


async def test_what_was_recorded_is_posted_on_request(tmp_path: Path) -> None:
    """Every recorded notification of one number, over real HTTP."""
    recorded = [r for r in recordings.load("smspartner").values() if r.notice is not None and r.number]
    assert len({recording.number for recording in recorded}) == len(recorded)
    async with site(tmp_path, limits=Limits(recorded=True, notice_delay_s=0.0)) as there:
        for recording in recorded:
            (result,) = await there.batch(recording.number)
            check(result, recording.expect)


async def test_a_simulator_that_ends_leaves_no_callback_behind() -> None:
    async with simulated(smspartner=Limits(notice_delay_s=3600.0)) as simulator:
        await submitted(simulator, notifyUrl="http://127.0.0.1:9/")
        before = len(asyncio.all_tasks())
    assert len(asyncio.all_tasks()) < before


# The whole product


def test_a_call_waits_for_the_webhook(tmp_path: Path) -> None:
    """Three processes: simulator, server, and a call."""
    site, port = make_site(tmp_path), free_port()
    with running(tmp_path / "sim.log", "sim", "--port", str(port), "--json") as simulator:
        block = yaml.safe_load(print_config(f"http://127.0.0.1:{port}"))["providers"]["smspartner"]
        site.data["hooks"] = {"port": free_port()}
        block["public_url"] = f"http://127.0.0.1:{site.data['hooks']['port']}"
        site.data["providers"] = {"sms": block}
        site.write()
        wait_for_port(port, simulator)
        with site.serve() as server:
            first, second = site.call("447400123401"), site.call("07400123401")
            text = server.log.read_text()
        assert simulator.popen.poll() is None
    assert (first["LOOKUP_STATUS"], first["LOOKUP_CACHE"], first["LOOKUP_MCCMNC"]) == ("OK", "miss", "23415")
    assert (first["LOOKUP_PORTED"], first["LOOKUP_REACHABLE"], first["LOOKUP_SOURCE"]) == ("yes", "yes", "sms")
    assert (second["LOOKUP_STATUS"], second["LOOKUP_CACHE"]) == ("OK", "fresh")
    assert WEBHOOK_SECRET not in text
    assert "447400123401" not in text
