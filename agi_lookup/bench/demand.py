"""Our side of a published limit: a source as a config makes it, and callers who always want more of it than may pass."""

from __future__ import annotations

import asyncio
import gc
import itertools
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from agi_lookup import config as configuration
from agi_lookup import wiring
from agi_lookup.bench import calls
from agi_lookup.bench.disk import BLOCK_NUMBERS
from agi_lookup.bench.published import Case
from agi_lookup.cache.sqlite import Mode
from agi_lookup.config import Config
from agi_lookup.daemon import COLLECT_AFTER
from agi_lookup.domain.errors import ProviderError
from agi_lookup.domain.model import Number, NumberType
from agi_lookup.lookup.link import Link
from agi_lookup.metrics import Metrics
from agi_lookup.web import hooks
from agi_lookup.web.listener import Listener

HOST: Final = "127.0.0.1"
NOWHERE: Final = f"http://{HOST}:9"
ANSWER: Final = "answer"
FIRST_BLOCK: Final = 20
FEED_S: Final = 0.005
MAKES_UP_S: Final = 0.1
"""Of the demand that we were late with, no more is made up for: it would come all at once."""
CONFIG: Final = """
state_dir: {folder}/state
http: {{enabled: false}}
hooks: {{port: 0}}
cache: {{disk: false}}
providers:
  {vendor}:
{block}
profiles:
  default: {{dial_plan: {{country: GB}}}}
"""


@dataclass(slots=True)
class OurSide:
    """What `wiring.build` makes of a config with one provider, and the listener for its webhooks."""

    core: wiring.Core
    generation: wiring.Generation = field(init=False)
    link: Link = field(init=False)
    webhooks: int = 0  # come so far

    def application(self) -> web.Application:
        @web.middleware
        async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.webhooks += 1
            return await handler(request)

        application = hooks.application(hooks.Hooks(self))
        application.middlewares.append(counted)
        return application


@asynccontextmanager
async def our_side(case: Case, folder: Path, block: Mapping[str, str]) -> AsyncIterator[OurSide]:
    """`block` points to the vendor. The ledger is kept in `folder`."""
    async with AsyncExitStack() as stack:
        core = await wiring.open_core(_config(case, folder, block, NOWHERE), Metrics(), Mode.SERVER)
        stack.push_async_callback(core.close, 0.0)
        ours = OurSide(core)
        listener = Listener(ours.application(), core.metrics)
        url = f"http://{HOST}:{await listener.start(HOST, 0)}"
        stack.push_async_callback(listener.stop)
        ours.generation = wiring.build(_config(case, folder, block, url), core)
        stack.push_async_callback(ours.generation.close)
        await ours.generation.open_purse(core)
        ours.link = ours.generation.links[case.vendor]
        yield ours


def _config(case: Case, folder: Path, block: Mapping[str, str], hooks_url: str) -> Config:
    settings = {**block, **case.settings}
    if case.webhooks:
        settings |= {"public_url": hooks_url, "webhook_secret": f'"{secrets.token_hex()}"'}
    lines = "\n".join(f"    {key}: {value}" for key, value in settings.items())
    path = folder / "agi-lookup.yaml"
    path.write_text(CONFIG.format(folder=folder, vendor=case.vendor, block=lines))
    return configuration.read(path)


class Demand:
    """Callers with ever new numbers, each until it has its answer, so that `case.line` of them wait."""

    def __init__(self, case: Case, link: Link) -> None:
        self.least_waiting = case.line
        self.results: Counter[str] = Counter()
        self._case = case
        self._link = link
        self._callers: set[asyncio.Task[None]] = set()
        self._numbers = (Number(f"+{_digits(index)}", "GB", NumberType.MOBILE) for index in itertools.count())

    async def run(self) -> None:
        """For ever."""
        await self._ramp_up()
        time_of = asyncio.get_running_loop().time
        owed, fed_at = 0.0, time_of()
        while True:
            now, waiting = time_of(), self._link.health().waiting
            self.least_waiting = min(self.least_waiting, waiting)
            owed = owed % 1 + min(now - fed_at, MAKES_UP_S) * self._case.demand_per_s
            fed_at = now
            for _ in range(min(int(owed), self._case.line - waiting)):
                self._call()
            await asyncio.sleep(FEED_S)

    async def end(self) -> None:
        for caller in self._callers:
            caller.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)

    async def _ramp_up(self) -> None:
        """The first requests one by one, each with one number."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        first = self._case.at_once if self._case.ramp_s and self._case.at_once else 0
        for place in range(first):
            self._call()
            await asyncio.sleep(began + self._case.ramp_s * (place + 1) / first - loop.time())

    def _call(self) -> None:
        caller = asyncio.get_running_loop().create_task(self._ask(next(self._numbers)))
        self._callers.add(caller)
        caller.add_done_callback(self._callers.discard)

    async def _ask(self, number: Number) -> None:
        try:
            await self._link.ask(number, time.time(), _for_ever)
        except ProviderError as error:
            self.results[error.code] += 1
        else:
            self.results[ANSWER] += 1


def _digits(index: int) -> str:
    return calls.number(index % BLOCK_NUMBERS, FIRST_BLOCK + index // BLOCK_NUMBERS)


def _for_ever() -> float:
    return inf


@asynccontextmanager
async def demand_for(case: Case, link: Link) -> AsyncIterator[Demand]:
    demand = Demand(case, link)
    with _collecting_as_served():
        running = asyncio.create_task(demand.run())
        try:
            yield demand
        finally:
            running.cancel()
            await asyncio.wait([running])
            await demand.end()


@contextmanager
def _collecting_as_served() -> Iterator[None]:
    """Python's garbage collector as `agi-lookup serve` sets it: its defaults would walk every waiting caller again and again."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
