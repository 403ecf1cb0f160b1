"""What is asked about one number, and of the accounts. The command line asks here while a server holds the cache."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from agi_lookup import balance, privacy
from agi_lookup.agi.request import AgiRefused, parse_options
from agi_lookup.call import CallRequest
from agi_lookup.domain.errors import NumberError
from agi_lookup.domain.model import Facet, mask
from agi_lookup.domain.number import normalise
from agi_lookup.explain import explained
from agi_lookup.report import Report, look_up, look_up_patiently, lookup_json
from agi_lookup.variables import render
from agi_lookup.web.answers import answer, flag, query
from agi_lookup.web.serving import Serving

log: structlog.stdlib.BoundLogger = structlog.get_logger()

MAX_WAIT_S: Final = 3600.0


class NumberApi:
    """See `docs/api.md`."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def add_routes(self, app: web.Application) -> None:
        # No HEAD: a lookup costs the same, and shows nothing for it.
        app.router.add_get("/api/v1/lookup/{number}", self._lookup, allow_head=False)
        app.router.add_get("/api/v1/explain/{number}", self._explain, allow_head=False)
        app.router.add_get("/api/v1/cache/{number}", self._cached)
        app.router.add_delete("/api/v1/cache/{number}", self._forget)
        app.router.add_get("/api/v1/privacy/{number}", self._kept)
        app.router.add_get("/api/v1/balance", self._balance)

    async def _lookup(self, request: web.Request) -> web.Response:
        options = query(request)
        with_variables = flag(options.pop("variables", None), "bad_variables")
        wait_s = options.pop("wait_s", None)
        call = self._call(request, options)
        kit = self._serving.generation.kit
        if wait_s is None:
            report = await look_up(call, kit)
        else:
            report = await look_up_patiently(replace(call, timeout_s=_wait_s(wait_s)), kit)
        shown = lookup_json(report)
        if with_variables:
            shown["variables"] = self._variables(report)
        return answer(shown)

    def _variables(self, report: Report) -> dict[str, str]:
        prefix = self._serving.generation.access.prefix
        return dict(render(report.decision, prefix=prefix, now=report.now, ms=int(report.ms)))

    async def _explain(self, request: web.Request) -> web.Response:
        call = self._call(request, query(request))
        return answer(await explained(call, self._serving.core, self._serving.generation))

    def _call(self, request: web.Request, options: dict[str, str]) -> CallRequest:
        """Raises `AgiRefused`."""
        provider = options.pop("provider", None)
        if provider is not None and provider not in self._serving.generation.config.providers:
            raise AgiRefused("unknown_provider")
        given = [f"{key}={value}" for key, value in options.items()]
        fields = parse_options(given, self._serving.generation.kit.profiles)
        return CallRequest(request.match_info["number"], provider=provider, **fields)

    async def _cached(self, request: web.Request) -> web.Response:
        hits = await self._serving.core.cache.get(self._number(request), frozenset(Facet))
        return answer({"entries": [msgspec.to_builtins(entry) for entry in hits.values()]})

    async def _forget(self, request: web.Request) -> web.Response:
        number = self._number(request)
        who: dict[str, Any] = {"peer": request.remote or "", "number": mask(number)}
        log.info("number to be forgotten", **who)
        gone = await self._serving.core.forget(number)
        log.info("number forgotten", **who, **gone)
        return answer(gone)

    async def _kept(self, request: web.Request) -> web.Response:
        number = self._number(request)
        log.info("number exported", peer=request.remote or "", number=mask(number))
        return answer(await privacy.export(self._serving.core, number))

    def _number(self, request: web.Request) -> str:
        """E.164 by the profile's dial plan. Raises `NumberError` or `AgiRefused`."""
        profiles = self._serving.generation.kit.profiles
        profile = profiles.get(query(request, ("profile",)).get("profile", "default"))
        if profile is None:
            raise AgiRefused("unknown_profile")
        number = normalise(request.match_info["number"], profile.dial_plan).e164
        if not number:
            raise NumberError("never_looked_up")  # a short code or an extension
        return number

    async def _balance(self, request: web.Request) -> web.Response:
        only = query(request, ("provider",)).get("provider")
        if only is not None and only not in self._serving.generation.config.providers:
            raise AgiRefused("unknown_provider")
        accounts = [a for a in self._serving.generation.accounts() if only in (None, a.name)]
        shown = await balance.read_all(accounts, time.time())
        for one in shown:
            if one["balance"] is not None:
                self._serving.core.metrics.balance(one["provider"], one["currency"], Decimal(one["balance"]))
        return answer({"accounts": shown})


def _wait_s(text: str) -> float:
    if not (re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text, re.ASCII) and 0 < float(text) <= MAX_WAIT_S):
        raise AgiRefused("bad_wait")
    return float(text)
