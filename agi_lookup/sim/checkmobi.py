"""A simulated CheckMobi, v1: one number at once by GET, up to 1,000 by POST with several signed callbacks.

API: https://checkmobi.com/documentation/api-reference. What the page leaves open is decided here: most errors come with HTTP 400, a
signature is hex unless the limits say base64, and the credit is looked at for each part of a batch. The prices are invented.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from aiohttp import web

from agi_lookup.sim import recordings
from agi_lookup.sim.bill import Bill
from agi_lookup.sim.callbacks import Callback, Callbacks, is_this_machine
from agi_lookup.sim.checkmobi_records import Record, is_paid, record
from agi_lookup.sim.delivery import Answer, Delivery, Ending, Piece
from agi_lookup.sim.scenarios import Scenario

KIND: Final = "checkmobi"
NAME: Final = "checkmobi"
SECRET_KEY: Final = "sim-secret-key"  # noqa: S105
SIGNATURE_KEY: Final = "sim-signature-key"
PRICES: Final = {"hlr": Decimal("0.006"), "mnp": Decimal("0.003"), "verify": Decimal(0)}
IN_BULK: Final = ("hlr", "mnp")
RETRIES: Final = 3

ERRORS: Final = {
    1: "Invalid or expired API secret key.",
    2: "Invalid phone number. Phone number should be provided into E.164 format.",
    5: "Insufficient funds.",
    7: "Invalid request payload.",
    9: "Invalid notification URL: this simulator posts to its own machine only.",
    11: "This operation is currently disabled for your account.",
    14: "Number temporary blocked because of too many attempts.",
    17: "Invalid lookup method.",
}
REFUSALS: Final = {
    Scenario.HTTP_500: Answer.of("Internal Server Error", 500),
    Scenario.HTTP_429: Answer.of("Too Many Requests", 429, Retry_After="1"),
}
"""One such number spoils the whole request. The page knows no 429; whatever stands before a server does."""
ENDINGS: Final = {Scenario.NEVER_ANSWERS: Ending.NEVER_STARTS, Scenario.CUT_OFF: Ending.CUT_OFF}


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of the account, and how its callbacks go."""

    credit: Decimal = Decimal(1_000)
    max_numbers: int = 1000
    disabled: bool = False  # whatever it asks for is refused
    callback_numbers: Annotated[int, msgspec.Meta(ge=1)] = 2  # in one callback
    callback_delay_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    callback_copies: Annotated[int, msgspec.Meta(ge=1)] = 1
    signature: Literal["hex", "base64"] = "hex"
    prefix_as_text: bool = False  # the calling code as the page's table has it; else as its examples do
    recorded: bool = False  # a number that was recorded gets the recorded reply


class Order(msgspec.Struct, frozen=True):
    """What is posted for a batch."""

    numbers: list[str]
    notification_callback: str


class Vendor:
    """One account at the simulated vendor."""

    name = NAME

    def __init__(self, limits: Limits, bill: Bill, delivery: Delivery) -> None:
        self._limits = limits
        self._bill = bill
        self._delivery = delivery
        self._callbacks = Callbacks(NAME, bill, retries=RETRIES)
        self._recorded = _recorded_answers() if limits.recorded else {}
        bill.open(NAME, limits.credit, "USD")

    def config(self, base: str) -> dict[str, str]:
        """The provider block that points here. Batches need a webhook too."""
        return {
            "kind": KIND, "base_url": f"{base}/{NAME}/v1", "allow_private": "true", "secret_key": SECRET_KEY,
            "signature_key": SIGNATURE_KEY,
        }  # fmt: skip

    async def handle(self, request: web.Request) -> web.StreamResponse:
        return await self._delivery.deliver(request, self._answer(request, await request.read()))

    async def close(self) -> None:
        await self._callbacks.close()

    def _answer(self, request: web.Request, body: bytes) -> Answer:
        if request.headers.get("Authorization") != SECRET_KEY:
            return self._refuse(1, status=401)
        match request.method, request.match_info.get("rest", "").split("/"):
            case "GET", ["v1", "my-account"]:
                return self._say("account", _json({"email": "sim@example.com", "credit_balance": float(self._balance)}))
            case "GET", ["v1", "lookup", method, number]:
                return self._look_up(method, bare(number))
            case "POST", ["v1", "lookup", method]:
                return self._take(method, body if request.content_type == "application/json" else b"")
        return self._say("not found", Answer.of("Not Found", 404))

    def _look_up(self, method: str, number: str) -> Answer:
        if (recorded := self._recorded.get((method, number))) is not None:
            return self._say("recorded", recorded, [number])
        if (refusal := self._refusal(method, [number])) is not None:
            return refusal
        scenario = Scenario.of(number)
        if not is_number(number):
            return self._refuse(2, [number])
        if scenario is Scenario.RATE_LIMITED:
            return self._refuse(14, [number])
        cost = self._cost(method, number)
        if self._balance < cost:
            return self._refuse(5, [number])
        self._bill.book(NAME, [number], "answered", cost)
        delay_s = self._delivery.faults.slow_s if scenario is Scenario.SLOW else 0.0
        return _json(self._record(method, number), delay_s=delay_s, ending=ENDINGS.get(scenario))

    def _take(self, method: str, body: bytes) -> Answer:
        """A batch: acknowledged at once, reported by callbacks."""
        try:
            order = msgspec.json.decode(body, type=Order)
        except msgspec.MsgspecError:
            return self._refuse(7)
        if not 0 < len(order.numbers) <= self._limits.max_numbers:
            return self._refuse(7)
        if not is_this_machine(order.notification_callback):
            return self._refuse(9)
        refusal = self._refusal(method if method in IN_BULK else "", list(map(bare, order.numbers)))
        if refusal is not None:
            return refusal
        rejected = [sent for sent in order.numbers if not qualifies(bare(sent))]
        accepted = [sent for sent in order.numbers if qualifies(bare(sent))]
        self._work(method, accepted, order.notification_callback)
        return _json({
            "total_count": len(order.numbers),
            "accepted_count": len(accepted),
            "rejected_count": len(rejected),
            "rejected": rejected,
            "notification_callback": order.notification_callback,
        })  # fmt: skip

    def _work(self, method: str, accepted: Sequence[str], url: str) -> None:
        charged = Decimal(0)
        for start in range(0, len(accepted), self._limits.callback_numbers):
            part = accepted[start : start + self._limits.callback_numbers]
            cost = sum((self._cost(method, bare(sent)) for sent in part), Decimal(0))
            affordable = charged + cost <= self._balance
            charged += cost if affordable else 0
            for notice, about in self._notices(method, part, affordable=affordable):
                self._call_back(url, notice, about)
        self._bill.book(NAME, [bare(sent) for sent in accepted], "accepted", charged)

    def _notices(
        self, method: str, part: Sequence[str], *, affordable: bool
    ) -> Iterator[tuple[Mapping[str, object], Sequence[str]]]:
        """What is told of a part of a batch, and of which numbers."""
        if not affordable:
            yield _failed(method, 5, part), part
            return
        scenarios = {sent: Scenario.of(bare(sent)) for sent in part}
        blocked = [sent for sent in part if scenarios[sent] is Scenario.RATE_LIMITED]
        told = [sent for sent in part if scenarios[sent] not in {Scenario.RATE_LIMITED, Scenario.NEVER_ANSWERS}]
        if blocked:
            yield _failed(method, 14, blocked), blocked
        if told:
            twice = [sent for sent in told if scenarios[sent] is Scenario.DUPLICATE]
            results = [self._record(method, bare(n)) | {"original_msisdn": n} for n in [*told, *twice]]
            yield {"lookup_method": method, "error": None, "results": results}, told

    def _call_back(self, url: str, notice: Mapping[str, object], about: Sequence[str]) -> None:
        numbers = tuple(bare(sent) for sent in about)
        scenarios = {Scenario.of(number) for number in numbers}
        delay_s = self._limits.callback_delay_s
        if Scenario.SLOW in scenarios:
            delay_s += self._delivery.faults.slow_s
        body = json.dumps(notice).encode()
        headers = {"Content-Type": "application/json", "X-CheckMobi-Signature": sign(body, self._limits.signature)}
        sent = body[:-10] if Scenario.CUT_OFF in scenarios else body
        for _ in range(self._limits.callback_copies):
            self._callbacks.post(Callback(url, sent, headers, numbers, delay_s))

    def _refusal(self, method: str, numbers: Sequence[str]) -> Answer | None:
        """What refuses the whole request."""
        if self._limits.disabled:
            return self._refuse(11, numbers, status=403)
        if method not in PRICES:
            return self._refuse(17, numbers)
        scenarios = map(Scenario.of, numbers)
        refusal = next((REFUSALS[scenario] for scenario in scenarios if scenario in REFUSALS), None)
        if self._delivery.breaks():
            refusal = REFUSALS[Scenario.HTTP_500]
        return refusal and self._say(refusal.pieces[0].data.decode(), refusal, numbers)

    def _record(self, method: str, number: str) -> Record:
        return record(method, number, float(self._cost(method, number)), prefix_as_text=self._limits.prefix_as_text)

    @staticmethod
    def _cost(method: str, number: str) -> Decimal:
        return PRICES[method] if is_paid(method, number) else Decimal(0)

    @property
    def _balance(self) -> Decimal:
        return self._bill.accounts[NAME].balance

    def _refuse(self, code: int, numbers: Sequence[str] = (), *, status: int = 400) -> Answer:
        return self._say(f"error {code}", _json({"code": code, "error": ERRORS[code]}, status), numbers)

    def _say(self, result: str, answer: Answer, numbers: Sequence[str] = ()) -> Answer:
        self._bill.book(NAME, numbers, result)
        return answer


def bare(sent: str) -> str:
    """The digits of a number that was sent with or without `+`."""
    return sent.strip().removeprefix("+")


def is_number(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15


def qualifies(digits: str) -> bool:
    return is_number(digits) and Scenario.of(digits) is not Scenario.INVALID


def sign(body: bytes, encoding: str) -> str:
    digest = hmac.digest(SIGNATURE_KEY.encode(), body, "sha256")
    return digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()


def _failed(method: str, code: int, numbers: Sequence[str]) -> Mapping[str, object]:
    error = {"error": code, "description": ERRORS[code], "affected_numbers": list(numbers)}
    return {"lookup_method": method, "error": error, "results": None}


def _json(value: Mapping[str, Any], status: int = 200, *, delay_s: float = 0.0, ending: Ending | None = None) -> Answer:
    body = json.dumps(value).encode()
    pieces = (Piece(body[:-1], delay_s),) if ending else (Piece(body, delay_s),)
    return Answer(pieces, "application/json", status, ending=ending or Ending.COMPLETE)


def _recorded_answers() -> dict[tuple[str, str], Answer]:
    """By method and number, what the recordings of single numbers hold."""
    answers: dict[tuple[str, str], Answer] = {}
    for recording in recordings.load(KIND).values():
        if recording.is_lookup and recording.number:
            method, number = recording.exchange[-1].request.url.split("/")[-2:]
            response = recording.exchange[-1].response
            pieces = tuple(Piece(data) for data in response.pieces)
            answers[method, number] = Answer(pieces, "application/json", response.status, response.headers)
    return answers
