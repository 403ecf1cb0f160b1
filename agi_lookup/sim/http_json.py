"""A simulated vendor for each preset of `http_json`, under `/http_json/<preset>`: one account for all, a credit a number.

What the vendors' pages leave open is decided here: a number that was answered is charged, whatever the answer; a refused request
is not. The time of a signature is not checked, so that a test's clock may stand.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
from aiohttp import web

from agi_lookup.sim import http_json_shapes as shapes
from agi_lookup.sim import recordings
from agi_lookup.sim.bill import Bill
from agi_lookup.sim.delivery import Answer, Delivery, Ending, Piece
from agi_lookup.sim.http_json_shapes import Reply, Shape
from agi_lookup.sim.scenarios import Scenario

NAME: Final = "http_json"
ACCOUNT: Final = "sim-account"
SECRET: Final = "sim-secret"  # noqa: S105
PRICE: Final = Decimal(1)
Preset: TypeAlias = Literal[
    "twilio_lookup_v2", "telnyx", "vonage_number_insight", "infobip", "hlr_lookups_com", "bulkvs_lrn"
]  # fmt: skip

BASIC: Final = f"Basic {base64.b64encode(f'{ACCOUNT}:{SECRET}'.encode()).decode()}"
ENDINGS: Final = {Scenario.NEVER_ANSWERS: Ending.NEVER_STARTS, Scenario.CUT_OFF: Ending.CUT_OFF}
BROKEN: Final = {
    Scenario.HTTP_500: Answer.of("Internal Server Error", 500),
    Scenario.HTTP_429: Answer.of("Too Many Requests", 429, Retry_After="1"),
}


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of the account."""

    credit: Decimal = Decimal(1_000_000)
    recorded: bool = False  # a number that was recorded gets the recorded reply
    preset: Preset = "hlr_lookups_com"  # which vendor the printed config shows


class Asked(NamedTuple):
    """A request; `path` is below the preset's."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Face(NamedTuple):
    """One vendor: where its number stands, how it knows its customers, what it says."""

    number: Callable[[Asked], str]  # digits, or "" when there is none
    knows: Callable[[Asked], bool]
    shape: Shape
    refused: Reply
    no_credit: Reply
    has_account: bool = True


def _in_path(before: str) -> Callable[[Asked], str]:
    return lambda asked: asked.path.removeprefix(before).removeprefix("+") if asked.path.startswith(before) else ""


def _to(asked: Asked) -> str:
    body = asked.json
    listed = body.get("to") if isinstance(body, dict) and asked.path == "/number/1/query" else None
    return str(listed[0]) if isinstance(listed, list) and len(listed) == 1 else ""


def _msisdn(asked: Asked) -> str:
    body = asked.json
    return (
        str(body.get("msisdn", "")).removeprefix("+") if isinstance(body, dict) and asked.path == "/hlr-lookup" else ""
    )


def _is_signed(asked: Asked) -> bool:
    message = f"{asked.path}{asked.headers.get('X-Digest-Timestamp', '')}{asked.method}".encode() + asked.body
    ours = hmac.new(SECRET.encode(), message, "sha256").hexdigest()
    return asked.headers.get("X-Digest-Key") == ACCOUNT and asked.headers.get("X-Digest-Signature") == ours


def _says(value: str) -> Callable[[Asked], bool]:
    return lambda asked: asked.headers.get("Authorization") == value


def _telnyx_error(code: str) -> Any:
    return {"errors": [{"code": code, "title": "refused", "detail": "refused"}]}


FACES: Final[Mapping[str, Face]] = {
    "twilio_lookup_v2": Face(
        _in_path("/PhoneNumbers/"), _says(BASIC), shapes.twilio,
        refused=(401, {"code": 20003, "message": "Authenticate", "status": 401}),
        no_credit=(402, {"code": 20005, "message": "refused", "status": 402}),
    ),
    "telnyx": Face(
        _in_path("/number_lookup/"), _says(f"Bearer {SECRET}"), shapes.telnyx,
        refused=(401, _telnyx_error("10009")), no_credit=(402, _telnyx_error("20100")), has_account=False,
    ),
    "vonage_number_insight": Face(
        lambda asked: asked.query.get("number", "") if asked.path == "/advanced/json" else "", _says(BASIC), shapes.vonage,
        refused=(200, {"status": 4, "error_text": "Bad Credentials"}),
        no_credit=(200, {"status": 9, "error_text": "Partner quota exceeded"}),
    ),
    "infobip": Face(
        _to, _says(f"App {SECRET}"), shapes.infobip,
        refused=(401, shapes.infobip_refusal("UNAUTHORIZED")),
        no_credit=(200, {"results": [{"status": shapes.rejected("REJECTED_NOT_ENOUGH_CREDITS")}]}), has_account=False,
    ),
    "hlr_lookups_com": Face(
        _msisdn, _is_signed, shapes.hlr_lookups,
        refused=(401, {"success": False, "errors": [{"code": 1000, "message": "Invalid digest signature"}]}),
        no_credit=(402, {"success": False, "errors": [{"code": 1402, "message": "refused"}]}),
    ),
    "bulkvs_lrn": Face(
        lambda asked: f"1{asked.query['did']}" if "did" in asked.query else "",
        lambda asked: asked.query.get("id") == SECRET, shapes.bulkvs,
        refused=(403, {}), no_credit=(402, {}), has_account=False,
    ),
}  # fmt: skip
"""By preset."""


class Vendor:
    """One account, known to all of them."""

    name = NAME

    def __init__(self, limits: Limits, bill: Bill, delivery: Delivery) -> None:
        self._limits = limits
        self._bill = bill
        self._delivery = delivery
        self._recorded = _recorded_answers() if limits.recorded else {}
        bill.open(NAME, limits.credit, "credits")

    def config(self, base: str) -> dict[str, str]:
        """The provider block that points here, of one preset; the others differ in preset, base_url and account."""
        preset = self._limits.preset
        account = {"account": ACCOUNT} if FACES[preset].has_account else {}
        return {
            "kind": "http_json",
            "preset": preset,
            "base_url": f"{base}/{NAME}/{preset}",
            "allow_private": "true",
            **account,
            "secret": SECRET,
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        preset, _, path = request.match_info.get("rest", "").partition("/")
        asked = Asked(request.method, f"/{path}", request.query, request.headers, await request.read())
        answer = self._answer(preset, FACES[preset], asked) if preset in FACES else Answer.of("Not Found", 404)
        return await self._delivery.deliver(request, answer)

    def _answer(self, preset: str, face: Face, asked: Asked) -> Answer:
        number = face.number(asked)
        if not face.knows(asked):
            return self._refuse(_said(face.refused), "refused")
        if not number:
            return self._refuse(Answer.of("Bad Request", 400), "no number")
        scenario = Scenario.of(number)
        recorded = self._recorded.get((preset, number))
        if recorded is None and (broken := self._broken(scenario)):
            return self._refuse(broken, broken.pieces[0].data.decode(), number)
        if self._bill.accounts[NAME].balance < PRICE:
            return self._refuse(_said(face.no_credit), "no credit", number)
        answer = recorded or self._found(face.shape(number, scenario), scenario)
        charged = PRICE if answer.status == 200 and scenario is not Scenario.RATE_LIMITED else Decimal(0)
        self._bill.book(NAME, [number], "answered" if charged else "refused", charged)
        return answer

    def _broken(self, scenario: Scenario) -> Answer | None:
        return BROKEN[Scenario.HTTP_500] if self._delivery.breaks() else BROKEN.get(scenario)

    def _found(self, reply: Reply, scenario: Scenario) -> Answer:
        delay_s = self._delivery.faults.slow_s if scenario is Scenario.SLOW else 0.0
        return _said(reply, delay_s, ENDINGS.get(scenario, Ending.COMPLETE))

    def _refuse(self, answer: Answer, word: str, *numbers: str) -> Answer:
        self._bill.book(NAME, numbers, word)
        return answer


def _said(reply: Reply, delay_s: float = 0.0, ending: Ending = Ending.COMPLETE) -> Answer:
    status, body = reply
    text = json.dumps(body).encode()
    shown = text[: len(text) // 2] if ending is Ending.CUT_OFF else text
    return Answer((Piece(shown, delay_s),), "application/json", status, ending=ending)


def _recorded_answers() -> dict[tuple[str, str], Answer]:
    """By preset and number, what the recordings hold."""
    answers: dict[tuple[str, str], Answer] = {}
    for recording in recordings.load(NAME).values():
        response = recording.exchange[-1].response
        pieces = tuple(Piece(data) for data in response.pieces)
        answer = Answer(pieces, "application/json", response.status, response.headers)
        answers[recording.options["preset"], recording.number.removeprefix("+")] = answer
    return answers
