"""The simulated vendors, asked by the real providers over the real driver, as their printed config says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import yaml
from aiohttp import web

from agi_lookup.domain.errors import ProviderError
from agi_lookup.domain.model import Identity, Liveness, LookupAnswer, Number
from agi_lookup.providers import loading
from agi_lookup.providers.base import NumberResult, Pending, ProviderOptions
from agi_lookup.providers.http import HttpDriver
from agi_lookup.sim.delivery import Answer, Delivery
from agi_lookup.sim.vendors import Simulator, print_config, serve
from tests.providers.replay import NOW, split


@asynccontextmanager
async def simulated(**options: Any) -> AsyncIterator[Simulator]:
    """All vendors: `simulated(faults=Faults(...), npl=npl.Limits(...))`."""
    async with serve(Simulator(**options)) as simulator:
        yield simulator


@asynccontextmanager
async def account(simulator: Simulator, vendor: str, **changes: Any) -> AsyncIterator[tuple[Any, HttpDriver]]:
    """Provider and driver of one vendor as the printed config makes them. `changes` are options of the block."""
    block = yaml.safe_load(print_config(simulator.url))["providers"][vendor]
    kind = loading.find(block["kind"])
    options = kind.Options.model_validate({**block, **changes})
    assert isinstance(options, ProviderOptions)
    driver = HttpDriver(options)
    try:
        yield kind.Provider(vendor, options, split), driver
    finally:
        await driver.close()


async def ask(
    simulator: Simulator, vendor: str, *numbers: str, timeout_s: float = 15.0, now: float = NOW, **changes: Any
) -> dict[str, NumberResult]:
    """One lookup of all `numbers`; an error of the whole request stands under each."""
    async with account(simulator, vendor, timeout_s=timeout_s, **changes) as (provider, driver):
        try:
            return dict(await driver.run(provider.lookup([Number(n) for n in numbers], now), timeout_s=timeout_s))
        except ProviderError as error:
            return dict.fromkeys(numbers, error)


def hold(monkeypatch: pytest.MonkeyPatch, count: int) -> asyncio.Event:
    """The first `count` answers of whatever vendor do not leave it until the event is set."""
    go_on, deliver, held = asyncio.Event(), Delivery.deliver, 0

    async def late(self: Delivery, request: web.Request, answer: Answer) -> web.StreamResponse:
        nonlocal held
        held += 1
        if held <= count:
            await go_on.wait()
        return await deliver(self, request, answer)

    monkeypatch.setattr(Delivery, "deliver", late)
    return go_on


def told(result: NumberResult) -> str:
    """`reachable reason ported type`, or the error's word, or `pending`."""
    if isinstance(result, ProviderError):
        return result.code
    if isinstance(result, Pending):
        return "pending"
    assert isinstance(result, LookupAnswer)
    identity, liveness = result.identity or Identity(), result.liveness or Liveness()
    return f"{liveness.reachable} {liveness.reason} {identity.ported} {identity.type}"
