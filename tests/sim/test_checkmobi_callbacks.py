"""The callbacks of the simulated CheckMobi, over real sockets, read by the real provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from agi_lookup.domain.errors import NoticeRefused, ProviderError
from agi_lookup.domain.model import LookupAnswer
from agi_lookup.providers.base import Notice
from agi_lookup.sim.bill import Bill
from agi_lookup.sim.callbacks import PAUSE_S, Callback, Callbacks, is_this_machine
from agi_lookup.sim.checkmobi import Limits
from agi_lookup.sim.vendors import Simulator
from tests.providers.replay import NOW
from tests.sim.accounts import account, simulated, told
from tests.sim.test_checkmobi import PREFIX, ask


class Hook:
    """A webhook: what came, and with which status each is answered (the last one for ever)."""

    def __init__(self, *statuses: int) -> None:
        self.url = ""
        self.notices: list[Notice] = []
        self.paths: list[str] = []
        self._statuses = list(statuses) or [200]
        self._came = asyncio.Event()

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.notices.append(Notice(headers, await request.read()))
        self.paths.append(request.path)
        self._came.set()
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        return web.Response(status=status, headers={"Location": self.url + request.path} if 300 <= status < 400 else {})

    async def wait_for(self, count: int) -> list[Notice]:
        async with asyncio.timeout(60):
            while len(self.notices) < count:
                self._came.clear()
                await self._came.wait()
        return self.notices


@asynccontextmanager
async def hooked(*statuses: int) -> AsyncIterator[Hook]:
    hook = Hook(*statuses)
    application = web.Application()
    application.router.add_post("/hooks/{name}/{secret}", hook.take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield hook
    finally:
        await runner.cleanup()


def bulk(hook: Hook, **changes: Any) -> dict[str, Any]:
    return {"max_batch": 1000, "public_url": hook.url, "webhook_secret": "0123456789abcdef", **changes}


async def read(simulator: Simulator, notices: list[Notice], hook: Hook, **changes: Any) -> dict[str, str]:
    """What the provider makes of all of them, one after another."""
    async with account(simulator, "checkmobi", **bulk(hook, **changes)) as (provider, _):
        said: dict[str, str] = {}
        for notice in notices:
            found: Mapping[str, LookupAnswer | ProviderError] = provider.notice(notice, NOW)
            said |= {number: told(result) for number, result in found.items()}
        return said


async def test_a_batch_is_reported_in_several_signed_callbacks_and_paid_once() -> None:
    numbers = [f"{PREFIX}{ending:02}" for ending in (0, 1, 2, 9, 30)]
    async with simulated() as simulator, hooked() as hook:
        results = await ask(simulator, *numbers, **bulk(hook))
        assert {told(result) for result in results.values()} == {"pending"}
        notices = list(await hook.wait_for(3))
        assert await read(simulator, notices, hook) == {
            numbers[0]: "yes ok no mobile",
            numbers[1]: "yes ok yes mobile",
            numbers[2]: "no absent no mobile",
            numbers[3]: "unknown not_applicable unknown landline",
            numbers[4]: "yes ok no mobile",
        }
        assert set(hook.paths) == {"/hooks/checkmobi/0123456789abcdef"}
        assert simulator.bill.summary()["checkmobi"]["charged"] == "0.024"
        assert simulator.bill.accounts["checkmobi"].requests == 1


async def test_rejected_numbers_are_told_at_once_and_cost_nothing() -> None:
    good, bad = f"{PREFIX}00", f"{PREFIX}14"
    async with simulated() as simulator, hooked() as hook:
        results = await ask(simulator, good, bad, **bulk(hook))
        assert (told(results[good]), told(results[bad])) == ("pending", "rejected")
        assert await read(simulator, await hook.wait_for(1), hook) == {good: "yes ok no mobile"}
        assert simulator.bill.accounts["checkmobi"].charged == Decimal("0.006")


async def test_credit_that_ends_within_a_batch_is_told_of_the_rest() -> None:
    numbers = [f"{PREFIX}{ending}" for ending in range(30, 34)]
    async with simulated(checkmobi=Limits(credit=Decimal("0.013"))) as simulator, hooked() as hook:
        await ask(simulator, *numbers, **bulk(hook))
        said = await read(simulator, await hook.wait_for(2), hook)
        assert [said[number] for number in numbers] == ["yes ok no mobile"] * 2 + ["out_of_credit"] * 2
        assert simulator.bill.accounts["checkmobi"].charged == Decimal("0.012")


async def test_the_scenarios_of_a_batch_are_each_numbers_own() -> None:
    """A number that is blocked, one that never comes, one told twice, one told as another: the rest is good."""
    endings = (15, 21, 29, 28, 7, 26)
    numbers = [f"{PREFIX}{ending:02}" for ending in endings]
    async with simulated(checkmobi=Limits(callback_numbers=10)) as simulator, hooked() as hook:
        await ask(simulator, *numbers, **bulk(hook))
        said = await read(simulator, await hook.wait_for(2), hook)
        assert [said.get(number) for number in numbers] == [
            "rate_limited", None, "yes ok no mobile", "bad_answer", "provider_failure", "yes ok no mobile",
        ]  # fmt: skip


@pytest.mark.parametrize("ending", ["23", "24"])
async def test_one_such_number_spoils_a_whole_batch(ending: str) -> None:
    async with simulated() as simulator, hooked() as hook:
        results = await ask(simulator, f"{PREFIX}00", f"{PREFIX}{ending}", **bulk(hook))
        assert {told(result) for result in results.values()} == {"lost_reply" if ending == "23" else "rate_limited"}
        assert simulator.bill.accounts["checkmobi"].charged == 0


@pytest.mark.parametrize(("signature", "encoding"), [("hex", "hex"), ("base64", "base64"), ("base64", "any")])
async def test_signatures_are_hex_or_base64(signature: Any, encoding: str) -> None:
    """A4"""
    limits = Limits(signature=signature)
    async with simulated(checkmobi=limits) as simulator, hooked() as hook:
        await ask(simulator, f"{PREFIX}00", f"{PREFIX}01", **bulk(hook))
        notices = await hook.wait_for(1)
        assert len(await read(simulator, notices, hook, signature_encoding=encoding)) == 2
        with pytest.raises(NoticeRefused):
            await read(simulator, notices, hook, signature_key="another")


async def test_a_callback_that_is_not_taken_comes_three_times_more() -> None:
    async with simulated() as simulator, hooked(500) as hook:
        await ask(simulator, f"{PREFIX}00", f"{PREFIX}01", **bulk(hook))
        notices = await hook.wait_for(4)
        assert len({notice.body for notice in notices}) == 1
        await settled(simulator, 4)
        assert callbacks(simulator) == ["callback 500"] * 4


async def test_a_callback_that_is_taken_at_last_comes_no_more() -> None:
    async with simulated() as simulator, hooked(503, 404, 200) as hook:
        await ask(simulator, f"{PREFIX}00", f"{PREFIX}01", **bulk(hook))
        await settled(simulator, 3)
        assert callbacks(simulator) == ["callback 503", "callback 404", "callback 200"]


async def test_what_was_taken_is_not_posted_again() -> None:
    bill = Bill()
    callbacks_to = Callbacks("checkmobi", bill, retries=3)
    async with hooked() as hook:
        url = f"{hook.url}/hooks/checkmobi/x"
        callbacks_to.post(Callback(url, b"first"))
        callbacks_to.post(Callback(url, b"second", delay_s=3 * PAUSE_S))
        assert [notice.body for notice in await hook.wait_for(2)] == [b"first", b"second"]
        await callbacks_to.close()


async def test_a_callback_that_redirects_is_followed_nowhere() -> None:
    async with simulated() as simulator, hooked(307, 200) as hook:
        await ask(simulator, f"{PREFIX}00", f"{PREFIX}01", **bulk(hook))
        await settled(simulator, 2)
        assert callbacks(simulator) == ["callback 307", "callback 200"]


async def test_callbacks_may_come_doubled_and_cut_off() -> None:
    async with simulated(checkmobi=Limits(callback_copies=2)) as simulator, hooked() as hook:
        await ask(simulator, f"{PREFIX}00", f"{PREFIX}22", **bulk(hook))
        notices = await hook.wait_for(2)
        assert notices[0].body == notices[1].body
        with pytest.raises(NoticeRefused):
            await read(simulator, notices, hook)


def callbacks(simulator: Simulator) -> list[str]:
    return [entry.result for entry in simulator.bill.journal if entry.result.startswith("callback")]


async def settled(simulator: Simulator, count: int) -> None:
    async with asyncio.timeout(60):
        while len(callbacks(simulator)) < count:
            await asyncio.sleep(0.01)


async def test_what_is_under_way_ends_with_the_simulator() -> None:
    """Late callbacks, retries to nobody: nothing is left running, nothing is left open (warnings are errors)."""
    before = asyncio.all_tasks()
    async with simulated(checkmobi=Limits(callback_delay_s=600)) as simulator, hooked() as hook:
        await ask(simulator, f"{PREFIX}00", f"{PREFIX}01", **bulk(hook))
    async with hooked() as gone:
        pass
    async with simulated() as simulator:
        await ask(simulator, f"{PREFIX}00", f"{PREFIX}01", **bulk(gone))
        await settled(simulator, 1)
        assert callbacks(simulator) == ["callback not delivered"]
    assert asyncio.all_tasks() == before


THIS_MACHINE = [
    "http://127.0.0.1:1/x",
    "http://127.9.9.9/",
    "https://localhost:8/",
    "http://[::1]:9/hook",
    "http://LOCALHOST/",
]
ELSEWHERE = [
    "http://192.0.2.1/", "http://10.0.0.1/", "http://169.254.169.254/", "https://example.com/", "http://localhost.example.com/",
    "http://127.0.0.1.example.com/", "http://0.0.0.0/", "http://127.1/", "http://2130706433/", "ftp://127.0.0.1/", "127.0.0.1",
    "http://user@192.0.2.1/?127.0.0.1", "http://[::ffff:192.0.2.1]/", "http://[", "", "http:///x",
]  # fmt: skip


def test_callbacks_go_to_this_machine_only() -> None:
    assert all(map(is_this_machine, THIS_MACHINE))
    assert not any(map(is_this_machine, ELSEWHERE))
    bill = Bill()
    for url in ELSEWHERE:
        with pytest.raises(ValueError, match="this machine"):
            Callbacks("x", bill, retries=0).post(Callback(url, b""))
