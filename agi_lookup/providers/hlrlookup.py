"""HLR Lookup (hlrlookup.com): HLR, MNP or validation for the world; one block asks one of them.

API: https://www.hlrlookup.com/knowledge/url-structure, v2: one POST of JSON, 1 to 80 numbers, a list of results back.
Quirk: the pages show the results under `body`, clients in production read them bare: both are read.
Quirk: errors of the whole request are a word, `{"error": "UNAUTHORIZED"}`, under a status that no page gives: the word rules.
Quirk: HTTP 429 speaks of one slow telephone network, not of the account: the number was not sent on and cost nothing.
Quirk: the testing suite answers for the nearest number that it knows. So every number that a result states must be the one that
was asked; the order of the results, though promised, makes no fact of anything.
Quirk: `save_to_cache` is YES unless it is stated: it would tell other customers whom we call.
Quirk: the country is that of the network, as three letters; the numbering plan knows the number's own, so it is left to that.
Quirk: North America has no HLR to ask. What `usa_status` pays for comes from elsewhere: its method is LRN, and it blocks nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, Self

from pydantic import Field, StringConstraints, model_validator

from agi_lookup.domain.errors import ProviderNotCovered, ProviderProtocolError
from agi_lookup.domain.model import Facet, Identity, Liveness, LookupAnswer, Method, Number, NumberType, Reason, Tri
from agi_lookup.providers.base import (
    Balance,
    BalanceLookup,
    HttpRequest,
    Lookup,
    NumberResult,
    PlmnSplit,
    ProviderOptions,
    SecretStr,
)
from agi_lookup.providers.gsm import UNSTATED, Meaning
from agi_lookup.providers.hlrlookup_reply import (
    MAX_WORD,
    Record,
    by_number,
    error_word,
    failure_of,
    opened,
    results_of,
    trouble_of,
    word,
)
from agi_lookup.providers.replies import amount, digits, text, tri, with_cost

CURRENCY: Final = "credits"
PRICE: Final = Decimal(1)
"""Of a number, and of each extra."""
PAID_EXTRAS: Final = ("get_ported_date", "usa_status")
NANP: Final = "+1"
MAX_BATCH: Final = 80
MAX_CONCURRENCY: Final = 210
"""Of one customer, by https://www.hlrlookup.com/knowledge."""

Word = Annotated[str, StringConstraints(strip_whitespace=True, to_upper=True, min_length=1, max_length=MAX_WORD)]
CacheDays = Annotated[int, Field(ge=0, le=30)]

YES, NO, UNKNOWN = Tri.YES, Tri.NO, Tri.UNKNOWN
BAD_FORMAT: Final = "BAD_FORMAT"

LIVE_STATUSES: Final[Mapping[str, Meaning]] = MappingProxyType({
    "LIVE": Meaning(YES, YES, Reason.OK),
    "DEAD": Meaning(NO, NO, Reason.UNKNOWN_SUBSCRIBER),
    "ABSENT_SUBSCRIBER": Meaning(YES, NO, Reason.ABSENT),
    "ABSENT": Meaning(YES, NO, Reason.ABSENT),  # as a client writes it
    "NO_TELESERVICE_PROVISIONED": Meaning(YES, NO, Reason.NO_TELESERVICE),
    "NOT_AVAILABLE_NETWORK_ONLY": Meaning(UNKNOWN, UNKNOWN, Reason.NETWORK_ONLY),
    "NOT_AVAIALBLE_NETWORK_ONLY": Meaning(UNKNOWN, UNKNOWN, Reason.NETWORK_ONLY),  # so older pages spell it
    "INCONCLUSIVE": Meaning(UNKNOWN, UNKNOWN, Reason.INCONCLUSIVE),
    "NO_COVERAGE": Meaning(UNKNOWN, UNKNOWN, Reason.NO_COVERAGE, ProviderNotCovered),
    "NOT_APPLICABLE": Meaning(UNKNOWN, UNKNOWN, Reason.NOT_APPLICABLE),
    "NONE": Meaning(UNKNOWN, UNKNOWN, Reason.INCONCLUSIVE),  # with network data, seen in no page
    BAD_FORMAT: Meaning(NO, UNKNOWN, Reason.INVALID_NUMBER),  # nobody was asked: it says nothing of a subscriber
})  # fmt: skip

NUMBER_TYPES: Final[Mapping[str, NumberType]] = MappingProxyType({
    **{kind.name: kind for kind in NumberType},
    "PREMIUM_RATE": NumberType.PREMIUM,
    "PERSONAL_NUMBER": NumberType.PERSONAL,
    BAD_FORMAT: NumberType.UNKNOWN,
})  # fmt: skip
"""The pages name MOBILE, LANDLINE, VOIP, MOBILE_OR_LANDLINE, UNKNOWN and BAD_FORMAT; the rest are their likely words."""


class Options(ProviderOptions):
    base_url: str = "https://api.hlrlookup.com/apiv2"
    api_key: SecretStr = Field(min_length=1, description="of the account")
    api_secret: SecretStr = Field(min_length=1, description="of the account")
    method: Literal["hlr", "mnp", "validate"] = Field(
        default="hlr",
        description="hlr: network and liveness; mnp: the network only, half a credit; validate: the format",
    )
    max_batch: int = Field(default=MAX_BATCH, ge=1, le=MAX_BATCH, description="numbers in one request")
    max_concurrency: int = Field(default=200, ge=1, le=MAX_CONCURRENCY, description="requests under way at once")
    save_to_cache: Literal["NO", "PRIVATE", "YES"] = Field(
        default="NO", description="let the vendor keep results; YES shows them to its other customers"
    )
    cache_days_private: CacheDays = Field(default=0, description="accept our own earlier results, free")
    cache_days_global: CacheDays = Field(default=0, description="accept other customers' results, half a credit")
    get_ported_date: bool = Field(default=False, description="one more credit where it is known")
    get_landline_status: bool = Field(default=False, description="ask for landlines too; they are free otherwise")
    usa_status: bool = Field(default=False, description="status of US mobiles, one more credit")
    live_statuses: dict[Word, Word] = Field(
        default_factory=dict, description="words that the vendor should add, each as one of those it has now"
    )
    number_types: dict[Word, NumberType] = Field(default_factory=dict, description="the same for telephone_number_type")
    ported_date_keys: tuple[str, ...] = Field(
        default=("ported_date", "porting_date", "last_ported_date"), description="where a result may hold the date"
    )

    @model_validator(mode="before")
    @classmethod
    def _extras_have_their_price(cls, given: Any) -> Any:
        """Before the first one was charged, so that no budget is overshot by all that are then under way."""
        extras = sum(given.get(extra) is True for extra in PAID_EXTRAS) if isinstance(given, dict) else 0
        return {"price": PRICE * (1 + extras), **given} if extras else given

    @model_validator(mode="after")
    def _words_are_new(self) -> Self:
        """What is documented keeps its meaning: a slip in the config must not make a dead number of an absent one."""
        if taken := sorted({*self.live_statuses} & {*LIVE_STATUSES} | {*self.number_types} & {*NUMBER_TYPES}):
            raise ValueError(f"{taken[0]} has a meaning already: name only words that are not known")
        if not {*self.live_statuses.values()} <= {*LIVE_STATUSES}:
            raise ValueError(f"live_statuses: the meaning must be one of {', '.join(LIVE_STATUSES)}")
        return self

    @model_validator(mode="after")
    def _extras_fit_the_method(self) -> Self:
        if self.method != "hlr" and (self.usa_status or self.get_landline_status):
            raise ValueError("usa_status and get_landline_status need method: hlr")
        return self


class Network(NamedTuple):
    """A network as far as it is stated; one of which nothing is stated is false."""

    name: str | None = None
    mcc: str | None = None
    mnc: str | None = None

    def __bool__(self) -> bool:
        return any(self)


class Provider:
    """One account at HLR Lookup, for one of its methods."""

    kind: ClassVar[str] = "hlrlookup"
    currency: ClassVar[str] = CURRENCY

    def __init__(self, name: str, options: Options, split: PlmnSplit) -> None:
        self.name = name
        self.provides: frozenset[Facet] = (
            frozenset({Facet.IDENTITY, Facet.LIVENESS}) if options.method == "hlr" else frozenset({Facet.IDENTITY})
        )
        self._options = options
        self._split = split
        added = {new: LIVE_STATUSES[known] for new, known in options.live_statuses.items()}
        self._meanings = {**LIVE_STATUSES, **added}
        self._types = {**NUMBER_TYPES, **options.number_types}

    def lookup(self, numbers: Sequence[Number], now: float) -> Lookup:
        reply = yield self._post(self._options.method, requests=[self._item(number) for number in numbers])
        results, trouble = results_of(reply, now)
        named, nameless = by_number(results)
        missing = trouble or failure_of(nameless) or ProviderProtocolError("no result names the number that was asked")
        return {n.e164: self._result(n, named[n.e164], now) if n.e164 in named else missing for n in numbers}

    def balance(self, now: float) -> BalanceLookup:
        reply = yield self._post("balance", charged=False)
        found = opened(reply)
        trouble = trouble_of(reply, error_word(found.get("error")) or word(found.get("Status")), now)
        if trouble is not None:
            raise trouble
        amount_left = amount(found.get("Credits"))
        if amount_left is None:
            raise ProviderProtocolError("no balance")
        return Balance(amount_left, CURRENCY)

    def _post(self, method: str, *, charged: bool = True, **asked: object) -> HttpRequest:
        credentials = {
            "api_key": self._options.api_key.get_secret_value(),
            "api_secret": self._options.api_secret.get_secret_value(),
        }
        url = f"{self._options.base_url.rstrip('/')}/{method}"
        return HttpRequest("POST", url, json={**credentials, **asked}, charged=charged)

    def _item(self, number: Number) -> dict[str, object]:
        """What is asked of one number. Extras that cost more are named only where they are wanted."""
        options = self._options
        extras = (*PAID_EXTRAS, "get_landline_status")
        return {
            "telephone_number": number.e164.removeprefix("+"),
            "save_to_cache": options.save_to_cache,
            "cache_days_private": options.cache_days_private,
            "cache_days_global": options.cache_days_global,
            **{extra: "YES" for extra in extras if getattr(options, extra)},
        }

    def _result(self, number: Number, records: Sequence[Record], now: float) -> NumberResult:
        """The results of one number as one; several must say the same."""
        results = [self._read(number, record, now) for record in records]
        if any(_facts(result) != _facts(results[0]) for result in results[1:]):
            return ProviderProtocolError("several results that contradict each other")
        return results[0]

    def _read(self, number: Number, record: Record, now: float) -> NumberResult:
        status, meaning = self._meaning(record)
        identity, cost = self._identity(record), _cost(record)
        if (failed := failure_of([record])) is not None:
            return with_cost(failed, cost)
        if meaning.failure is not None and identity.empty:
            return with_cost(meaning.failure(status.lower()), cost)
        return LookupAnswer(
            number=number.e164,
            provider=self.name,
            method=self._method(number),
            observed_at=_observed_at(record, now),
            identity=identity,
            liveness=self._liveness(meaning),
            cost=cost,
            currency=None if cost is None else CURRENCY,
            raw_code=status,
        )

    def _method(self, number: Number) -> Method:
        asked = Method(self._options.method)
        return Method.LRN if asked is Method.HLR and number.e164.startswith(NANP) else asked

    def _liveness(self, meaning: Meaning) -> Liveness | None:
        """None where the network of the subscriber is not asked."""
        if Facet.LIVENESS not in self.provides:
            return None
        return Liveness(meaning.reachable, meaning.reason, meaning.valid)

    def _meaning(self, record: Record) -> tuple[str, Meaning]:
        """The status in the vendor's word, empty for one that is not known, and what it means."""
        stated = word(record.get("live_status"))
        status = stated if stated in self._meanings else ""
        meaning = self._meanings.get(status, UNSTATED)
        if word(record.get("telephone_number_type")) != BAD_FORMAT:
            return status, meaning
        contradicted = meaning.valid is YES or meaning.reachable is not UNKNOWN
        return status or BAD_FORMAT, UNSTATED if contradicted else LIVE_STATUSES[BAD_FORMAT]

    def _identity(self, record: Record) -> Identity:
        current, original = self._network(record, "current_network"), self._network(record, "original_network")
        ported = tri(record.get("is_ported"))
        if ported is NO:  # then either is both; without any, nothing was compared
            current, original = current or original, original or current
            ported = NO if current else UNKNOWN
        return Identity(
            *current, *original,
            ported=ported,
            ported_date=self._ported_date(record),
            type=self._types.get(word(record.get("telephone_number_type")), NumberType.UNKNOWN),
        )  # fmt: skip

    def _network(self, record: Record, which: str) -> Network:
        details = record.get(f"{which}_details")
        if word(record.get(which)) != "AVAILABLE" or not isinstance(details, dict):
            return Network()
        plmn = digits(details.get("mccmnc"), 5, 6)
        return Network(text(details.get("name")), *((plmn and self._split(plmn)) or (None, None)))

    def _ported_date(self, record: Record) -> str | None:
        dates = (text(record.get(key), MAX_WORD) for key in self._options.ported_date_keys)
        return next((date for date in dates if _moment(date)), None)


def _cost(record: Record) -> Decimal | None:
    stated = amount(record.get("credits_spent"))
    return stated if stated is not None and stated >= 0 else None


def _observed_at(record: Record, now: float) -> float:
    """The vendor's own time where it is stated: results out of its cache are older than the reply."""
    stated = record.get("timestamp")
    moment = _moment(stated if isinstance(stated, str) else None)
    return now if moment is None else moment.timestamp()


def _moment(stated: str | None) -> datetime | None:
    """ISO 8601; in UTC unless it says otherwise."""
    try:
        moment = datetime.fromisoformat((stated or "").strip())
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except ValueError:
        return None


def _facts(result: NumberResult) -> object:
    return (result.identity, result.liveness) if isinstance(result, LookupAnswer) else type(result)
