"""The words that every layer shares: numbers, answers, outcomes, decisions.

Two facets, two clocks: *identity* (who serves the number: hours to days) and *liveness* (does it answer now: minutes) are
observed, cached, aged and paid for apart. Unknown is a value of its own (`Tri.UNKNOWN`, `None`), never a false.
Times are Unix seconds. MCC and MNC are strings: "01" is neither "1" nor "001".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final, Generic, TypeVar


class Tri(StrEnum):
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Facet(StrEnum):
    IDENTITY = "identity"
    LIVENESS = "liveness"


class Method(StrEnum):
    """How a source knows. Decides what may be trusted: only `HLR` asks the subscriber's own network."""

    HLR = "hlr"
    MNP = "mnp"
    VALIDATE = "validate"
    LRN = "lrn"
    PLAN = "plan"


class NumberType(StrEnum):
    MOBILE = "mobile"
    LANDLINE = "landline"
    MOBILE_OR_LANDLINE = "mobile_or_landline"
    VOIP = "voip"
    TOLL_FREE = "toll_free"
    PREMIUM = "premium"
    SHARED_COST = "shared_cost"
    PERSONAL = "personal"
    PAGER = "pager"
    UAN = "uan"
    VOICEMAIL = "voicemail"
    UNKNOWN = "unknown"


class NumberClass(StrEnum):
    """What the dial plan makes of a number before anyone is asked."""

    E164 = "e164"  # an ordinary international number
    SHORT = "short"  # short code of the home country: 116117, 1471
    EXTENSION = "extension"  # an extension of this PBX
    SATELLITE = "satellite"  # 870, 881, 882, 883
    INTERNATIONAL_SERVICE = "international_service"  # 800, 808, 878, 979 ...: no country, no MCC


class Reason(StrEnum):
    """Why a number is, or is not, reachable; one vocabulary for all vendors."""

    OK = "ok"
    ABSENT = "absent"
    ABSENT_SM = "absent_sm"
    NO_TELESERVICE = "no_teleservice"
    CALL_BARRED = "call_barred"
    ROAMING_NOT_ALLOWED = "roaming_not_allowed"
    UNKNOWN_SUBSCRIBER = "unknown_subscriber"
    ILLEGAL_SUBSCRIBER = "illegal_subscriber"
    ILLEGAL_EQUIPMENT = "illegal_equipment"
    UNKNOWN_EQUIPMENT = "unknown_equipment"
    FACILITY_NOT_SUPPORTED = "facility_not_supported"
    BUSY = "busy"
    INVALID_NUMBER = "invalid_number"
    NO_COVERAGE = "no_coverage"
    NETWORK_ONLY = "network_only"
    NOT_APPLICABLE = "not_applicable"
    INCONCLUSIVE = "inconclusive"
    PROVIDER_FAILURE = "provider_failure"
    TIMEOUT = "timeout"


class Action(StrEnum):
    ALLOW = "allow"
    BLOCK = "block"


class Status(StrEnum):
    OK = "OK"
    PARTIAL = "PARTIAL"
    TIMEOUT = "TIMEOUT"
    DEGRADED = "DEGRADED"
    EMERGENCY = "EMERGENCY"
    BADNUMBER = "BADNUMBER"


class CacheState(StrEnum):
    MISS = "miss"
    FRESH = "fresh"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Number:
    """A dialled number, normalised. `e164` is `+` and 7 to 15 digits, or empty for short codes and extensions.

    `valid` and `portable` are the numbering plan's word, not a subscriber's: a new range may be live before the plan knows.
    """

    e164: str
    country: str | None = None  # ISO 3166-1 alpha-2; None for numbers of no country
    type: NumberType = NumberType.UNKNOWN
    valid: Tri = Tri.UNKNOWN
    possible: bool = True  # its length can exist; False: nobody is ever paid to look at it
    portable: Tri = Tri.UNKNOWN  # can numbers of this country and kind change their network?
    kind: NumberClass = NumberClass.E164

    def __repr__(self) -> str:
        return f"Number({mask(self.e164)}, {self.country}, {self.type})"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who serves a number. `carrier`, `mcc`, `mnc` are the current network, `orig_*` the one that issued the number."""

    carrier: str | None = None
    mcc: str | None = None
    mnc: str | None = None
    orig_carrier: str | None = None
    orig_mcc: str | None = None
    orig_mnc: str | None = None
    ported: Tri = Tri.UNKNOWN
    ported_date: str | None = None
    type: NumberType = NumberType.UNKNOWN
    country: str | None = None
    lrn: str | None = None
    ocn: str | None = None
    spid: str | None = None

    @property
    def known(self) -> bool:
        """The current network and the porting state are both stated: nothing is left to ask."""
        return bool(self.carrier or self.mcc) and self.ported is not Tri.UNKNOWN

    @property
    def empty(self) -> bool:
        """Nothing that helps to route is stated (type and country come from the numbering plan anyway)."""
        return not (self.carrier or self.mcc or self.orig_carrier or self.orig_mcc or self.lrn or self.ocn) and (
            self.ported is Tri.UNKNOWN
        )


@dataclass(frozen=True, slots=True)
class Liveness:
    """Does the subscriber answer now? An MNP answer has none: it cannot know."""

    reachable: Tri = Tri.UNKNOWN
    reason: Reason = Reason.INCONCLUSIVE
    valid: Tri = Tri.UNKNOWN
    roaming: Tri = Tri.UNKNOWN

    @property
    def known(self) -> bool:
        return self.reachable is not Tri.UNKNOWN


@dataclass(frozen=True, slots=True)
class LookupAnswer:
    """What one source said about one number. `observed_at` is the source's own time where it states one."""

    number: str  # E.164 with `+`: an answer carries its key, so that it can never be taken for another's
    provider: str
    method: Method
    observed_at: float
    identity: Identity | None = None
    liveness: Liveness | None = None
    cost: Decimal | None = None
    currency: str | None = None
    balance_after: Decimal | None = None
    raw_code: str = ""
    fresh_s: float | None = None  # the source's own word on how long it may be kept, from when it came: a DNS TTL

    def __repr__(self) -> str:
        return f"LookupAnswer({mask(self.number)}, {self.provider}, {self.method})"


@dataclass(frozen=True, slots=True)
class LookupQuery:
    """What a call wants to know. `fresh` passes by the cache (and still joins a lookup that is under way)."""

    number: Number
    facets: frozenset[Facet]
    fresh: bool = False
    provider: str | None = None  # ask only this one
    profile: str = ""  # on whose account
    caller: str = ""  # who causes it; may be a number: shown nowhere
    patient: bool = False  # no call waits: calls go first

    def __repr__(self) -> str:
        return f"LookupQuery({self.number!r}, {self.profile})"


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sourced(Generic[T]):
    """A fact with where it comes from. A stale fact may be shown and routed by; it never blocks."""

    value: T
    provider: str
    method: Method
    observed_at: float
    cache: CacheState
    stale: bool = False

    def age_s(self, now: float) -> int:
        """Whole seconds since the source observed it; 0 for a clock that ran backwards."""
        return max(0, int(now - self.observed_at))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One source asked, for `explain` and the log: what it was asked, what came, how long, what it cost."""

    provider: str
    result: str  # "answer", "partial", "skipped: ..." or the error's stable word
    ms: float
    cost: Decimal | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class LookupOutcome:
    """What is known about a number after cache and sources had their time."""

    status: Status = Status.PARTIAL
    identity: Sourced[Identity] | None = None
    liveness: Sourced[Liveness] | None = None
    error: str = ""  # stable word of the last source error
    cost: Decimal | None = None
    currency: str | None = None
    attempts: tuple[Attempt, ...] = ()

    @property
    def cache(self) -> CacheState:
        """The identity's state where there is one, else the liveness's: what `LOOKUP_CACHE` says."""
        sourced = self.identity or self.liveness
        return sourced.cache if sourced else CacheState.MISS


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy says. `cause` is a Q.850 cause, present only when the call is blocked.

    A `shadow` verdict allows, and names the rule that would have blocked.
    """

    action: Action = Action.ALLOW
    cause: int | None = None
    rule: str = ""
    shadow: bool = False

    @property
    def blocks(self) -> bool:
        return self.action is Action.BLOCK


ALLOW: Final = Verdict()


@dataclass(frozen=True, slots=True)
class Route:
    """One way for a call to go, in the order in which they are to be tried."""

    trunk: str
    dial: str  # what to put into `Dial()`
    rate: Decimal  # expected cost a minute, connect fee and increments included
    currency: str
    why: str  # a few words: what rate it was, and why it stands where it does


@dataclass(frozen=True, slots=True)
class CallResult:
    """How a call over one trunk went, as the dialplan reports it."""

    number: str  # E.164 with `+`
    trunk: str
    dialstatus: str  # Asterisk's DIALSTATUS
    cause: int | None = None  # Q.850
    sip_code: int | None = None  # the last response's, raw: Asterisk's cause alone hides who said no
    pdd_ms: int | None = None  # until it rang or was answered; None: neither
    billsec: int | None = None

    @property
    def answered(self) -> bool:
        return self.dialstatus == "ANSWER"

    @property
    def rang(self) -> bool:
        return self.pdd_ms is not None

    def __repr__(self) -> str:
        return f"CallResult({mask(self.number)}, {self.trunk}, {self.dialstatus})"


def _unheard(_now: float) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Everything that a call is told. Fails open: a `Decision` made of a status alone allows the call."""

    status: Status
    number: Number | None = None
    outcome: LookupOutcome = field(default_factory=LookupOutcome)
    verdict: Verdict = ALLOW
    error: str = ""
    routes: tuple[Route, ...] = ()
    accepted: Callable[[float], None] = field(default=_unheard, compare=False, repr=False)
    """To be called when the dialplan has the routes; with the time, Unix seconds."""


def mask(number: str) -> str:
    """`+447400123456` -> `+4474******56`: enough to find a call, too little to dial it. At least five digits stay hidden."""
    if len(number) < 8:
        return "*" * len(number)
    shown = min(5, len(number) - 7)
    return f"{number[:shown]}{'*' * (len(number) - shown - 2)}{number[-2:]}"
