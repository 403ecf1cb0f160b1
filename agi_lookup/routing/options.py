"""What the config says about routes: trunks, carrier groups, and what makes one route better than another.

What ends up in a channel variable is checked here, when the config is read, against the alphabet of channel variables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from math import inf
from pathlib import Path
from string import Formatter
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from agi_lookup.domain.dial_plan import known_country
from agi_lookup.routing.currencies import CURRENCIES
from agi_lookup.routing.rates import NANO
from agi_lookup.routing.windows import Window
from agi_lookup.routing.worth import WorthOptions

VALUE: Final = re.compile(r"[A-Za-z0-9 _.:+/@-]{0,128}")
"""What a channel variable may hold (see `variables.SAFE`)."""
MAX_ROUTES: Final = 10
"""Five names each, beside the others, in the 99 that one `ARRAY` takes."""
_LONGEST_NUMBER: Final = "+" + 31 * "9"
_FIELDS: Final = frozenset({"prefix", "number", "lrn"})


def _currency(text: str) -> str:
    if text not in CURRENCIES:
        raise ValueError("unknown; write an ISO 4217 code, in capitals, such as EUR")
    return text


Country = Annotated[str, AfterValidator(known_country)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
MccMnc = Annotated[str, Field(pattern=r"^[0-9]{5,6}$")]
Currency = Annotated[str, AfterValidator(_currency)]
Money: TypeAlias = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=9)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StrategyName(StrEnum):
    CHEAPEST = "cheapest"
    QUALITY = "quality"
    SPLIT = "split"


class NumberForm(StrEnum):
    """How a trunk wants the number: 447400123456, +447400123456, 07400123456, or as the caller dialled it."""

    E164 = "e164"
    PLUS = "plus"
    NATIONAL = "national"
    AS_DIALLED = "as_dialled"


class LrnUse(StrEnum):
    """What a trunk is told in `{lrn}`. Both: the location routing number (1 and 10 digits) where the number has one; `npdi` also
    says by that word, where it has none, that the lookup was made and need not be repeated.
    """

    NO = "no"
    RN = "rn"
    NPDI = "npdi"


class Duration(Section):
    """A part of the calls, by how long they last."""

    seconds: int = Field(ge=1, le=86_400, description="of talk")
    weight: float = Field(gt=0, le=1_000_000, description="how many calls last so long, against the others")


class CarrierGroup(Section):
    """Networks that decks and trunks name together. `carriers` are compared without regard to case."""

    mccmnc: frozenset[MccMnc] = Field(default=frozenset(), description="codes of its networks")
    carriers: frozenset[Annotated[str, Field(min_length=1, max_length=128)]] = Field(
        default=frozenset(), description="names of its networks"
    )

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not self.mccmnc and not self.carriers:
            raise ValueError("names no network; list MCCMNCs under mccmnc or names under carriers")
        return self


class TrunkOptions(Section):
    """A way out of this PBX. Networks are named by MCCMNC or by carrier group."""

    vendor: Name = Field(description="whose deck it is charged by")
    dial: str = Field(description="for Dial(): `PJSIP/{prefix}{number}@acme`; `{lrn}` where `lrn` asks for it")
    number: NumberForm = NumberForm.E164
    tech_prefix: str = Field(default="", pattern=r"^[A-Za-z0-9_.+-]{0,32}$", description="what `{prefix}` stands for")
    lrn: LrnUse = LrnUse.NO
    max_calls: int | None = Field(
        default=None, ge=1, le=100_000, description="at the same time; needs results to be reported"
    )
    max_calls_per_s: int | None = Field(default=None, ge=1, le=10_000, description="that begin within a second")
    weight: int = Field(default=1, ge=0, le=10_000, description="its share under `split`; 0: only after all others")
    priority: int = Field(default=0, ge=0, le=10_000, description="decides between equals; lower goes first")
    windows: tuple[Window, ...] = Field(default=(), description="when it may be used; none: always")
    countries: frozenset[Country] | None = Field(default=None, min_length=1, description="only these")
    except_countries: frozenset[Country] = Field(default=frozenset(), description="none of these")
    carriers: frozenset[str] | None = Field(
        default=None, min_length=1, description="only numbers that are known to be served by these"
    )
    except_carriers: frozenset[str] = Field(default=frozenset(), description="none that these are known to serve")
    min_samples: int | None = Field(default=None, ge=1, le=1_000_000, description="default: quality.min_samples")

    @model_validator(mode="after")
    def _dial_fits(self) -> Self:
        fields = list(_fields(self.dial))
        if fields.count("number") != 1:
            raise ValueError("dial must hold {number} exactly once, as in PJSIP/{prefix}{number}@acme")
        if self.tech_prefix and "prefix" not in fields:
            raise ValueError("dial must say where the tech_prefix goes: put {prefix} before {number}")
        if ("lrn" in fields) != (self.lrn is not LrnUse.NO):
            raise ValueError("use {lrn} in dial together with lrn: rn or lrn: npdi, or neither of them")
        longest = self.dial.format(prefix=self.tech_prefix, number=_LONGEST_NUMBER, lrn=11 * "9")
        if not VALUE.fullmatch(longest):
            raise ValueError(
                "dial may hold letters, digits, blanks and _ . : + / @ - only, and with the number at most 128 of them"
            )
        if self.number is NumberForm.NATIONAL and len(self.countries or ()) != 1:
            raise ValueError("number: national needs countries with one country, whose numbers the trunk takes")
        return self


def _fields(template: str) -> Iterator[str]:
    """The names in braces. Raises `ValueError` for anything else that `str.format` would do."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        parts = [("", "unpaired", "", None)]
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if name not in _FIELDS or spec or conversion:
            raise ValueError("dial may hold {prefix}, {number} and {lrn}, and no other braces")
        yield name


class Thresholds(Section):
    """At `warn` and better a route is as good as any, at `crit` and worse as bad as can be; in between by proportion."""

    warn: float = Field(ge=0, le=1_000_000, description="good from here")
    crit: float = Field(ge=0, le=1_000_000, description="bad from here")

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self.warn == self.crit:
            raise ValueError("warn and crit must differ")
        return self


class SuspendOptions(Section):
    """A trunk whose network fails too many calls rests; then one call goes to see whether it is well again."""

    ner_below: Share = Field(default=0.3, description="0: never")
    first_s: float = Field(default=60, ge=1, le=86_400, description="the first rest")
    max_s: float = Field(default=900, ge=1, le=86_400, description="a rest doubles with each failed probe up to this")


class QualityOptions(Section):
    """ASR: answered part of the attempts; NER: part that reached the subscriber's side; ACD: mean length; PDD: until it rang."""

    half_life_s: float = Field(default=3600, ge=1, le=400 * 86_400, description="after that, a call counts half")
    min_samples: int = Field(default=50, ge=1, le=1_000_000, description="with fewer calls, nothing is concluded")
    asr: Thresholds = Thresholds(warn=0.3, crit=0.05)
    ner: Thresholds = Thresholds(warn=0.9, crit=0.5)
    acd_s: Thresholds = Thresholds(warn=30, crit=5)
    pdd_ms: Thresholds = Thresholds(warn=5000, crit=15_000)
    fas_below_s: int = Field(default=3, ge=0, le=60, description="shorter calls are no proof of a good route")
    suspend: SuspendOptions = SuspendOptions()
    max_remembered: int = Field(default=50_000, ge=100, le=300_000, description="pairs of trunk and destination")

    @model_validator(mode="after")
    def _point_the_right_way(self) -> Self:
        if self.asr.warn < self.asr.crit or self.ner.warn < self.ner.crit or self.acd_s.warn < self.acd_s.crit:
            raise ValueError("asr, ner and acd_s are better when higher: warn must be above crit")
        if self.pdd_ms.warn > self.pdd_ms.crit:
            raise ValueError("pdd_ms is better when lower: warn must be below crit")
        return self


class StickyOptions(Section):
    """Calls to the same number, or of the same caller, go first to the trunk that the last one went to."""

    by: Literal["number", "caller"] = Field(default="number", description="whose calls stay together")
    for_s: float = Field(default=600, gt=0, le=30 * 86_400, description="after the last call")
    max_remembered: int = Field(
        default=100_000, ge=1, le=10_000_000, description="numbers or callers; the oldest go first"
    )


class ProfileRouting(Section):
    """What one profile wants otherwise. Amounts are in the comparison currency, a minute."""

    strategy: StrategyName | None = Field(default=None, description="instead of routing.strategy")
    tie_band_percent: float | None = Field(
        default=None, ge=0, le=1000, description="instead of routing.tie_band_percent"
    )
    sale_rate: Money | None = Field(default=None, description="what the caller is charged")
    min_profit: Money = Field(default=Decimal(0), description="what has to be left of sale_rate")
    max_cost: Money | None = Field(default=None, description="dearer routes are left out")

    @model_validator(mode="after")
    def _profit_has_a_base(self) -> Self:
        if self.min_profit and self.sale_rate is None:
            raise ValueError("min_profit needs sale_rate: profit is what is left of it")
        return self

    def most(self) -> tuple[float, float]:
        """What a route may cost, by `max_cost` and by the profit, in nano-units a minute."""
        max_cost = inf if self.max_cost is None else int(self.max_cost * NANO)
        return max_cost, inf if self.sale_rate is None else int((self.sale_rate - self.min_profit) * NANO)


class RoutingOptions(Section):
    """Without trunks nothing is routed, and `LCR_COUNT` stays 0."""

    currency: Currency = Field(default="EUR", description="in which rates are compared")
    max_routes: int = Field(default=5, ge=1, le=MAX_ROUTES, description="that the dialplan is given")
    strategy: StrategyName = StrategyName.CHEAPEST
    tie_band_percent: float = Field(
        default=0, ge=0, le=1000, description="routes so little dearer than the cheapest are equals: priority decides"
    )
    durations: tuple[Duration, ...] = Field(
        default=(Duration(seconds=20, weight=3), Duration(seconds=120, weight=5), Duration(seconds=600, weight=2)),
        min_length=1,
        max_length=32,
        description="how long calls last, while not enough is known about a destination",
    )
    learn_durations: bool = Field(default=True, description="from results, by country")
    fx_file: Path | None = Field(default=None, description="CSV of exchange rates: date,currency,per_unit")
    fx_max_age_days: int = Field(default=7, ge=0, le=3650)
    max_call_s: float = Field(
        default=4 * 3600, ge=60, le=7 * 86_400, description="a call of which no result came is over then"
    )
    sticky: StickyOptions | None = None
    worth_lookup: WorthOptions = Field(
        default=WorthOptions(), description="spare lookups that cost more than they can save"
    )
    quality: QualityOptions = QualityOptions()
    groups: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")], CarrierGroup] = Field(default_factory=dict)
    trunks: dict[Name, TrunkOptions] = Field(default_factory=dict)
    profiles: dict[str, ProfileRouting] = Field(default_factory=dict, description="by profile name")

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        if "default" in self.trunks:
            raise ValueError("trunks.default: the dialplan reports its own default trunk by that name; choose another")
        for name, trunk in self.trunks.items():
            for carrier in sorted((trunk.carriers or frozenset()) | trunk.except_carriers):
                if carrier not in self.groups and not re.fullmatch(r"[0-9]{5,6}", carrier):
                    raise ValueError(f"trunks.{name}: {carrier!r} is neither an MCCMNC nor one of groups")
        return self
