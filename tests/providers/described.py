"""A vendor described in a test: what it is sent, and what is made of its replies."""

from __future__ import annotations

import json
from typing import Any

from agi_lookup.domain.errors import ProviderError
from agi_lookup.domain.model import Identity, Liveness, LookupAnswer, Number
from agi_lookup.providers.base import HttpReply, HttpRequest, NumberResult
from agi_lookup.providers.http_json import Options, Provider
from tests.providers.replay import NOW, outcomes, split

NUMBER = "+447700900123"
CARRIER = {"carrier": "carrier"}
HLR = {"method": "hlr", "reachable": "reachable"}
ODD: list[Any] = [None, "", " ", "brand_new", [], {}, ["yes"], {"a": True}, -1, 2, 987654, "0.5", "yess", "UNKNOWN"]
"""What is no plain yes and no plain no."""


def options(**block: Any) -> Options:
    return Options.model_validate(
        {"kind": "http_json", "base_url": "https://api.acme.example/api", "answer": CARRIER, **block}
    )


def provider(**block: Any) -> Provider:
    return Provider("acme", options(**block), split)


def request_of(number: str = NUMBER, **block: Any) -> HttpRequest:
    return next(provider(**block).lookup([Number(number)], NOW))


def result(body: object, number: str = NUMBER, status: int = 200, **block: Any) -> NumberResult:
    answer = HttpReply(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())
    return outcomes(provider(**block), [number], [answer])[number]


def answered(body: object, **block: Any) -> LookupAnswer:
    found = result(body, **block)
    assert isinstance(found, LookupAnswer), found
    return found


def identity(body: object, **block: Any) -> Identity:
    return answered(body, **block).identity or Identity()


def liveness(body: object, **block: Any) -> Liveness:
    return answered(body, **block).liveness or Liveness()


def code(body: object, **block: Any) -> str:
    found = result(body, **block)
    assert isinstance(found, ProviderError), found
    return found.code
