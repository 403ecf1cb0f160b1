"""A vendor that is described in config: one request with the number in it, one reply with the facts at named places.

API: what the block says; `preset` names a ready description (`presets/*.yaml`), whose keys the block's own ones override.
Quirk: only `answer.method: hlr` carries liveness. An MNP, LRN or validating vendor cannot know it, whatever it says.
Quirk: one number a request, also of vendors who take many: a call asks for one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from agi_lookup import strict_yaml
from agi_lookup.domain.errors import ProviderError, ProviderProtocolError, ProviderRejected
from agi_lookup.domain.model import Facet, LookupAnswer, Method, Number
from agi_lookup.providers.base import (
    HttpReply,
    HttpRequest,
    Lookup,
    NumberResult,
    PlmnSplit,
    ProviderOptions,
    SecretStr,
)
from agi_lookup.providers.http_json_answer import Answer, Values
from agi_lookup.providers.http_json_auth import Auth, Open, Signed, authorised, problem
from agi_lookup.providers.http_json_reading import Reader, body_of, record_of
from agi_lookup.providers.http_json_request import Request, misplaced
from agi_lookup.providers.http_json_rules import Rule, raise_for_rules
from agi_lookup.providers.replies import Json, raise_for_status, with_cost

PRESETS: Final = files("agi_lookup.providers") / "presets"
E164: Final = re.compile(r"\+[0-9]{7,15}")


@cache
def presets() -> tuple[str, ...]:
    """The names of the ready descriptions."""
    names = (file.name for file in PRESETS.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


@cache
def preset(name: str) -> Mapping[str, Any]:
    """The keys of a ready description; `name` is one of `presets()`."""
    found: Mapping[str, Any] = strict_yaml.loads((PRESETS / f"{name}.yaml").read_text("utf-8"), f"{name}.yaml").data
    return found


def merged(described: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The block's own keys win, at any depth; its `auth` replaces the preset's, its error rules are asked before the preset's."""
    both = {**described, **own}
    for key in described.keys() & own.keys() - {"auth"}:
        if isinstance(described[key], dict) and isinstance(own[key], dict):
            both[key] = merged(described[key], own[key])
    if isinstance(described.get("errors"), list) and isinstance(own.get("errors"), list):
        both["errors"] = [*own["errors"], *described["errors"]]
    return both


class Options(ProviderOptions):
    preset: str | None = Field(default=None, description="a ready description: see agi_lookup/providers/presets")
    base_url: str = ""
    max_batch: int = Field(default=1, ge=1, le=1, description="numbers in one request")
    currency: Literal["EUR", "USD", "credits"] = "credits"
    account: str = Field(default="", description="user, key id or account SID, where the vendor gives one")
    secret: SecretStr = Field(default=SecretStr(""), description="password, token or key")
    auth: Auth = Field(default=Open(), description="how credentials are sent")
    request: Request = Field(default=Request(), repr=False, description="what is sent, with the number in it")
    answer: Answer = Field(default_factory=Answer)  # `_with_preset` has always put one in before
    values: Values = Field(default=Values(), description="what the vendor's words mean")
    errors: tuple[Rule, ...] = Field(default=(), description="what its errors mean; the first that holds decides")

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        name = data.get("preset")
        if name is not None and name not in presets():
            raise _error("preset", f"no such preset; use one of {', '.join(presets())}, or none")
        return {"answer": {}, **merged(preset(name) if name else {}, data)}

    @model_validator(mode="after")
    def _values_have_a_path(self) -> Self:
        for fact in self.values.model_fields_set:
            if getattr(self.answer, fact) is None:
                raise _error("values", f"{fact}: answer.{fact} is missing; say where the word stands, or remove this")
        return self

    @model_validator(mode="after")
    def _credentials_can_be_sent(self) -> Self:
        if at_fault := problem(self.auth, self.account, self.secret.get_secret_value()):
            raise _error(*at_fault)
        if why := misplaced(self.auth, self.request):
            raise _error("auth", why)
        return self


def _error(key: str, message: str) -> ValidationError:
    """One that names its key, as the errors of single fields do."""
    said = PydanticCustomError("value_error", "{message}", {"message": message})
    return ValidationError.from_exception_data("http_json", [InitErrorDetails(type=said, loc=(key,), input=None)])


class Provider:
    """One account at a vendor that the config describes."""

    kind: ClassVar[str] = "http_json"

    def __init__(self, name: str, options: Options, split: PlmnSplit) -> None:
        knows_liveness = options.answer.method is Method.HLR
        self.name = name
        self.currency: str = options.currency
        self.provides = frozenset(Facet) if knows_liveness else frozenset({Facet.IDENTITY})
        self._options = options
        self._split = split

    def lookup(self, numbers: Sequence[Number], now: float) -> Lookup:
        (number,) = numbers
        reply = yield self._request(number.e164, now)
        try:
            found = body_of(reply, self._options.answer)
        except ProviderProtocolError:
            self._raise_for_errors(reply, None, number.e164, now)
            raise
        try:
            self._raise_for_errors(reply, found, number.e164, now)
            return {number.e164: self._result(number.e164, found, now)}
        except ProviderError as error:
            failure = error
        raise with_cost(failure, self._cost(number.e164, found))

    def _request(self, e164: str, now: float) -> HttpRequest:
        if not E164.fullmatch(e164):
            raise ProviderRejected("no E.164 number")
        options = self._options
        is_signed = isinstance(options.auth, Signed)
        request, path = options.request.for_number(e164, options.base_url, raw=is_signed)
        return authorised(request, path, options.auth, options.account, options.secret.get_secret_value(), now)

    def _raise_for_errors(self, reply: HttpReply, found: Json, e164: str, now: float) -> None:
        """The vendor's own errors come before the status: some say "no credit" in a 422, or "wrong key" in a 200."""
        raise_for_rules(self._options.errors, reply, found, e164, now)
        raise_for_status(reply, now)

    def _cost(self, e164: str, found: Json) -> Decimal | None:
        """What the vendor says that it charged, whatever came of it."""
        try:
            return self._reader(e164, found).cost()
        except ProviderProtocolError:
            return None

    def _reader(self, e164: str, found: Json) -> Reader:
        """Raises `ProviderProtocolError` where nothing is about our number."""
        answer = self._options.answer
        return Reader(record_of(found, answer, e164), answer, self._options.values, self._split, e164)

    def _result(self, e164: str, found: Json, now: float) -> NumberResult:
        reader = self._reader(e164, found)
        identity, liveness, failure = reader.identity(), reader.liveness(), reader.failure()
        cost, balance = reader.cost(), reader.balance()
        if failure is not None and identity.empty:
            return with_cost(failure, cost)
        return LookupAnswer(
            number=e164,
            provider=self.name,
            method=reader.method(),
            observed_at=reader.observed_at(now),
            identity=identity,
            liveness=liveness,
            cost=cost,
            currency=None if cost is None and balance is None else self._options.currency,
            balance_after=balance,
            raw_code=reader.code(),
        )
