"""Number Portability Lookup (numberportabilitylookup.com), HLR for the world and OCN for North America.

API: https://www.numberportabilitylookup.com/api, v3.31: one POST of form fields, 1 to N numbers, a JSON array back.
Quirk: errors of the whole request are plain text, with HTTP 200 as far as is known; the body rules.
Quirk: booleans and numbers come as strings; records are matched by `msisdn`, their order is not promised.
Quirk: the page gives the limits as 1 and as 5 connections, as 100 and as 10 numbers: 4 and 10 unless configured otherwise.
Quirk: `reachable` and `validnumber` are the vendor's reading of IMSI and error code. We believe them where the code says the same.
Quirk: without `format=json`, and from older hosts, a reply is CSV (`QUERYOK`, a line a number, `ENDBATCH`): refused.
Quirk: North American numbers never get a realtime answer, whatever the flags say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any, ClassVar, Final, TypeAlias

from pydantic import Field, model_validator

from agi_lookup.domain.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderOutcomeUnknown,
    ProviderOutOfCredit,
    ProviderProtocolError,
    ProviderRateLimited,
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
    NumberResult,
    PlmnSplit,
    ProviderOptions,
    SecretStr,
)
from agi_lookup.providers.replies import (
    Json,
    amount,
    digits,
    integer,
    network,
    raise_for_status,
    strict_json,
    text,
    tri,
    with_cost,
    word,
)

CURRENCY: Final = "credits"
PRICE_WITH_MSC: Final = Decimal("1.2")
SAFE_BATCH: Final = 10
"""What "Request too long" says that it allows; the page promises 100."""
NANP: Final = "+1"
BALANCE: Final = re.compile(r"(?<![0-9.,])-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,12})(?:\.[0-9]{1,9})?(?![0-9])")
"""The form of a balance is not documented: the first number, with or without commas between thousands."""
MAX_BALANCE_BYTES: Final = 64
SHARED_CALLING_CODES: Final = frozenset(
    {"1", "7", "39", "44", "47", "61", "212", "262", "290", "358", "500", "590", "599"}
)
"""Codes of several countries (ITU-T E.164 list): an MSC with the same code may still be abroad."""

Record: TypeAlias = Mapping[str, Json]

NUMBER_TYPES: Final[Mapping[str, NumberType]] = MappingProxyType({
    "MOBILE": NumberType.MOBILE,
    "PCS": NumberType.MOBILE,
    "WIRELESS": NumberType.MOBILE,
    "LANDLINE": NumberType.LANDLINE,
    "CLEC": NumberType.LANDLINE,
    "RBOC": NumberType.LANDLINE,
    "VOIP": NumberType.VOIP,
    "TOLLFREE": NumberType.TOLL_FREE,
})  # fmt: skip


class _TooLong(ProviderRejected):
    """More numbers than this account may send at once."""


TEXT_ERRORS: Final[tuple[tuple[str, type[ProviderError]], ...]] = (
    ("FAIL INVALID PASSWORD", ProviderAuthError),
    ("FAIL INSUFFICIENT CREDIT", ProviderOutOfCredit),
    ("NO NUMBERS SPECIFIED", ProviderRejected),
    ("REQUEST TOO LONG", _TooLong),
    ("ERR RATE_LIMIT_EXCEEDED", ProviderRateLimited),  # too many connections: it passes at once
    ("FAIL", ProviderOutcomeUnknown),  # nobody says whether such a one is charged
    ("ERR", ProviderOutcomeUnknown),
)
"""Starts of a plain-text reply, upper case, the special before the general."""


class Options(ProviderOptions):
    base_url: str = "https://api.numberportabilitylookup.com/npl"
    user: str = Field(min_length=1, description="of the account")
    password: SecretStr = Field(min_length=1, description="of the account")
    max_batch: int = Field(default=SAFE_BATCH, ge=1, le=100, description="numbers in one request")
    msc: bool = Field(default=False, description="ask for the serving MSC: tells roaming, costs 1.2 credits")

    @model_validator(mode="before")
    @classmethod
    def _msc_has_its_price(cls, given: Any) -> Any:
        """Before the first one was charged, so that no budget is overshot."""
        return {"price": PRICE_WITH_MSC, **given} if isinstance(given, dict) and given.get("msc") is True else given


class Provider:
    """One account at Number Portability Lookup."""

    kind: ClassVar[str] = "numberportabilitylookup"
    provides: ClassVar[frozenset[Facet]] = frozenset({Facet.IDENTITY, Facet.LIVENESS})
    currency: ClassVar[str] = CURRENCY

    def __init__(self, name: str, options: Options, split: PlmnSplit) -> None:
        self.name = name
        self._options = options
        self._split = split
        self._credentials = (("user", options.user), ("pass", options.password.get_secret_value()))

    def lookup(self, numbers: Sequence[Number], now: float) -> Lookup:
        return self._ask(numbers, now) if len(numbers) <= SAFE_BATCH else self._ask_at_once_or_in_parts(numbers, now)

    def balance(self, now: float) -> BalanceLookup:
        reply = yield HttpRequest(
            "POST", self._options.base_url, form=(*self._credentials, ("query", "balance")), charged=False
        )
        raise_for_text(reply)
        raise_for_status(reply, now)
        return Balance(_balance(reply.body), CURRENCY)

    def _ask_at_once_or_in_parts(self, numbers: Sequence[Number], now: float) -> Lookup:
        try:
            return (yield from self._ask(numbers, now))
        except _TooLong:
            return (yield from self._ask_in_parts(numbers, now))

    def _ask_in_parts(self, numbers: Sequence[Number], now: float) -> Lookup:
        """No number goes out twice. What was refused for nothing would be refused to the rest too: they are not sent."""
        results: dict[str, NumberResult] = {}
        for start in range(0, len(numbers), SAFE_BATCH):
            part = numbers[start : start + SAFE_BATCH]
            try:
                results.update((yield from self._ask(part, now)))
            except ProviderError as error:
                failed = part if error.maybe_charged else numbers[start:]
                results.update({number.e164: error for number in failed})
                if not error.maybe_charged:
                    break
        return results

    def _ask(self, numbers: Sequence[Number], now: float) -> Lookup:
        reply = yield self._request(numbers)
        raise_for_text(reply)
        raise_for_status(reply, now)
        records = records_by_number(strict_json(reply.body))
        return {number.e164: self._result(number, records.get(number.e164, ()), now) for number in numbers}

    def _request(self, numbers: Sequence[Number]) -> HttpRequest:
        """POST, so that the password stays out of URLs and of the logs of everything between."""
        form = [
            *self._credentials,
            ("msisdn", ",".join(number.e164.removeprefix("+") for number in numbers)),
            ("format", "json"),
        ]
        if self._options.msc:
            form.append(("msc", "1"))
        return HttpRequest("POST", self._options.base_url, form=tuple(form))

    def _result(self, number: Number, records: Sequence[Record], now: float) -> NumberResult:
        """The records of one number as one result; several must say the same."""
        results = [self._read(number, record, now) for record in records]
        if not results:
            return ProviderProtocolError("no record for the number that was asked")
        if any(_facts(result) != _facts(results[0]) for result in results[1:]):
            return ProviderProtocolError("several records that contradict each other")
        return results[0]

    def _read(self, number: Number, record: Record, now: float) -> NumberResult:
        code = integer(record.get("errorcode"))
        meaning = gsm.meaning(code)
        identity, cost = self._identity(record, found=meaning.valid is Tri.YES), _cost(record)
        if meaning.failure is not None and identity.empty:
            return with_cost(meaning.failure(f"GSM error {code}"), cost)
        return LookupAnswer(
            number=number.e164,
            provider=self.name,
            method=Method.LRN if number.e164.startswith(NANP) else Method.HLR,
            observed_at=now,
            identity=identity,
            liveness=_liveness(number, record, meaning, identity),
            cost=cost,
            currency=None if cost is None else CURRENCY,
            balance_after=amount(record.get("userbalance")),
            raw_code="" if code is None else str(code),
        )

    def _identity(self, record: Record, *, found: bool) -> Identity:
        carrier = text(record.get("operatorname")) or text(record.get("carrier"))
        mcc, mnc = self._network(record)
        ported = tri(record.get("ported"))
        if ported is Tri.NO and not (found and (carrier or mcc)):
            ported = Tri.UNKNOWN  # no subscriber or no network: nothing was compared
        original = (carrier, mcc, mnc) if ported is Tri.NO else _original(record)
        iso = word(record.get("countryiso"), 2)
        return Identity(
            carrier, mcc, mnc, *original,
            ported=ported,
            type=_type(record),
            country=iso.upper() if iso and len(iso) == 2 and iso.isalpha() else None,
            lrn=digits(record.get("lrn"), 10, 10),
            ocn=word(record.get("ocn")),
            spid=word(record.get("spid")),
        )  # fmt: skip

    def _network(self, record: Record) -> tuple[str | None, str | None]:
        stated = network(record.get("mcc"), record.get("mnc"))
        plmn = digits(record.get("plmn"), 5, 6)
        return stated or (plmn and self._split(plmn)) or (None, None)


def raise_for_text(reply: HttpReply) -> None:
    """Raise what a plain-text body says. The text itself is not repeated: it may echo a number or a user."""
    start = reply.body[:64].decode("ascii", "replace").strip().upper()
    for known, error in TEXT_ERRORS:
        if start.startswith(known):
            raise error(known.lower())


def _balance(body: bytes) -> Decimal:
    """Of a short text. Markup and JSON hold numbers too, but no balance that was documented."""
    stated = body.decode("ascii", "replace") if len(body) <= MAX_BALANCE_BYTES else ""
    found = None if re.search(r"[<{\[]", stated) else BALANCE.search(stated)
    if found is None:
        raise ProviderProtocolError("no balance")
    return Decimal(found[0].replace(",", ""))


def records_by_number(found: Json) -> Mapping[str, Sequence[Record]]:
    """Records under the E.164 number that each names; one that names none is of no use."""
    if not isinstance(found, list):
        raise ProviderProtocolError("no list of records")
    records: dict[str, list[Record]] = {}
    for record in found:
        if isinstance(record, dict) and (msisdn := _msisdn(record)):
            records.setdefault(f"+{msisdn}", []).append(record)
    return records


def _msisdn(record: Record) -> str | None:
    stated = record.get("msisdn")
    return digits(stated.strip().removeprefix("+") if isinstance(stated, str) else stated, 7, 15)


def _original(record: Record) -> tuple[str | None, str | None, str | None]:
    name = text(record.get("originaloperatorname")) or text(record.get("originalcarrier"))
    return name, *(network(record.get("originalmcc"), record.get("originalmnc")) or (None, None))


def _type(record: Record) -> NumberType:
    stated = NUMBER_TYPES.get((word(record.get("numbertype")) or "").upper())
    if stated is not None:
        return stated
    match tri(record.get("mobile")), tri(record.get("landline")):
        case Tri.YES, Tri.YES:
            return NumberType.MOBILE_OR_LANDLINE
        case Tri.YES, _:
            return NumberType.MOBILE
        case _, Tri.YES:
            return NumberType.LANDLINE
    return NumberType.UNKNOWN


def _liveness(number: Number, record: Record, meaning: gsm.Meaning, identity: Identity) -> Liveness:
    if number.e164.startswith(NANP):
        return Liveness(reason=_without_liveness(identity))
    reachable = _agreed(meaning.reachable, tri(record.get("reachable")))
    valid = _agreed(meaning.valid, tri(record.get("validnumber")))
    return Liveness(reachable, _reason(record, meaning, reachable, valid, identity), valid, _roaming(number, record))


def _agreed(by_code: Tri, by_flag: Tri) -> Tri:
    return by_code if by_code is by_flag else Tri.UNKNOWN


def _reason(record: Record, meaning: gsm.Meaning, reachable: Tri, valid: Tri, identity: Identity) -> Reason:
    """The code's reason, but only where the flags bear it out: a reason can block a call."""
    if record.get("reachable") == "not_sms_capable":
        return Reason.NOT_APPLICABLE  # a landline: there is no HLR to ask
    if reachable is meaning.reachable and not (meaning.valid is Tri.NO and valid is not Tri.NO):
        return meaning.reason
    return _without_liveness(identity) if meaning.reason is Reason.OK else Reason.INCONCLUSIVE


def _without_liveness(identity: Identity) -> Reason:
    return Reason.INCONCLUSIVE if identity.empty else Reason.NETWORK_ONLY


def _roaming(number: Number, record: Record) -> Tri:
    """By the first digits of the serving MSC's address (`msc`, at most 5), against the calling code of the number."""
    msc, home = digits(record.get("msc"), 1, 5), digits(record.get("countrycode"), 1, 3)
    if not msc or not home or len(msc) < len(home) or not number.e164.startswith(f"+{home}"):
        return Tri.UNKNOWN
    if not msc.startswith(home):
        return Tri.YES
    return Tri.UNKNOWN if home in SHARED_CALLING_CODES else Tri.NO


def _cost(record: Record) -> Decimal | None:
    stated = amount(record.get("transactioncost"))
    return stated if stated is not None and stated >= 0 else None


def _facts(result: NumberResult) -> object:
    return (result.identity, result.liveness) if isinstance(result, LookupAnswer) else type(result)
