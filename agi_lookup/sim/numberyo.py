"""A simulated Numberyo: a check is made and answered by one POST, and can be listed and read once more for nothing.

API: https://www.numberyo.tech/api. What the page leaves open is decided here as our provider would meet it worst: a check that
found nothing or failed is charged like any other. Guesses, after the framework of the vendor's documentation (Laravel): the shapes
of 401, 429 and of a request that is malformed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec
from aiohttp import web

from agi_lookup.sim import recordings
from agi_lookup.sim.bill import Bill
from agi_lookup.sim.delivery import Answer, Delivery, Ending, Piece
from agi_lookup.sim.numberyo_records import Record, hlr_results, verify_results
from agi_lookup.sim.scenarios import Scenario

KIND: Final = "numberyo"
NAME: Final = "numberyo"
TOKEN: Final = "sim-token"  # noqa: S105
PRICE: Final = Decimal("1.00")
PAGE: Final = 10
"""Checks on a page of the list."""
MAX_CHECKS: Final = 10_000
ENDINGS: Final = {Scenario.NEVER_ANSWERS: Ending.NEVER_STARTS, Scenario.CUT_OFF: Ending.CUT_OFF}


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of the account. No rate is documented: 0 is none."""

    max_per_minute: int = 0
    credit: Decimal = Decimal(1_000_000)
    result_age_s: int = 0  # results may be older than the check that they come with
    recorded: bool = False  # a number that was recorded gets the recorded reply


class Order(msgspec.Struct, frozen=True):
    """What a new check must say."""

    phone_number: str
    type: str


@dataclass(frozen=True, slots=True)
class Check:
    id: int
    type: Literal["HLR", "Verify"]
    created_at: float
    results: list[Record]

    def told_again(self) -> Record:
        return {"type": self.type, "results": self.results}


class Vendor:
    """One account at the simulated vendor. `handle` serves `/checks` and `/checks/{id}/results` below its path."""

    name = NAME

    def __init__(self, limits: Limits, bill: Bill, delivery: Delivery) -> None:
        self._limits = limits
        self._bill = bill
        self._delivery = delivery
        self._checks: deque[Check] = deque(maxlen=MAX_CHECKS)
        self._asked_at: deque[float] = deque(maxlen=max(1, limits.max_per_minute))
        self._recorded = _recorded_answers() if limits.recorded else {}
        bill.open(NAME, limits.credit, "credits")

    def config(self, base: str) -> dict[str, str]:
        """The provider block that points here."""
        return {"kind": KIND, "base_url": f"{base}/{NAME}", "allow_private": "true", "token": TOKEN}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        return await self._delivery.deliver(request, self._answer(request, await request.read()))

    def _answer(self, request: web.Request, body: bytes) -> Answer:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._refuse(401, {"message": "Unauthenticated."})
        if self._too_often():
            return self._refuse(429, {"message": "Too Many Attempts."}, retry_after_s=60)
        match request.method, request.match_info.get("rest", "").split("/"):
            case "POST", ["checks"]:
                return self._create(body)
            case "GET", ["checks"]:
                return self._list(request.query.get("page", "1"))
            case "GET", ["checks", check_id, "results"]:
                return self._tell_again(check_id)
        return self._refuse(404, {"message": "The route could not be found."})

    def _too_often(self) -> bool:
        """More than `max_per_minute` in the last minute, this one included?"""
        if not self._limits.max_per_minute:
            return False
        now, full = time.monotonic(), len(self._asked_at) == self._limits.max_per_minute
        if full and now - self._asked_at[0] < 60:
            return True
        self._asked_at.append(now)
        return False

    def _create(self, body: bytes) -> Answer:
        try:
            order = msgspec.json.decode(body, type=Order)
        except msgspec.MsgspecError:
            return self._invalid("phone_number", "The phone number field is required.")
        number = order.phone_number.strip().removeprefix("+")
        if number in self._recorded:
            return self._recorded_answer(number)
        if refusal := self._refusal(number, order.type):
            return refusal
        kind: Literal["HLR", "Verify"] = "HLR" if order.type == "HLR" else "Verify"
        self._bill.book(NAME, [number], "answered", PRICE)
        return self._created(number, self._make(number, kind))

    def _refusal(self, number: str, kind: str) -> Answer | None:
        """Of a request for which nothing is done, and nothing charged."""
        scenario = Scenario.of(number)
        if scenario is Scenario.INVALID:
            return self._invalid("phone_number", "The phone number field format is invalid.")
        if kind not in {"HLR", "Verify"}:
            return self._refuse(400, {"message": "Unsupported check type."})
        if scenario is Scenario.HTTP_500 or self._delivery.breaks():
            return self._refuse(500, {"message": "Server Error"}, number)
        if scenario in {Scenario.HTTP_429, Scenario.RATE_LIMITED}:
            return self._refuse(429, {"message": "Too Many Attempts."}, number, retry_after_s=1)
        if self._balance < PRICE:
            text = f"You don't have enough credits to perform this action ({self._balance:.2f} credits)."
            return self._refuse(422, {"status": False, "message": "Error creating check.", "error": text}, number)
        return None

    def _make(self, number: str, kind: Literal["HLR", "Verify"]) -> Check:
        now = time.time()
        observed = _time(now - self._limits.result_age_s, fraction=True)
        results = hlr_results(number, observed) if kind == "HLR" else verify_results(number)
        check = Check(self._checks[-1].id + 1 if self._checks else 1, kind, now, results)
        self._checks.append(check)
        return check

    def _created(self, number: str, check: Check) -> Answer:
        if (scenario := Scenario.of(number)) is Scenario.PARTNER_FAILURE:
            return _json(201, {"status": False, "message": "Error creating check.", "error": "Upstream failure."})
        body = {
            "status": True,
            "message": "Check successfully created.",
            "check": {
                "id": check.id,
                "type": check.type,
                "source": "API",
                "user_cost": f"{PRICE:.2f}",
                "created_at": _time(check.created_at),
            },
            "results": check.told_again(),
        }
        delay_s = self._delivery.faults.slow_s if scenario is Scenario.SLOW else 0.0
        return _json(201, body, delay_s, ENDINGS.get(scenario, Ending.COMPLETE))

    def _list(self, page: str) -> Answer:
        """The newest first, ten to a page."""
        self._bill.book(NAME, (), "listed")
        number = max(1, int(page)) if page.isascii() and page.isdigit() else 1
        newest = list(reversed(self._checks))[(number - 1) * PAGE : number * PAGE]
        checks = [{"id": c.id, "type": c.type, "created_at": _time(c.created_at, fraction=True)} for c in newest]
        pages = max(1, -(-len(self._checks) // PAGE))
        shown = {"current_page": number, "total_pages": pages, "total": len(self._checks)}
        return _json(200, {"checks": checks, "pagination": shown})

    def _tell_again(self, check_id: str) -> Answer:
        check = next((check for check in reversed(self._checks) if str(check.id) == check_id), None)
        if check is None:
            return self._refuse(404, {"message": "Check not found or access denied."})
        self._bill.book(NAME, (), "told again")
        return _json(200, check.told_again())

    def _recorded_answer(self, number: str) -> Answer:
        answer = self._recorded[number]
        self._bill.book(NAME, [number], "answered", PRICE if answer.status == 201 else Decimal(0))
        return answer

    @property
    def _balance(self) -> Decimal:
        return self._bill.accounts[NAME].balance

    def _invalid(self, field: str, text: str) -> Answer:
        return self._refuse(422, {"message": text, "errors": {field: [text]}})

    def _refuse(self, status: int, body: Mapping[str, Any], *numbers: str, retry_after_s: int | None = None) -> Answer:
        self._bill.book(NAME, numbers, f"HTTP {status}")
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        return replace(_json(status, body), headers=headers)


def _json(status: int, body: object, delay_s: float = 0.0, ending: Ending = Ending.COMPLETE) -> Answer:
    """Broken off in its middle, when it is."""
    data = msgspec.json.encode(body)
    whole = ending is Ending.COMPLETE
    return Answer(
        (Piece(data if whole else data[: len(data) // 2], delay_s),), "application/json", status, ending=ending
    )


def _time(seconds: float, *, fraction: bool = False) -> str:
    """The vendor writes times with and without a fraction."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ" if fraction else "%Y-%m-%dT%H:%M:%SZ")


def _recorded_answers() -> dict[str, Answer]:
    """By number, what the recordings of single numbers hold."""
    answers = {}
    for recording in recordings.load(KIND).values():
        if recording.number:
            response = recording.exchange[-1].response
            pieces = tuple(map(Piece, response.pieces))
            answers[recording.number.removeprefix("+")] = Answer(
                pieces, "application/json", response.status, response.headers
            )
    return answers
