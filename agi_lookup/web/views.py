"""What is asked about the server: what happens, sources, money, calls of late, rules, rates. None of it asks a vendor."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from cachetools import TTLCache

from agi_lookup import spend
from agi_lookup.domain.errors import ConfigError, OutsideError
from agi_lookup.lookup.ledger_file import Line
from agi_lookup.web.answers import answer, failed, flag, query, whole
from agi_lookup.web.decks import decks
from agi_lookup.web.live import Pulse
from agi_lookup.web.serving import Serving
from agi_lookup.web.sources import sources

MAX_DAYS: Final = 366
MAX_CALLS: Final = 500
SLICE: Final = 25
SPEND_S: Final = 2.0


class ServerApi:
    """See `docs/api.md`."""

    def __init__(self, serving: Serving, pulse: Pulse) -> None:
        self._serving = serving
        self._pulse = pulse
        self._reading = asyncio.Lock()
        self._lines: TTLCache[int, list[Line]] = TTLCache(MAX_DAYS, SPEND_S)

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/api/v1/live", self._live)
        app.router.add_get("/api/v1/providers", self._providers)
        app.router.add_get("/api/v1/spend", self._spend)
        app.router.add_get("/api/v1/calls", self._calls)
        app.router.add_get("/api/v1/calls/{id}", self._one_call)
        app.router.add_get("/api/v1/rules", self._rules)
        app.router.add_get("/api/v1/decks", self._decks)

    async def _live(self, request: web.Request) -> web.Response:
        asked = query(request, ("history",))
        return answer(self._pulse.live(history=flag(asked.get("history"), "bad_history")))

    async def _providers(self, request: web.Request) -> web.Response:
        query(request, ())
        return answer(sources(self._serving.core, self._serving.generation, time.time()))

    async def _spend(self, request: web.Request) -> web.Response:
        days = whole(query(request, ("days",)).get("days"), 7, MAX_DAYS, "bad_days")
        config, now = self._serving.generation.config, time.time()
        try:
            lines = await self._booked(config.state_dir, days, now)
        except OutsideError as error:
            return failed(503, "ledger", str(error))
        standings = self._serving.core.purse.standing(now)
        return answer(spend.spend_json(lines, standings, stopped=config.budget.stop))

    async def _booked(self, state_dir: Path, days: int, now: float) -> list[Line]:
        """Of a busy day there are a million rows: one reader at a time, and who comes soon after is told the same."""
        async with self._reading:
            if (known := self._lines.get(days)) is not None:
                return known
            _, lines = await asyncio.to_thread(spend.read_ledger, state_dir, days, now, 0.0)
            self._lines[days] = lines
            return lines

    async def _calls(self, request: web.Request) -> web.Response:
        most = whole(query(request, ("limit",)).get("limit"), 100, MAX_CALLS, "bad_limit")
        core = self._serving.core
        lines = []
        for place, call in enumerate(core.recent.newest(most)):
            if place % SLICE == 0:
                await asyncio.sleep(0)  # calls go first
            lines.append(core.recent.line(call, core.number_ids))
        return answer({"now": round(time.time(), 3), "calls": lines})

    async def _one_call(self, request: web.Request) -> web.Response:
        query(request, ())
        core = self._serving.core
        found = core.recent.find(request.match_info["id"], core.number_ids)
        return failed(404, "no_such_call") if found is None else answer(found)

    async def _rules(self, request: web.Request) -> web.Response:
        query(request, ())
        generation, governor, now = self._serving.generation, self._serving.core.governor, time.time()
        shown: dict[str, Any] = {
            "now": round(now, 3),
            "rules": [asdict(standing) for standing in governor.standings(generation.kit.rules, now)],
            "distrusted": governor.distrusted(now),
            "false_block_budget": generation.config.policy.governance.false_block_budget,
        }
        return answer(shown)

    async def _decks(self, request: web.Request) -> web.Response:
        query(request, ())
        generation = self._serving.generation
        try:
            return answer(await asyncio.to_thread(decks, generation.config, generation.sources))
        except (ConfigError, OutsideError, OSError) as error:
            return failed(503, "decks", str(error))
