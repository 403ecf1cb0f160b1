"""What a rule may ask of a call: each condition is a function and a row in `CONDITIONS`, named as the config names it.

A condition answers yes, no or unknown; what is unknown neither matches nor fails to match. A list holds when any of its items does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, Self, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from agi_lookup.domain.dial_plan import known_country
from agi_lookup.domain.model import Liveness, Method, NumberClass, NumberType, Reason, Sourced, Tri
from agi_lookup.policy.evidence import KINDS, is_alive, score
from agi_lookup.policy.facts import Facts
from agi_lookup.policy.prefixes import Prefixes, load
from agi_lookup.routing.windows import Hours, Window

T = TypeVar("T")
Predicate: TypeAlias = Callable[[Facts], Tri]

UNSAID: Final = frozenset({Reason.INCONCLUSIVE, Reason.PROVIDER_FAILURE, Reason.TIMEOUT})
"""Reasons that are none: whoever gives one may mean any other."""
EITHER: Final = frozenset({NumberType.MOBILE, NumberType.LANDLINE})
LEFT_OPEN: Final = EITHER | {NumberType.VOIP}
"""What `mobile_or_landline` denies none of: where the plan cannot tell (North America), VoIP has no ranges of its own either."""


def _listed(value: object) -> object:
    """One item needs no brackets."""
    return value if isinstance(value, list | tuple | set | frozenset) else [value]


def _stated(value: Any) -> Any:
    if str(value) == Tri.UNKNOWN:
        raise ValueError("what is unknown matches no rule; leave `unknown` out")
    return value


AnyOf: TypeAlias = Annotated[frozenset[T], BeforeValidator(_listed), Field(min_length=1)]
YesNo: TypeAlias = Annotated[Tri, AfterValidator(_stated)]
E164: TypeAlias = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$")]
Prefix: TypeAlias = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{0,14}$")]
Country: TypeAlias = Annotated[str, AfterValidator(known_country)]
Word: TypeAlias = Annotated[str, Field(min_length=1, max_length=128)]
Plmn: TypeAlias = Annotated[str, Field(pattern=r"^[0-9]{5,6}$")]
StatedType: TypeAlias = Annotated[NumberType, AfterValidator(_stated)]
Amount: TypeAlias = Annotated[Decimal, Field(ge=0, le=1_000_000)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cost(Strict):
    """Of a minute over the best route."""

    at_least: Amount | None = Field(default=None, description="a minute, or more")
    below: Amount | None = Field(default=None, description="less, a minute")
    currency: str = Field(pattern=r"^[A-Za-z]{3,8}$", description="of both: routing.currency")

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.at_least is None and self.below is None:
            raise ValueError('say how much, e.g. {at_least: "0.50", currency: EUR}')
        return self


class Reachability(Strict):
    """What is said of the subscriber now. `max_age_s`, `source` and `method` say whose word counts: any other is unknown."""

    reachable: YesNo | None = Field(default=None, description="does it answer now")
    valid: YesNo | None = Field(default=None, description="is there such a subscriber")
    reason: AnyOf[Reason] | None = Field(default=None, description="any of these")
    max_age_s: float | None = Field(default=None, gt=0, description="since the source observed it")
    source: AnyOf[Word] | None = Field(default=None, description="the word of these providers alone")
    method: AnyOf[Method] | None = Field(default=None, description="known in one of these ways")


class When(Strict):
    """All that are given must hold."""

    number: AnyOf[E164] | None = Field(default=None, description="whole numbers, with +")
    prefix: AnyOf[Prefix] | None = Field(default=None, description="how they begin, with +")
    prefix_file: Path | None = Field(
        default=None, description="one prefix a line, or a CSV's first column; read with the config"
    )
    country: AnyOf[Country] | None = Field(default=None, description="of the number, ISO 3166")
    type: AnyOf[StatedType] | None = Field(default=None, description="as LOOKUP_TYPE has it")
    kind: AnyOf[NumberClass] | None = Field(default=None, description="what sort of number it is")
    valid: YesNo | None = Field(default=None, description="to the numbering plan")
    caller: AnyOf[Word] | None = Field(default=None, description="`PJSIP/alice`; a `*` at the end stands for any rest")
    time: Annotated[tuple[Window, ...], BeforeValidator(_listed), Field(min_length=1)] | None = Field(
        default=None, description="within one of these hours"
    )
    carrier: AnyOf[Word] | None = Field(default=None, description="names of the network that serves it now")
    mccmnc: AnyOf[Plmn] | None = Field(default=None, description="codes of that network")
    ported: YesNo | None = Field(default=None, description="from the network that issued it")
    cost: Cost | None = None
    reachability: Reachability | None = None
    dead_score: int | None = Field(
        default=None, ge=1, le=KINDS, description="kinds of evidence for a dead number, at least"
    )

    @property
    def given(self) -> dict[str, Any]:
        """By name, those that were written."""
        return {name: value for name in CONDITIONS if (value := getattr(self, name)) is not None}


def tri(value: bool) -> Tri:
    return Tri.YES if value else Tri.NO


def _same(wanted: Tri, found: Tri) -> Tri:
    return Tri.UNKNOWN if found is Tri.UNKNOWN else tri(found is wanted)


def _number(wanted: frozenset[str], facts: Facts) -> Tri:
    return tri(facts.number.e164 in wanted) if facts.number.e164 else Tri.UNKNOWN


def _prefix(wanted: Prefixes, facts: Facts) -> Tri:
    return tri(bool(wanted.longest(facts.number.e164))) if facts.number.e164 else Tri.UNKNOWN


def _country(wanted: frozenset[str], facts: Facts) -> Tri:
    return tri(facts.number.country in wanted) if facts.number.country else Tri.UNKNOWN


def _type(wanted: frozenset[NumberType], facts: Facts) -> Tri:
    """As `LOOKUP_TYPE` has it: a source's word before the numbering plan's."""
    identity = facts.outcome.identity
    stated = identity.value.type if identity else NumberType.UNKNOWN
    found = facts.number.type if stated is NumberType.UNKNOWN else stated
    if found is NumberType.UNKNOWN:
        return Tri.UNKNOWN
    if found is NumberType.MOBILE_OR_LANDLINE and wanted & LEFT_OPEN:
        return Tri.YES if found in wanted or wanted >= EITHER else Tri.UNKNOWN
    return tri(found in wanted)


def _kind(wanted: frozenset[NumberClass], facts: Facts) -> Tri:
    return tri(facts.number.kind in wanted)


def _valid(wanted: Tri, facts: Facts) -> Tri:
    return _same(wanted, facts.number.valid)


def _caller(wanted: frozenset[str], facts: Facts) -> Tri:
    if not facts.caller:
        return Tri.UNKNOWN
    return tri(any(facts.caller == w or (w[-1] == "*" and facts.caller.startswith(w[:-1])) for w in wanted))


def _time(wanted: Hours, facts: Facts) -> Tri:
    return Tri.UNKNOWN if facts.now is None else tri(wanted.open(facts.now))


def _carrier(wanted: frozenset[str], facts: Facts) -> Tri:
    """Names differ between sources in more than case; networks are better told by `mccmnc`."""
    carrier = facts.outcome.identity.value.carrier if facts.outcome.identity else None
    return tri(carrier.casefold() in wanted) if carrier else Tri.UNKNOWN


def _mccmnc(wanted: frozenset[str], facts: Facts) -> Tri:
    identity = facts.outcome.identity.value if facts.outcome.identity else None
    if identity is None or not identity.mcc or not identity.mnc:
        return Tri.UNKNOWN
    return tri(identity.mcc + identity.mnc in wanted)


def _ported(wanted: Tri, facts: Facts) -> Tri:
    return _same(wanted, facts.outcome.identity.value.ported) if facts.outcome.identity else Tri.UNKNOWN


def _cost(wanted: Cost, facts: Facts) -> Tri:
    """Amounts in another currency are not compared."""
    if facts.cost is None or facts.cost.currency != wanted.currency:
        return Tri.UNKNOWN
    amount = facts.cost.amount
    high_enough = wanted.at_least is None or amount >= wanted.at_least
    return tri(high_enough and (wanted.below is None or amount < wanted.below))


def _reachability(wanted: Reachability, facts: Facts) -> Tri:
    """A word against the answered call of lately is worth nothing."""
    heard = facts.outcome.liveness
    if heard is None or not _counts(wanted, heard, facts.now):
        return Tri.UNKNOWN
    said = heard.value
    if said.reachable is not Tri.YES and is_alive(facts):
        return Tri.UNKNOWN
    return all_hold(
        ([] if wanted.reachable is None else [_same(wanted.reachable, said.reachable)])
        + ([] if wanted.valid is None else [_same(wanted.valid, said.valid)])
        + ([] if wanted.reason is None else [_reason(wanted.reason, said.reason)])
    )


def _counts(wanted: Reachability, heard: Sourced[Liveness], now: float | None) -> bool:
    if heard.stale or (wanted.source is not None and heard.provider not in wanted.source):
        return False
    if wanted.method is not None and heard.method not in wanted.method:
        return False
    return wanted.max_age_s is None or (now is not None and heard.age_s(now) <= wanted.max_age_s)


def _reason(wanted: frozenset[Reason], found: Reason) -> Tri:
    return Tri.UNKNOWN if found in UNSAID and found not in wanted else tri(found in wanted)


def _dead_score(wanted: int, facts: Facts) -> Tri:
    """Little evidence for death is no evidence for life; an answered call is."""
    if is_alive(facts):
        return Tri.NO
    return Tri.YES if score(facts) >= wanted else Tri.UNKNOWN


class Needs(Enum):
    """What has to be known before a condition can be asked."""

    CALL = "the call and its number"
    EITHER = "the number; a lookup may know better"
    ANSWER = "what a lookup tells"
    LIVENESS = "what a lookup tells of the subscriber, now"


class Condition(NamedTuple):
    test: Callable[[Any, Facts], Tri]
    needs: Needs
    ready: Callable[[Any], Any] = lambda value: value  # from what the config says to what the test wants


def _prefixes(written: frozenset[str]) -> Prefixes:
    return Prefixes(prefix[1:] for prefix in written)


def _folded(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.casefold() for name in names)


CONDITIONS: Final[dict[str, Condition]] = {
    "number": Condition(_number, Needs.CALL),
    "prefix": Condition(_prefix, Needs.CALL, _prefixes),
    "prefix_file": Condition(_prefix, Needs.CALL, load),
    "country": Condition(_country, Needs.CALL),
    "kind": Condition(_kind, Needs.CALL),
    "valid": Condition(_valid, Needs.CALL),
    "caller": Condition(_caller, Needs.CALL),
    "time": Condition(_time, Needs.CALL, Hours),
    "type": Condition(_type, Needs.EITHER),
    "carrier": Condition(_carrier, Needs.ANSWER, _folded),
    "mccmnc": Condition(_mccmnc, Needs.ANSWER),
    "ported": Condition(_ported, Needs.ANSWER),
    "cost": Condition(_cost, Needs.ANSWER),
    "reachability": Condition(_reachability, Needs.LIVENESS),
    "dead_score": Condition(_dead_score, Needs.LIVENESS),
}


def all_hold(found: Iterable[Tri]) -> Tri:
    """Kleene's "and": a single no decides, then a single unknown."""
    unknown = False
    for one in found:
        if one is Tri.NO:
            return Tri.NO
        unknown = unknown or one is Tri.UNKNOWN
    return Tri.UNKNOWN if unknown else Tri.YES


def predicate(when: When) -> Predicate:
    """All the conditions in one. Reads the files that they name; raises `ConfigError`."""
    tests = [(CONDITIONS[name].test, CONDITIONS[name].ready(wanted)) for name, wanted in when.given.items()]
    if len(tests) == 1:  # most rules, on every call
        test, wanted = tests[0]
        return partial(test, wanted)
    return lambda facts: all_hold(test(wanted, facts) for test, wanted in tests)


def needed(when: When) -> set[Needs]:
    return {CONDITIONS[name].needs for name in when.given}
