"""CheckMobi (checkmobi.com): HLR, MNP and a free validation; one number at once, many by webhook.

API: https://checkmobi.com/documentation/api-reference, v1. `Authorization` is the bare secret key.
Quirk: errors are `{"code", "error"}`; the code rules, whatever the status. The page lists the codes and not the form, which the
vendor's own client shows, https://github.com/checkmobi/checkmobi-php.
Quirk: a landline falls back to the free validation, without the keys of an HLR lookup; in North America it is looked up and paid.
Quirk: MNP states the current network only: neither porting nor the issuing network.
Quirk: a batch has no id; its results come in several signed notices, matched by `original_msisdn`. The page does not say how a
signature is written: hex and base64 are taken. No time is signed: an old notice is useless only when nobody waits for it any more.
Not used: /countries, /prefixes and /checknumber, which say what the numbering plan knows for nothing.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import ClassVar, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from agi_lookup.domain.errors import (
    NoticeRefused,
    ProviderAuthError,
    ProviderError,
    ProviderFailedNumber,
    ProviderNotCovered,
    ProviderOutOfCredit,
    ProviderProtocolError,
    ProviderRateLimited,
    ProviderRejected,
)
from agi_lookup.domain.model import Facet, Identity, Liveness, LookupAnswer, Method, Number, Reason
from agi_lookup.providers import checkmobi_records as records
from agi_lookup.providers.base import (
    Balance,
    BalanceLookup,
    HttpReply,
    HttpRequest,
    Lookup,
    Notice,
    Pending,
    PlmnSplit,
    SecretStr,
    WebhookOptions,
)
from agi_lookup.providers.checkmobi_records import Record
from agi_lookup.providers.replies import Json, amount, integer, raise_for_status, retry_after_s, strict_json, with_cost

CURRENCY: Final = "USD"
METHODS: Final = MappingProxyType({"hlr": Method.HLR, "mnp": Method.MNP, "verify": Method.VALIDATE})


class _NotE164(ProviderRejected):
    """No number, by its form: nobody was asked."""


class _NumberBlocked(ProviderError):
    """Too many attempts on this one number; others are free to go on."""

    code = "rate_limited"
    unhealthy = False
    remember_s = 60.0


ERRORS: Final[Mapping[int, type[ProviderError]]] = MappingProxyType({
    1: ProviderAuthError,
    2: _NotE164,
    3: ProviderRejected,
    4: ProviderRejected,
    5: ProviderOutOfCredit,
    6: ProviderOutOfCredit,  # the quota of missed calls
    7: ProviderRejected,
    8: ProviderNotCovered,
    9: ProviderRejected,  # not on the page; a bad notification URL at https://github.com/checkmobi/checkmobi_ios_swift
    10: ProviderRejected,
    11: ProviderAuthError,  # disabled for this account
    12: ProviderRateLimited,
    13: ProviderNotCovered,  # blocked by the application's settings
    14: _NumberBlocked,
    15: ProviderRejected,
    16: ProviderRejected,
    17: ProviderRejected,
    18: ProviderNotCovered,
})  # fmt: skip


class Options(WebhookOptions):
    base_url: str = "https://api.checkmobi.com/v1"
    secret_key: SecretStr = Field(min_length=1, description="of the account, as its settings show it")
    method: Literal["hlr", "mnp", "verify"] = Field(
        default="hlr", description="verify is free and knows the issuer only"
    )
    signature_key: SecretStr | None = Field(
        default=None, min_length=1, description="of the application: signs webhooks"
    )
    signature_encoding: Literal["any", "hex", "base64"] = Field(
        default="any", description="how a webhook's signature is written"
    )

    @field_validator("secret_key")
    @classmethod
    def _fits_a_header(cls, key: SecretStr) -> SecretStr:
        if not (key.get_secret_value().isascii() and key.get_secret_value().isprintable()):
            raise ValueError("secret_key must be one line of printable ASCII")
        return key

    @model_validator(mode="after")
    def _batches_come_back(self) -> Self:
        if self.max_batch > 1 and self.method == "verify":
            raise ValueError("max_batch: only hlr and mnp take more than one number")
        if self.max_batch > 1 and (self.public_url is None or self.signature_key is None):
            raise ValueError(
                "max_batch above 1 is answered by webhook: set public_url, webhook_secret and signature_key"
            )
        return self


class Provider:
    """One application of a CheckMobi account."""

    kind: ClassVar[str] = "checkmobi"
    currency: ClassVar[str] = CURRENCY
    always: ClassVar[bool] = False

    def __init__(self, name: str, options: Options, split: PlmnSplit) -> None:
        self.name = name
        self.provides = frozenset(Facet) if options.method == "hlr" else frozenset({Facet.IDENTITY})
        self._options = options
        self._split = split

    def lookup(self, numbers: Sequence[Number], now: float) -> Lookup:
        if len(numbers) == 1:
            return (yield from self._ask_one(numbers[0].e164, now))
        return (yield from self._ask_many([number.e164 for number in numbers], now))

    def balance(self, now: float) -> BalanceLookup:
        reply = yield HttpRequest("GET", self._url("my-account"), headers=self._headers(), charged=False)
        found = answered(reply, now)
        credit = amount(found.get("credit_balance")) if isinstance(found, dict) else None
        if credit is None:
            raise ProviderProtocolError("no credit_balance")
        return Balance(credit, CURRENCY)

    def notice(self, notice: Notice, now: float) -> Mapping[str, LookupAnswer | ProviderError]:
        if not self._is_signed(notice):
            raise NoticeRefused("signature")
        found = _object(notice.body)
        if found.get("lookup_method") not in (self._options.method, "verify"):  # verify: landlines among them
            raise NoticeRefused("malformed")
        failure, results = found.get("error"), found.get("results")
        if isinstance(failure, dict):
            return failed(failure)
        if failure is not None or not isinstance(results, list):
            raise NoticeRefused("malformed")
        return self._read_all(results, now)

    def _ask_one(self, e164: str, now: float) -> Lookup:
        """The vendor offers no POST for it."""
        url = self._url(f"lookup/{self._options.method}/{e164.removeprefix('+')}")
        reply = yield HttpRequest("GET", url, headers=self._headers(), charged=self._options.method != "verify")
        try:
            found = answered(reply, now)
        except _NotE164:
            if Facet.LIVENESS not in self.provides:
                raise
            return {e164: self._not_e164(e164, now)}
        if not isinstance(found, dict):
            raise ProviderProtocolError("no record")
        return {e164: self._read(e164, found, now)}

    def _ask_many(self, numbers: Sequence[str], now: float) -> Lookup:
        reply = yield HttpRequest(
            "POST",
            self._url(f"lookup/{self._options.method}"),
            json={"numbers": list(numbers), "notification_callback": self._options.webhook_url(self.name)},
            headers=self._headers(),
        )
        refused = rejected(answered(reply, now), numbers)
        accepted = Pending(self._options.wait_s, currency=CURRENCY)
        return {e164: ProviderRejected("no valid number") if e164 in refused else accepted for e164 in numbers}

    def _url(self, path: str) -> str:
        return f"{self._options.base_url.rstrip('/')}/{path}"

    def _headers(self) -> Mapping[str, str]:
        return {"Authorization": self._options.secret_key.get_secret_value()}

    def _read_all(self, results: Sequence[Json], now: float) -> Mapping[str, LookupAnswer | ProviderError]:
        told: dict[str, LookupAnswer | ProviderError] = {}
        for record in results:
            e164 = records.msisdn(record.get("original_msisdn")) if isinstance(record, dict) else None
            if e164 is None or not isinstance(record, dict):
                continue
            result = self._read(e164, record, now)
            contradicted = e164 in told and _facts(told[e164]) != _facts(result)
            told[e164] = ProviderProtocolError("several records that contradict each other") if contradicted else result
        if results and not told:
            raise NoticeRefused("malformed")
        return told

    def _read(self, e164: str, record: Record, now: float) -> LookupAnswer | ProviderError:
        if not records.names(record, e164):
            return ProviderProtocolError("no record of the number that was asked")
        meaning, identity, cost = records.meaning(record), records.identity(record, self._split), records.cost(record)
        if meaning.failure is not None and not (identity.carrier or identity.mcc):
            return with_cost(meaning.failure(meaning.reason), cost)
        with_liveness = Facet.LIVENESS in self.provides
        return LookupAnswer(
            number=e164,
            provider=self.name,
            method=METHODS[self._options.method] if records.was_asked(record) else Method.VALIDATE,
            observed_at=now,
            identity=identity,
            liveness=Liveness(meaning.reachable, meaning.reason, meaning.valid) if with_liveness else None,
            cost=cost,
            currency=None if cost is None else CURRENCY,
            raw_code=records.raw_code(record),
        )

    def _not_e164(self, e164: str, now: float) -> LookupAnswer:
        """A word on its form, not on a subscriber, and without the number in it: not valid is not said."""
        return LookupAnswer(
            e164, self.name, Method.VALIDATE, now, identity=Identity(), liveness=Liveness(reason=Reason.INVALID_NUMBER),
            cost=Decimal(0), currency=CURRENCY, raw_code="2",
        )  # fmt: skip

    def _is_signed(self, notice: Notice) -> bool:
        key, encoding = self._options.signature_key, self._options.signature_encoding
        if key is None:
            return False
        digest = hmac.digest(key.get_secret_value().encode(), notice.body, "sha256")
        stated = notice.headers.get("x-checkmobi-signature", "").strip().encode("ascii", "replace")
        as_hex = hmac.compare_digest(stated.lower(), digest.hex().encode())
        as_base64 = hmac.compare_digest(stated, base64.b64encode(digest))
        return (as_hex and encoding != "base64") or (as_base64 and encoding != "hex")


def answered(reply: HttpReply, now: float) -> Json:
    """The JSON of a reply that is no error; raises what its code says, else what its status says."""
    try:
        found = strict_json(reply.body)
    except ProviderProtocolError:
        raise_for_status(reply, now)
        raise
    if isinstance(found, dict) and "phone_number" not in found:
        code = integer(found.get("code"))
        error = ERRORS.get(code) if code is not None else None
        if error is not None:
            raise error(f"code {code}", retry_after_s=retry_after_s(reply.headers, now))
    raise_for_status(reply, now)
    return found


def rejected(found: Json, numbers: Sequence[str]) -> frozenset[str]:
    """Which of `numbers` the vendor did not queue, by its acknowledgement of a batch."""
    listed = found.get("rejected") or [] if isinstance(found, dict) else None
    accepted = integer(found.get("accepted_count")) if isinstance(found, dict) else None
    if not isinstance(listed, list) or accepted is None:
        raise ProviderProtocolError("no acknowledgement")
    if accepted == 0:
        return frozenset(numbers)
    return frozenset(e164 for e164 in map(records.msisdn, listed) if e164 is not None)


def failed(failure: Record) -> Mapping[str, ProviderError]:
    """What `{"error", "description", "affected_numbers"}` of a notice means for each number."""
    affected, code = failure.get("affected_numbers"), integer(failure.get("error"))
    if not isinstance(affected, list):
        raise NoticeRefused("malformed")
    error = ERRORS.get(code, ProviderFailedNumber) if code is not None else ProviderFailedNumber
    return {e164: error(f"code {code}") for e164 in map(records.msisdn, affected) if e164 is not None}


def _object(body: bytes) -> Record:
    try:
        found = strict_json(body)
    except ProviderProtocolError:
        found = None
    if not isinstance(found, dict):
        raise NoticeRefused("malformed")
    return found


def _facts(result: LookupAnswer | ProviderError) -> object:
    return (result.identity, result.liveness) if isinstance(result, LookupAnswer) else type(result)
