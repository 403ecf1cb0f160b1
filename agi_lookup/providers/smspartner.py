"""SMS Partner (smspartner.fr), HLR by webhook: a request is acknowledged with its price, what was found is posted to us later.

API: https://www.docpartner.dev/en/api/sms-partner/number-verification/send-a-verification, v1.
Quirk: a notification has neither the acknowledgement's id nor our tag, and is not signed: it is matched by its number, and its
address must be secret. It comes as JSON or as form fields; the page prints a PHP array.
Quirk: errors are `success: false` with a code, and HTTP 200 as far as is known: the body rules.
Quirk: `errorGrpId` holds the error's id, by the page's table, and not its group's, by its name. Where `errorName` names another
error, neither is believed.
Quirk: the key stands in the URL of the question for the balance; the vendor offers no other way.
Not used: `POST /lookup`, free, which says of a number's form what the numbering plan says without telling anybody the number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_UP, Decimal
from types import MappingProxyType
from typing import ClassVar, Final, TypeAlias
from urllib.parse import parse_qsl

from pydantic import Field

from agi_lookup.domain.errors import (
    NoticeRefused,
    ProviderError,
    ProviderNotCovered,
    ProviderProtocolError,
    ProviderRejected,
)
from agi_lookup.domain.model import Facet, Identity, Liveness, LookupAnswer, Method, Number, NumberType, Reason, Tri
from agi_lookup.providers import gsm
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
from agi_lookup.providers.replies import (
    ERRORS,
    ErrorWord,
    Json,
    amount,
    digits,
    integer,
    raise_for_status,
    retry_after_s,
    strict_json,
    text,
    tri,
    word,
)

CURRENCY: Final = "EUR"
SMALLEST: Final = Decimal("0.000001")
"""To which a share of a request's cost is rounded up."""
SUCCESS: Final = 200
UNKNOWN_SUBSCRIBER: Final = 1
MAX_RECORDS: Final = 1000
MAX_FIELDS: Final = 64
DATE: Final = re.compile(r"[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:?[0-9]{2})")

CODES: Final[Mapping[int, ErrorWord]] = MappingProxyType({
    1: "rejected",  # no key: our bug
    2: "rejected",  # no number
    3: "rejected",  # not separated by commas
    10: "auth",
    # Of the SMS list, https://www.docpartner.dev/en/api/error-codes; the HLR list has no more than the above.
    11: "out_of_credit",
    13: "not_covered",  # no price for these numbers
    20: "auth",  # account deactivated
    30: "auth",  # account blocked
})  # fmt: skip

NAMES: Final[Mapping[int | None, str]] = MappingProxyType({
    0: "NO_ERROR",
    1: "EC_UNKNOWN_SUBSCRIBER",
    5: "EC_UNIDENTIFIED_SUBSCRIBER",
    6: "EC_ABSENT_SUBSCRIBER_SM",
    7: "EC_UNKNOWN_EQUIPMENT",
    8: "EC_ROAMING_NOT_ALLOWED",
    9: "EC_ILLEGAL_SUBSCRIBER",
    12: "EC_ILLEGAL_EQUIPMENT",
    13: "EC_CALL_BARRED",
    27: "EC_ABSENT_SUBSCRIBER",
    255: "EC_UNKNOWN_ERROR",
})  # fmt: skip

Record: TypeAlias = Mapping[str, Json]


class Options(WebhookOptions):
    """`in_call: false` keeps it out of calls, which seldom have the time that a webhook takes."""

    base_url: str = "https://api.smspartner.fr/v1"
    api_key: SecretStr = Field(min_length=1, description="of the account")
    public_url: str = Field(
        examples=["https://pbx.example.com"], description="where the vendor reaches this server's webhooks"
    )
    webhook_secret: SecretStr = Field(
        min_length=16, description="the unguessable part of that address, e.g. of `openssl rand -hex 16`"
    )
    max_batch: int = Field(default=100, ge=1, le=500, description="numbers in one request")
    max_per_minute: int | None = Field(default=360, ge=1, le=1_000_000, description="requests in any minute")
    tag: str = Field(default="agi-lookup", min_length=1, max_length=20, description="what the vendor's statistics show")
    codes: Mapping[int, ErrorWord] = Field(
        default={}, description="what a code of the vendor's means beyond those that it documents, e.g. {31: auth}"
    )


class Provider:
    """One account at SMS Partner."""

    kind: ClassVar[str] = "smspartner"
    provides: ClassVar[frozenset[Facet]] = frozenset({Facet.IDENTITY, Facet.LIVENESS})
    currency: ClassVar[str] = CURRENCY
    always: ClassVar[bool] = True

    def __init__(self, name: str, options: Options, split: PlmnSplit) -> None:
        self.name = name
        self._options = options
        self._split = split
        self._codes = {**CODES, **options.codes}

    def lookup(self, numbers: Sequence[Number], now: float) -> Lookup:
        reply = yield self._request(numbers)
        try:
            found = self._succeeded(reply, now)
        except ProviderNotCovered:
            if len(numbers) == 1:
                raise
            raise ProviderRejected("no price for one of the numbers") from None
        accepted = integer(found.get("number"))
        if accepted == 0:
            raise ProviderRejected("no number was accepted")
        cost = _cost(found, min(accepted or len(numbers), len(numbers)))
        pending = Pending(self._options.wait_s, cost, None if cost is None else CURRENCY)
        return {number.e164: pending for number in numbers}

    def balance(self, now: float) -> BalanceLookup:
        query = (("apiKey", self._options.api_key.get_secret_value()),)
        reply = yield HttpRequest("GET", self._url("me"), query=query, charged=False)
        credit = self._succeeded(reply, now).get("credits")
        left = amount(credit.get("balance")) if isinstance(credit, dict) and _is_euro(credit) else None
        if left is None:
            raise ProviderProtocolError("no balance in euro")
        return Balance(left, CURRENCY)

    def notice(self, notice: Notice, now: float) -> Mapping[str, LookupAnswer | ProviderError]:
        """The first record of a number counts."""
        results: dict[str, LookupAnswer | ProviderError] = {}
        for record in records(notice.body):
            e164 = _e164(record.get("phone"))
            if e164 is not None and e164 not in results:
                results[e164] = self._read(e164, record, now)
        if not results:
            raise NoticeRefused("malformed")
        return results

    def _url(self, path: str) -> str:
        return f"{self._options.base_url.rstrip('/')}/{path}"

    def _request(self, numbers: Sequence[Number]) -> HttpRequest:
        asked = {
            "apiKey": self._options.api_key.get_secret_value(),
            "phoneNumbers": ",".join(number.e164 for number in numbers),
            "tag": self._options.tag,
            "notifyUrl": self._options.webhook_url(self.name),
        }
        return HttpRequest("POST", self._url("hlr/notify"), json=asked)

    def _succeeded(self, reply: HttpReply, now: float) -> Record:
        """The body of a success. Raises what its code says, else what its status says."""
        try:
            found = strict_json(reply.body)
        except ProviderProtocolError:
            raise_for_status(reply, now)
            raise
        record = found if isinstance(found, dict) else {}
        success, code = tri(record.get("success")), integer(record.get("code"))
        if success is not Tri.YES and code in self._codes:
            raise ERRORS[self._codes[code]](f"code {code}", retry_after_s=retry_after_s(reply.headers, now))
        raise_for_status(reply, now)
        if success is Tri.NO:
            raise ProviderRejected(f"code {code}")
        if success is not Tri.YES or code != SUCCESS:
            raise ProviderProtocolError("no word of success")
        return record

    def _read(self, e164: str, record: Record, now: float) -> LookupAnswer | ProviderError:
        code = integer(record.get("errorGrpId"))
        meaning = _meaning(code, record)
        identity = self._identity(record, meaning)
        if meaning.failure is not None and identity.empty:
            return meaning.failure(f"GSM error {code}")
        return LookupAnswer(
            number=e164,
            provider=self.name,
            method=Method.HLR,
            observed_at=_observed_at(record.get("date"), now),
            identity=identity,
            liveness=Liveness(meaning.reachable, meaning.reason, meaning.valid),
            raw_code="" if code is None else str(code),
        )

    def _identity(self, record: Record, meaning: gsm.Meaning) -> Identity:
        """The current network. Without one, nothing was compared; without a subscriber, it may be that of the number's range."""
        plmn = digits(record.get("mccMnc"), 5, 6)
        mcc, mnc = (plmn and self._split(plmn)) or (None, None)
        ported = tri(record.get("ported")) if plmn else Tri.UNKNOWN
        if ported is Tri.NO and (mcc is None or meaning.valid is not Tri.YES):
            ported = Tri.UNKNOWN
        kind = NumberType.MOBILE if meaning.reason is Reason.OK else NumberType.UNKNOWN
        return Identity(mcc=mcc, mnc=mnc, ported=ported, type=kind)


def records(body: bytes) -> Sequence[Record]:
    """The records of a notification: a JSON object, a list of them, or the fields of a form. Raises `NoticeRefused`."""
    try:
        found = strict_json(body)
    except ProviderProtocolError:
        found = _form(body)
    listed = found if isinstance(found, list) else [found]
    if len(listed) > MAX_RECORDS:
        raise NoticeRefused("malformed")
    return [record for record in listed if isinstance(record, dict)]


def _form(body: bytes) -> dict[str, Json]:
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return {}
    once: dict[str, Json] = dict(fields)
    return once if len(once) == len(fields) else {}


def _e164(phone: Json) -> str | None:
    """A `+` that a form did not escape has become a blank."""
    msisdn = digits(phone.strip().removeprefix("+") if isinstance(phone, str) else phone, 7, 15)
    return f"+{msisdn}" if msisdn else None


def _meaning(code: int | None, record: Record) -> gsm.Meaning:
    """A number is called dead only where the name says so too: 1 is also the group of an absent subscriber's error."""
    name = (text(record.get("errorName")) or "").upper()
    contradicted = name != "" and (code in NAMES or name in NAMES.values())
    if NAMES.get(code) != name and (contradicted or code == UNKNOWN_SUBSCRIBER):
        return gsm.UNSTATED
    return gsm.meaning(code)


def _cost(acknowledged: Record, numbers: int) -> Decimal | None:
    """Of one number; None where it is not stated, or in other money."""
    total = amount(acknowledged.get("cost"))
    if total is None or total < 0 or not _is_euro(acknowledged):
        return None
    return total if numbers == 1 else (total / numbers).quantize(SMALLEST, ROUND_UP)


def _is_euro(record: Record) -> bool:
    return (word(record.get("currency")) or CURRENCY).upper() == CURRENCY


def _observed_at(date: Json, now: float) -> float:
    """The vendor's time where it states one that can be; else ours."""
    stated = date.strip().replace(" ", "+") if isinstance(date, str) else ""
    if not DATE.fullmatch(stated):
        return now
    try:
        seconds = datetime.fromisoformat(stated).timestamp()
    except ValueError:
        return now
    return seconds if 0 <= seconds <= now else now
