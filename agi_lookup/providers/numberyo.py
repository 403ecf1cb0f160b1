"""Numberyo (numberyo.tech), HLR or number verification, one number a request.

API: https://www.numberyo.tech/api: `POST /checks` makes a check and returns its result at once; `GET /checks` lists the newest
ten, `GET /checks/{id}/results` tells a result once more, for nothing.
Quirk: a reply that was lost may have been paid, and the check is still there: it is looked for, and never made again.
Quirk: `country_code` is a calling code, so the country is left to the numbering plan.
Quirk: there is no error code: why a number is unreachable follows from `reachable` and `valid_number` together.
Quirk: results may be older than the check that they come with; their own `created_at` counts.
Quirk: "no credit" is a 422, and so is a number that is malformed. What other statuses mean is not documented: see `statuses`.
Quirk: whether the carrier of a Verify is the serving or the issuing one is not documented: we believe no more than the latter.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import Field, field_validator

from agi_lookup.domain.errors import (
    ProviderError,
    ProviderFailedNumber,
    ProviderOutcomeUnknown,
    ProviderOutOfCredit,
    ProviderProtocolError,
    ProviderRejected,
    ProviderTimeout,
)
from agi_lookup.domain.model import Facet, Identity, Liveness, LookupAnswer, Method, Number, NumberType, Reason, Tri
from agi_lookup.providers.base import HttpReply, HttpRequest, Lookup, PlmnSplit, ProviderOptions, Reply, SecretStr, Step
from agi_lookup.providers.replies import (
    ERRORS,
    ErrorWord,
    Json,
    amount,
    digits,
    network,
    raise_for_status,
    retry_after_s,
    strict_json,
    text,
    tri,
)

CURRENCY: Final = "credits"
REPLY_SHARE: Final = 0.7
"""Of `timeout_s`, for the reply to a check: the rest is for finding out what became of one that was lost."""
RECOVERY_SHARE: Final = 0.15
"""Of `timeout_s`, for each step of that."""
CLOCK_SLACK_S: Final = 60.0
"""By how much the vendor's clock may differ from ours."""
MAX_RESULTS_READ: Final = 5
"""Checks that are looked into for a lost one, the newest first."""
NAMES_OF_THE_NUMBER: Final = ("number_requested", "msisdn", "e164_format")
YES, NO, UNKNOWN = Tri.YES, Tri.NO, Tri.UNKNOWN

Record: TypeAlias = Mapping[str, Json]

LIVENESS: Final[Mapping[tuple[Tri, Tri], Reason]] = MappingProxyType({
    (YES, YES): Reason.OK,
    (YES, UNKNOWN): Reason.OK,
    (NO, YES): Reason.ABSENT,
    (NO, NO): Reason.UNKNOWN_SUBSCRIBER,
    (NO, UNKNOWN): Reason.INCONCLUSIVE,
})  # fmt: skip
"""`reachable` and `valid_number`. What is reached and not valid contradicts itself."""


class Options(ProviderOptions):
    base_url: str = "https://www.numberyo.tech/api"
    token: SecretStr = Field(min_length=1, description="API token of the dashboard")
    check: Literal["HLR", "Verify"] = Field(default="HLR", description="what is bought; Verify knows no liveness")
    recover: bool = Field(default=True, description="look for the result of a check whose reply was lost")
    statuses: Mapping[Annotated[int, Field(ge=400, le=599)], ErrorWord] = Field(
        default={}, description="what an HTTP status means where it is not what HTTP says, e.g. {409: rate_limited}"
    )
    max_batch: int = Field(default=1, ge=1, le=1, description="numbers in one request")

    @field_validator("token")
    @classmethod
    def _fits_a_header(cls, token: SecretStr) -> SecretStr:
        characters = token.get_secret_value()
        if not (characters.isascii() and characters.isprintable()) or " " in characters:
            raise ValueError("a token is ASCII without blanks")
        return token


class Provider:
    """One account at Numberyo."""

    kind: ClassVar[str] = "numberyo"
    currency: ClassVar[str] = CURRENCY

    def __init__(self, name: str, options: Options, split: PlmnSplit) -> None:
        self.name = name
        self._options = options
        self._split = split

    @property
    def provides(self) -> frozenset[Facet]:
        return frozenset({Facet.IDENTITY, Facet.LIVENESS} if self._options.check == "HLR" else {Facet.IDENTITY})

    def lookup(self, numbers: Sequence[Number], now: float) -> Lookup:
        (number,) = numbers
        try:
            reply = yield self._create(number)
            answer = self._read_creation(number, reply, now)
        except (ProviderOutcomeUnknown, ProviderTimeout):
            found = (yield from self._recover(number, now)) if self._options.recover else None
            if found is None:
                raise
            answer = found
        return {number.e164: answer}

    def _recover(self, number: Number, now: float) -> Generator[Step, Reply, LookupAnswer | None]:
        """The result of a check whose reply was lost; None where it is not found. Asks for nothing that costs."""
        try:
            listed = yield self._get("checks", ("page", "1"))
            for check_id, check in self._recent(listed, now):
                reply = yield self._get(f"checks/{check_id}/results")
                raise_for_status(reply, now)
                own = _own(_results(strict_json(reply.body)), number)
                if own:
                    return self._answer(number, own, check, now)
        except ProviderError:
            pass
        return None

    def _create(self, number: Number) -> HttpRequest:
        return HttpRequest(
            "POST",
            self._url("checks"),
            json={"phone_number": number.e164.removeprefix("+"), "type": self._options.check},
            headers=self._headers(),
            timeout_s=self._options.timeout_s * REPLY_SHARE if self._options.recover else None,
        )

    def _get(self, path: str, *query: tuple[str, str]) -> HttpRequest:
        return HttpRequest(
            "GET",
            self._url(path),
            query=query,
            headers=self._headers(),
            charged=False,
            timeout_s=self._options.timeout_s * RECOVERY_SHARE,
        )

    def _url(self, path: str) -> str:
        return f"{self._options.base_url.rstrip('/')}/{path}"

    def _headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._options.token.get_secret_value()}", "Accept": "application/json"}

    def _read_creation(self, number: Number, reply: HttpReply, now: float) -> LookupAnswer:
        self._raise_for_refusal(reply, now)
        found = strict_json(reply.body)
        if not isinstance(found, dict):
            raise ProviderProtocolError("no check")
        if tri(found.get("status")) is NO:
            raise _credit_or(found, ProviderFailedNumber)("the check failed")
        results = _results(found.get("results"))
        if not results:
            raise ProviderFailedNumber("a check without a result")
        check = found.get("check")
        return self._answer(number, _own(results, number), check if isinstance(check, dict) else {}, now)

    def _raise_for_refusal(self, reply: HttpReply, now: float) -> None:
        word = self._options.statuses.get(reply.status)
        error = None if word is None else ERRORS[word]
        if reply.status == 422:
            error = _credit_or(_json_or_none(reply.body), error or ProviderRejected)
        if error is not None:
            raise error(f"HTTP {reply.status}", retry_after_s=retry_after_s(reply.headers, now))
        raise_for_status(reply, now)

    def _recent(self, listed: HttpReply, now: float) -> list[tuple[int, Record]]:
        """The checks that may be ours, with their ids, the newest first: of our kind, and made since we asked."""
        raise_for_status(listed, now)
        found = strict_json(listed.body)
        checks = found.get("checks") if isinstance(found, dict) else None
        latest = now + self._options.timeout_s + CLOCK_SLACK_S
        recent = []
        for check in checks if isinstance(checks, list) else ():
            if isinstance(check, dict) and check.get("type") == self._options.check:
                check_id, created_at = digits(check.get("id"), 1, 18), _when(check.get("created_at"))
                if check_id and created_at is not None and now - CLOCK_SLACK_S <= created_at <= latest:
                    recent.append((created_at, int(check_id), check))
        recent.sort(key=lambda entry: entry[:2], reverse=True)
        return [(check_id, check) for _, check_id, check in recent[:MAX_RESULTS_READ]]

    def _answer(self, number: Number, own: Sequence[Record], check: Record, now: float) -> LookupAnswer:
        """The results for one number as one answer; several must say the same."""
        answers = [self._read(number, record, check, now) for record in own]
        if not answers:
            raise ProviderProtocolError("no result for the number that was asked")
        if any((a.identity, a.liveness) != (answers[0].identity, answers[0].liveness) for a in answers[1:]):
            raise ProviderProtocolError("several results that contradict each other")
        return answers[0]

    def _read(self, number: Number, record: Record, check: Record, now: float) -> LookupAnswer:
        is_hlr = self._options.check == "HLR"
        identity = self._identity(record) if is_hlr else Identity(orig_carrier=text(record.get("number_carrier")))
        observed_at, cost = _when(record.get("created_at")), _cost(check)
        return LookupAnswer(
            number=number.e164,
            provider=self.name,
            method=Method.HLR if is_hlr else Method.VALIDATE,
            observed_at=now if observed_at is None else min(observed_at, now),
            identity=identity,
            liveness=_liveness(record, identity) if is_hlr else None,
            cost=cost,
            currency=None if cost is None else CURRENCY,
        )

    def _identity(self, record: Record) -> Identity:
        carrier = text(record.get("operator_name"))
        plmn = digits(record.get("plmn"), 5, 6)
        stated = network(record.get("mcc"), record.get("mnc"))
        mcc, mnc = stated or (plmn and self._split(plmn)) or (None, None)
        ported = tri(record.get("ported"))
        if ported is NO and not (carrier or mcc):
            ported = UNKNOWN  # no network: nothing was compared
        original = (carrier, mcc, mnc) if ported is NO else (text(record.get("original_operator_name")), None, None)
        number_type = NumberType.MOBILE if mcc else NumberType.UNKNOWN
        return Identity(carrier, mcc, mnc, *original, ported=ported, type=number_type)


def _credit_or(found: Json, otherwise: type[ProviderError]) -> type[ProviderError]:
    """Is it the credit that is missing? Only the error's text tells, and validation has no such text."""
    stated = found.get("error") if isinstance(found, dict) else None
    return ProviderOutOfCredit if isinstance(stated, str) and "credit" in stated.lower() else otherwise


def _json_or_none(body: bytes) -> Json:
    try:
        return strict_json(body)
    except ProviderProtocolError:
        return None


def _results(found: Json) -> list[Json]:
    """`{"type": ..., "results": [...]}`"""
    results = found.get("results") if isinstance(found, dict) else None
    if not isinstance(results, list):
        raise ProviderProtocolError("no list of results")
    return results


def _own(results: Sequence[Json], number: Number) -> list[Record]:
    """The results that name this number, and no other."""
    return [record for record in results if isinstance(record, dict) and _names(record) == {number.e164}]


def _names(record: Record) -> set[str]:
    stated = (record.get(key) for key in NAMES_OF_THE_NUMBER)
    return {f"+{str(name).strip().removeprefix('+')}" for name in stated if name not in (None, "")}


def _liveness(record: Record, identity: Identity) -> Liveness:
    reachable, valid = tri(record.get("reachable")), tri(record.get("valid_number"))
    if (reachable, valid) in LIVENESS:
        return Liveness(reachable, LIVENESS[reachable, valid], valid)
    if reachable is YES:
        return Liveness()
    return Liveness(
        reason=Reason.NETWORK_ONLY if identity.carrier or identity.mcc else Reason.INCONCLUSIVE, valid=valid
    )


def _cost(check: Record) -> Decimal | None:
    stated = amount(check.get("user_cost"))
    return stated if stated is not None and stated >= 0 else None


def _when(value: Json) -> float | None:
    """Unix seconds of `2026-01-15T09:12:44Z`, with or without a fraction. A time without a zone is no time."""
    try:
        stated = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if stated is None or stated.tzinfo is None:
        return None
    seconds = (stated - datetime.fromtimestamp(0, UTC)).total_seconds()
    return seconds if seconds > 0 else None
