"""A simulated SMS Partner, v1: a request is acknowledged and paid at once, what was found is posted to its `notifyUrl` later.

API: https://www.docpartner.dev/en/api/sms-partner/number-verification/send-a-verification. What the page leaves open is decided
here: errors come with HTTP 200 unless the limits say otherwise, a notification is JSON unless they say form, it is posted once, a
number that cannot be one is left out of the count, and too many numbers are error 3.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from agi_lookup.sim import recordings
from agi_lookup.sim.bill import Bill
from agi_lookup.sim.callbacks import Callback, Callbacks, is_this_machine
from agi_lookup.sim.delivery import Answer, Delivery, Ending, Piece
from agi_lookup.sim.scenarios import Scenario
from agi_lookup.sim.smspartner_records import format_check, record

KIND: Final = "smspartner"
NAME: Final = "smspartner"
API_KEY: Final = "sim-key"
WEBHOOK_SECRET: Final = "sim-webhook-secret"  # noqa: S105
PUBLIC_URL: Final = "http://127.0.0.1:8573"
"""Where a server with its default settings takes webhooks."""
PRICE: Final = Decimal("0.005")
MINUTE_S: Final = 60.0
GAP_S: Final = 0.005
"""Between the notifications of one request."""

ERRORS: Final = {
    1: "API Key is required",
    2: "The phone number is required",
    3: "The numbers must be separated by a comma",
    10: "API key invalid",
    11: "Insufficient credit",
    13: "No default price was found for the following numbers",
    99: "This simulator posts to its own machine only",
}
TOO_MANY: Final = Answer.of("Too Many Requests", 429)
REFUSALS: Final = {
    Scenario.RATE_LIMITED: TOO_MANY,
    Scenario.HTTP_500: Answer.of("Internal Server Error", 500),
    Scenario.HTTP_429: Answer.of("Too Many Requests", 429, Retry_After="1"),
}
"""One such number spoils the whole request, as one without a price does."""
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
JSON: Final = {"Content-Type": "application/json"}


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of the account, and how its notifications go."""

    credit: Decimal = Decimal(100)
    max_numbers: int = 500
    per_minute: int = 360
    error_status: int = 200
    encoding: Literal["json", "form", "list"] = "json"  # list: all of a request in one notification
    notice_delay_s: Annotated[float, msgspec.Meta(ge=0)] = 0.05
    notice_copies: Annotated[int, msgspec.Meta(ge=0)] = 1  # 0: none ever comes
    newest_first: bool = False  # the last number of a request is spoken of first
    retries: Annotated[int, msgspec.Meta(ge=0)] = 0  # where a notification is not taken
    recorded: bool = False  # a number that was recorded gets the recorded notification


class Vendor:
    """One account at the simulated vendor."""

    name = NAME

    def __init__(self, limits: Limits, bill: Bill, delivery: Delivery) -> None:
        self._limits = limits
        self._bill = bill
        self._delivery = delivery
        self._callbacks = Callbacks(NAME, bill, retries=limits.retries)
        self._lately: deque[float] = deque()  # when requests came, loop seconds
        self._serial = itertools.count(1)
        self._recorded = _recorded_notices() if limits.recorded else {}
        bill.open(NAME, limits.credit, "EUR")

    def config(self, base: str) -> dict[str, str]:
        """The provider block that points here, of a server with its default settings."""
        return {
            "kind": KIND, "base_url": f"{base}/{NAME}/v1", "allow_private": "true", "api_key": API_KEY,
            "public_url": PUBLIC_URL, "webhook_secret": WEBHOOK_SECRET,
        }  # fmt: skip

    async def handle(self, request: web.Request) -> web.StreamResponse:
        return await self._delivery.deliver(request, self._answer(request, await request.read()))

    async def close(self) -> None:
        await self._callbacks.close()

    def _answer(self, request: web.Request, body: bytes) -> Answer:
        match request.method, request.match_info.get("rest", ""):
            case "GET", "v1/me":
                asked: Mapping[str, Any] = request.query
                return self._wrong_key(asked) or self._say("balance", _json(self._account()))
            case "POST", "v1/hlr/notify":
                return self._limited() or self._submit(_object(body))
            case "POST", "v1/lookup":
                return self._limited() or self._check_formats(_object(body))
        return self._say("not found", Answer.of("Not Found", 404))

    def _limited(self) -> Answer | None:
        now = asyncio.get_running_loop().time()
        while self._lately and self._lately[0] <= now - MINUTE_S:
            self._lately.popleft()
        if len(self._lately) >= self._limits.per_minute:
            return self._say("429", TOO_MANY)
        self._lately.append(now)
        return None

    def _wrong_key(self, asked: Mapping[str, Any]) -> Answer | None:
        if not asked.get("apiKey"):
            return self._refuse(1)
        return None if asked["apiKey"] == API_KEY else self._refuse(10)

    def _unfit(self, asked: Mapping[str, Any]) -> Answer | None:
        """What is wrong with the request's form."""
        numbers = asked.get("phoneNumbers")
        if (refusal := self._wrong_key(asked)) is not None:
            return refusal
        if not numbers:
            return self._refuse(2)
        if not isinstance(numbers, str) or len(numbers.strip().split()) > 1 or ";" in numbers:
            return self._refuse(3)
        return self._refuse(3) if numbers.count(",") >= self._limits.max_numbers else None

    def _check_formats(self, asked: Mapping[str, Any]) -> Answer:
        if (refusal := self._unfit(asked)) is not None:
            return refusal
        found = [format_check(sent) for sent in asked["phoneNumbers"].split(",")]
        return self._say("formats", _json({"success": True, "code": 200, "lookup": found}))

    def _submit(self, asked: Mapping[str, Any]) -> Answer:
        if (refusal := self._unfit(asked)) is not None:
            return refusal
        url = asked.get("notifyUrl")
        if url and not is_this_machine(str(url)):
            return self._refuse(99)
        numbers = [sent.strip().removeprefix("+") for sent in asked["phoneNumbers"].split(",")]
        scenarios = {number: Scenario.of(number) for number in numbers}
        accepted = [number for number in numbers if scenarios[number] is not Scenario.INVALID]
        cost = PRICE * len(accepted)
        if (spoilt := self._spoilt(numbers, set(scenarios.values()))) is not None:
            return spoilt
        if self._balance < cost:
            return self._refuse(11, numbers)
        self._bill.book(NAME, accepted, "accepted", cost)
        if url:
            self._announce(str(url), [n for n in accepted if scenarios[n] is not Scenario.NEVER_ANSWERS])
        cut_off = Scenario.CUT_OFF in scenarios.values()
        return _json(self._acknowledgement(len(accepted), cost), ending=Ending.CUT_OFF if cut_off else Ending.COMPLETE)

    def _spoilt(self, numbers: Sequence[str], scenarios: set[Scenario]) -> Answer | None:
        refusal = next((REFUSALS[scenario] for scenario in scenarios if scenario in REFUSALS), None)
        if self._delivery.breaks():
            refusal = REFUSALS[Scenario.HTTP_500]
        if refusal is not None:
            return self._say(str(refusal.status), refusal, numbers)
        return self._refuse(13, numbers) if Scenario.NO_COVERAGE in scenarios else None

    def _acknowledgement(self, accepted: int, cost: Decimal) -> Mapping[str, Any]:
        return {
            "success": True,
            "code": 200,
            "campaign_id": f"HLR{next(self._serial):06}",
            "number": accepted,
            "cost": float(cost),
            "currency": "EUR",
        }

    def _announce(self, url: str, numbers: Sequence[str]) -> None:
        """The notifications of one request, on their way."""
        order = list(reversed(numbers)) if self._limits.newest_first else numbers
        parts = [order] if self._limits.encoding == "list" and order else [[number] for number in order]
        for place, part in enumerate(parts):
            scenarios = {Scenario.of(number) for number in part}
            delay_s = self._limits.notice_delay_s + place * GAP_S
            if Scenario.SLOW in scenarios:
                delay_s += self._delivery.faults.slow_s
            headers, body = self._notice(part)
            copies = self._limits.notice_copies * (2 if Scenario.DUPLICATE in scenarios else 1)
            for _ in range(copies):
                self._callbacks.post(Callback(url, body, headers, tuple(part), delay_s))

    def _notice(self, numbers: Sequence[str]) -> tuple[Mapping[str, str], bytes]:
        if len(numbers) == 1 and (recorded := self._recorded.get(numbers[0])) is not None:
            return recorded.headers, recorded.body
        found = [record(number, f"5eed-{next(self._serial):08}", time.time()) for number in numbers]
        match self._limits.encoding:
            case "form":
                return FORM, urlencode({key: _field(value) for key, value in found[0].items()}).encode()
            case "list":
                return JSON, json.dumps(found).encode()
        return JSON, json.dumps(found[0]).encode()

    def _account(self) -> Mapping[str, Any]:
        left = str(self._balance)
        credit = {"creditSms": 0, "creditSmsECO": 0, "creditHlr": int(self._balance / PRICE), "toSend": 0}
        user = {"username": "sim@example.com", "firstname": "Sim", "lastname": "Ulated"}
        return {
            "success": True,
            "code": 200,
            "user": user,
            "credits": {**credit, "solde": left, "currency": "EUR", "balance": left},
        }

    @property
    def _balance(self) -> Decimal:
        return self._bill.accounts[NAME].balance

    def _refuse(self, code: int, numbers: Sequence[str] = ()) -> Answer:
        body = {"success": False, "code": code, "message": ERRORS[code]}
        return self._say(f"error {code}", _json(body, self._limits.error_status), numbers)

    def _say(self, result: str, answer: Answer, numbers: Sequence[str] = ()) -> Answer:
        self._bill.book(NAME, numbers, result)
        return answer


def _object(body: bytes) -> Mapping[str, Any]:
    """Whatever the header calls it: half of the page's samples send JSON without saying so."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def _field(value: object) -> str:
    """As PHP would write it."""
    if value is None or value is False:
        return ""
    return "1" if value is True else str(value)


def _json(value: Mapping[str, Any], status: int = 200, *, ending: Ending = Ending.COMPLETE) -> Answer:
    body = json.dumps(value).encode()
    piece = Piece(body if ending is Ending.COMPLETE else body[:-1])
    return Answer((piece,), "application/json", status, ending=ending)


def _recorded_notices() -> dict[str, recordings.Posted]:
    """By number, the notices that were recorded of single numbers."""
    found = recordings.load(KIND).values()
    return {r.number.removeprefix("+"): r.notice for r in found if r.notice is not None and r.number}
