"""A simulated HLR Lookup, v2: up to 80 numbers a request, results as JSON, a cache of the vendor's own, errors as words.

API: https://www.hlrlookup.com/knowledge/url-structure. What the page leaves open is decided here: UNAUTHORIZED comes with HTTP 200
and results without a wrapper unless the limits say otherwise; a 429 refuses a whole request; a number that the vendor failed on is
free. A cached result is good for ever, since no simulator runs for a day; nobody else asks for what this account has shared.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
from aiohttp import web

from agi_lookup.sim import recordings
from agi_lookup.sim.bill import Bill
from agi_lookup.sim.delivery import Answer, Delivery, Ending, Piece
from agi_lookup.sim.hlrlookup_records import PRICES, Record, digits_of, distorted, from_cache, no_credit, plain, result
from agi_lookup.sim.scenarios import Scenario

KIND: Final = "hlrlookup"
NAME: Final = "hlrlookup"
KEY: Final = "sim-key"
SECRET: Final = "sim-secret"  # noqa: S105
SLOW_COUNTRY: Final = "93"
"""Afghanistan: the vendor's own example of a slow network that throttles."""
CANNED: Final = tuple(f"4477009001{ending:02}" for ending in range(16))
"""The numbers that the testing suite knows."""
TOO_MANY: Final = Answer.of("Too Many Requests", 429, Retry_After="1")
REFUSALS: Final = {Scenario.HTTP_500: Answer.of("Internal Server Error", 500), Scenario.HTTP_429: TOO_MANY}
"""One such number spoils the whole request."""
ENDINGS: Final = {Scenario.NEVER_ANSWERS: Ending.NEVER_STARTS, Scenario.CUT_OFF: Ending.CUT_OFF}


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of the account. 0 connections, or 0 a second, is no limit."""

    max_numbers: int = 80
    max_connections: int = 210
    max_per_second: int = 200  # above, half of the requests get a 429
    credit: Decimal = Decimal(1_000_000)
    unauthorized_status: int = 200
    wrapped: bool = False  # everything under `body`, as the pages show it
    testing: bool = False  # the vendor's testing suite: free, and answers for the nearest number that it knows
    recorded: bool = False  # a number that was recorded gets the recorded reply


class Vendor:
    """One account at the simulated vendor. `handle` serves `/apiv2/hlr`, `mnp`, `validate` and `balance` below its path."""

    name = NAME

    def __init__(self, limits: Limits, bill: Bill, delivery: Delivery) -> None:
        self._limits = limits
        self._bill = bill
        self._delivery = delivery
        self._connections = 0
        self._recent: deque[float] = deque(maxlen=limits.max_per_second)
        self._dice = random.Random(0)  # noqa: S311
        self._private: dict[tuple[str, str], Record] = {}
        self._shared: dict[tuple[str, str], Record] = {}
        self._recorded = _recorded_answers() if limits.recorded else {}
        bill.open(NAME, limits.credit, "credits")

    def config(self, base: str) -> dict[str, str]:
        """The provider block that points here."""
        return {
            "kind": KIND,
            "base_url": f"{base}/{NAME}/apiv2",
            "allow_private": "true",
            "api_key": KEY,
            "api_secret": SECRET,
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        asked = await _asked(request)
        with self._connection() as admitted:
            throttled = not admitted or self._too_fast()
            method = request.match_info.get("rest", "").removeprefix("apiv2/")
            answer = self._refuse(TOO_MANY) if throttled else self._answer(method, asked)
            return await self._delivery.deliver(request, answer)

    @contextmanager
    def _connection(self) -> Iterator[bool]:
        """Is this one within the connections that the account may hold?"""
        self._connections += 1
        try:
            yield self._limits.max_connections == 0 or self._connections <= self._limits.max_connections
        finally:
            self._connections -= 1

    def _too_fast(self) -> bool:
        """Is this one refused, of more than `max_per_second` within the last second?"""
        now = asyncio.get_running_loop().time()
        too_fast = 0 < self._limits.max_per_second == len(self._recent) and now - self._recent[0] < 1
        self._recent.append(now)
        return too_fast and self._dice.random() < 0.5

    def _answer(self, method: str, asked: Mapping[str, Any]) -> Answer:
        if method not in {*PRICES, "balance"}:
            return self._refuse(Answer.of("Not Found", 404))
        if (asked.get("api_key"), asked.get("api_secret")) != (KEY, SECRET):
            body = {"error": "UNAUTHORIZED", "message": "Invalid api_key or api_secret"}
            return self._refuse(self._json(body, self._limits.unauthorized_status))
        if method == "balance":
            return self._refuse(_answer({"Status": "OK", "Credits": plain(self._balance)}), "balance")
        items = _items(asked)
        if not 0 < len(items) <= self._limits.max_numbers:
            return self._refuse(self._json({"error": "BAD_REQUEST"}, 400))
        return self._look_up(items, method)

    def _look_up(self, items: Sequence[Mapping[str, Any]], method: str) -> Answer:
        numbers = [digits_of(item) for item in items]
        scenarios = [Scenario.of(number) for number in numbers]
        slow = Scenario.SLOW in scenarios or any(number.startswith(SLOW_COUNTRY) for number in numbers)
        recorded = self._recorded.get(numbers[0]) if len(numbers) == 1 else None
        if recorded is not None:
            self._bill.book(NAME, numbers, "answered", PRICES[method] if recorded.status == 200 else Decimal(0))
            return recorded
        if refusal := self._refusal(numbers, scenarios):
            return self._refuse(refusal, numbers=numbers)
        results, charged = self._results(items, method)
        self._bill.book(NAME, numbers, "answered", charged)
        ending = next((ENDINGS[scenario] for scenario in scenarios if scenario in ENDINGS), Ending.COMPLETE)
        return self._json({"results": results}, delay_s=self._delivery.faults.slow_s if slow else 0.0, ending=ending)

    def _refusal(self, numbers: Sequence[str], scenarios: Sequence[Scenario]) -> Answer | None:
        """Of a request for which nothing is done."""
        if self._delivery.breaks():
            return REFUSALS[Scenario.HTTP_500]
        if any(number.startswith(SLOW_COUNTRY) for number in numbers) and self._dice.random() < 0.5:
            return TOO_MANY
        return next((REFUSALS[scenario] for scenario in scenarios if scenario in REFUSALS), None)

    def _results(self, items: Sequence[Mapping[str, Any]], method: str) -> tuple[list[Record], Decimal]:
        """One result a number, in the order of the request, and what they cost together."""
        results, charged = [], Decimal(0)
        for item in items:
            found = self._testing_suite(item, method) if self._limits.testing else self._one(item, method, charged)
            charged += Decimal(0) if self._limits.testing else Decimal(str(found["credits_spent"]))
            scenario = Scenario.of(digits_of(item))
            results += [distorted(found, scenario)] * (2 if scenario is Scenario.DUPLICATE else 1)
        return results, charged

    def _one(self, item: Mapping[str, Any], method: str, spent: Decimal) -> Record:
        """Out of a cache where that is accepted, else looked up, as long as the credit lasts."""
        key = (method, digits_of(item))
        if item.get("cache_days_private") and key in self._private:
            return from_cache(self._private[key], item, Decimal(0))
        if item.get("cache_days_global") and key in self._shared:
            return from_cache(self._shared[key], item, Decimal("0.5"))
        found = result(item, method, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        if self._balance - spent < Decimal(str(found["credits_spent"])):
            return no_credit(found)
        if item.get("save_to_cache") != "NO":
            self._private[key] = found
        if item.get("save_to_cache", "YES") == "YES":
            self._shared[key] = found
        return found

    def _testing_suite(self, item: Mapping[str, Any], method: str) -> Record:
        number = digits_of(item)
        nearest = min(CANNED, key=lambda canned: abs(int(canned) - int(number or 0)))
        return result({**item, "telephone_number": nearest}, method, "2026-01-01T00:00:00Z")

    @property
    def _balance(self) -> Decimal:
        return self._bill.accounts[NAME].balance

    def _refuse(self, answer: Answer, why: str = "", numbers: Sequence[str] = ()) -> Answer:
        self._bill.book(NAME, numbers, why or f"HTTP {answer.status}")
        return answer

    def _json(self, body: Record, status: int = 200, delay_s: float = 0.0, ending: Ending = Ending.COMPLETE) -> Answer:
        return _answer({"body": body} if self._limits.wrapped else body, status, delay_s, ending)


def _items(asked: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The numbers that are asked for; none when one of them makes no sense."""
    items = asked.get("requests")
    understood = isinstance(items, list) and all(isinstance(i, dict) and i.get("telephone_number") for i in items)
    return items if understood and isinstance(items, list) else ()


async def _asked(request: web.Request) -> Mapping[str, Any]:
    """JSON for a batch, or a form for one number; empty for what is neither."""
    if request.content_type == "application/x-www-form-urlencoded":
        form = dict(await request.post())
        return {**form, "requests": [form]}
    try:
        return msgspec.json.decode(await request.read(), type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def _answer(body: Record, status: int = 200, delay_s: float = 0.0, ending: Ending = Ending.COMPLETE) -> Answer:
    """Broken off in its middle, when it is."""
    data = msgspec.json.encode(body)
    piece = Piece(data if ending is Ending.COMPLETE else data[: len(data) // 2], delay_s)
    return Answer((piece,), "application/json", status, ending=ending)


def _recorded_answers() -> dict[str, Answer]:
    """By number, what the recordings of single numbers hold."""
    answers: dict[str, Answer] = {}
    for recording in recordings.load(KIND).values():
        if recording.number:
            response = recording.exchange[-1].response
            pieces = tuple(map(Piece, response.pieces))
            answers[recording.number.removeprefix("+")] = Answer(
                pieces, "application/json", response.status, response.headers
            )
    return answers
