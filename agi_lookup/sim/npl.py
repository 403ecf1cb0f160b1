"""A simulated Number Portability Lookup, v3.31: text errors with HTTP 200, JSON all in strings, one record a number.

API: https://www.numberportabilitylookup.com/api. What the page leaves open is decided here as our provider would meet it worst:
records stream one by one, and a number that could not be looked up is charged like any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Final

import msgspec
from aiohttp import web

from agi_lookup.sim import recordings
from agi_lookup.sim.bill import Bill
from agi_lookup.sim.delivery import Answer, Delivery, Ending, Piece
from agi_lookup.sim.npl_records import Record, record
from agi_lookup.sim.scenarios import Scenario

KIND: Final = "numberportabilitylookup"
NAME: Final = "npl"
USER: Final = "sim-user"
PASSWORD: Final = "sim-pass"  # noqa: S105
PRICE: Final = Decimal("1.00")
PRICE_WITH_MSC: Final = Decimal("1.20")

REFUSALS: Final = {
    Scenario.RATE_LIMITED: Answer.of("ERR RATE_LIMIT_EXCEEDED"),
    Scenario.HTTP_500: Answer.of("Internal Server Error", 500),
    Scenario.HTTP_429: Answer.of("Too Many Requests", 429, Retry_After="1"),
}
"""One such number spoils the whole request."""
ENDINGS: Final = {Scenario.NEVER_ANSWERS: Ending.NEVER_STARTS, Scenario.CUT_OFF: Ending.CUT_OFF}


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of the account. The page gives 10 and 100 numbers, 1 and 5 connections; 0 connections is no limit."""

    max_numbers: int = 100
    max_connections: int = 5
    credit: Decimal = Decimal(1_000_000)
    recorded: bool = False  # a number that was recorded gets the recorded reply


class Vendor:
    """One account at the simulated vendor."""

    name = NAME

    def __init__(self, limits: Limits, bill: Bill, delivery: Delivery) -> None:
        self._limits = limits
        self._bill = bill
        self._delivery = delivery
        self._connections = 0
        self._recorded = _recorded_answers() if limits.recorded else {}
        bill.open(NAME, limits.credit, "credits")

    def config(self, base: str) -> dict[str, str]:
        """The provider block that points here."""
        return {"kind": KIND, "base_url": f"{base}/{NAME}", "allow_private": "true", "user": USER, "password": PASSWORD}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """GET and POST alike."""
        asked = {**request.query, **{k: v for k, v in (await request.post()).items() if isinstance(v, str)}}
        with self._connection() as admitted:
            answer = self._answer(asked) if admitted else self._say("ERR RATE_LIMIT_EXCEEDED")
            return await self._delivery.deliver(request, answer)

    @contextmanager
    def _connection(self) -> Iterator[bool]:
        """Is this one within the connections that the account may hold?"""
        self._connections += 1
        try:
            yield self._limits.max_connections == 0 or self._connections <= self._limits.max_connections
        finally:
            self._connections -= 1

    def _answer(self, asked: Mapping[str, str]) -> Answer:
        if (asked.get("user"), asked.get("pass")) != (USER, PASSWORD):
            return self._say("FAIL Invalid password")
        if asked.get("query") == "balance":
            return self._say(f"{self._balance:.2f}")
        numbers = [n.strip().removeprefix("+") for n in asked.get("msisdn", "").split(",") if n.strip()]
        if not numbers:
            return self._say("No numbers specified")
        if len(numbers) > self._limits.max_numbers:
            return self._say("Request too long", numbers)
        price = PRICE_WITH_MSC if asked.get("msc") == "1" else PRICE
        if self._balance < price * len(numbers):
            return self._say("FAIL Insufficient credit", numbers)
        return self._look_up(numbers, price, as_json=asked.get("format") == "json")

    def _look_up(self, numbers: Sequence[str], price: Decimal, *, as_json: bool) -> Answer:
        scenarios = [Scenario.of(number) for number in numbers]
        refusal = next((REFUSALS[scenario] for scenario in scenarios if scenario in REFUSALS), None)
        if self._delivery.breaks():
            refusal = REFUSALS[Scenario.HTTP_500]
        recorded = self._recorded.get(numbers[0]) if len(numbers) == 1 else None
        if refusal is not None and recorded is None:
            self._bill.book(NAME, numbers, refusal.pieces[0].data.decode())
            return refusal
        before = self._balance
        self._bill.book(NAME, numbers, "answered", price * len(numbers))
        if recorded is not None:
            return recorded
        records = [record(n, price, before - price * (i + 1)) for i, n in enumerate(numbers)]
        delays = [self._delivery.faults.slow_s if s is Scenario.SLOW else 0.0 for s in scenarios]
        ending = next((ENDINGS[scenario] for scenario in scenarios if scenario in ENDINGS), Ending.COMPLETE)
        if as_json:
            return Answer(tuple(_json_pieces(records, delays, ending)), "application/json", ending=ending)
        lines = [_csv(number, found) for number, found in zip(numbers, records, strict=True)]
        return Answer(tuple(map(Piece, lines, delays)), ending=ending)

    @property
    def _balance(self) -> Decimal:
        return self._bill.accounts[NAME].balance

    def _say(self, text: str, numbers: Sequence[str] = ()) -> Answer:
        self._bill.book(NAME, numbers, text)
        return Answer.of(text)


def _json_pieces(records: Sequence[Record], delays: Sequence[float], ending: Ending) -> Iterator[Piece]:
    """A JSON list, record by record, as the results come in."""
    opening = b"["
    for found, delay_s in zip(records, delays, strict=True):
        for shown in [found] * (2 if Scenario.of(str(found["msisdn"])) is Scenario.DUPLICATE else 1):
            yield Piece(opening + json.dumps(shown).encode(), delay_s)
            opening = b","
    if ending is Ending.COMPLETE:
        yield Piece(b"]")


def _csv(number: str, found: Record) -> bytes:
    """The legacy form, v3.31: `msisdn plmn,imsi,msc`; `msisdn ERR27` for a number that failed."""
    if found.get("errorcode") not in {"0", 0, None}:
        return f"{number} ERR{found['errorcode']}\r\n".encode()
    return f"{number} {found.get('plmn') or ''},{found.get('imsi') or ''},{found.get('msc') or ''}\r\n".encode()


def _recorded_answers() -> dict[str, Answer]:
    """By number, what the recordings of single numbers hold. Which of several pieces a reply had is kept."""
    answers: dict[str, Answer] = {}
    for recording in recordings.load(KIND).values():
        if recording.number:
            response = recording.exchange[-1].response
            pieces = tuple(Piece(data) for data in response.pieces)
            answers[recording.number.removeprefix("+")] = Answer(
                pieces, "application/json", response.status, response.headers
            )
    return answers
