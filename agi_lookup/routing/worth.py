"""Is a lookup worth its price? Nobody is paid for what would change neither the routes nor the decision about the call.

The network matters where a rule of the policy looks at it, or where knowing it saves more on the call than it costs
(`routing.savings`); whether the subscriber is there matters to rules alone. What is told for the same money anyway is never
done without, nor what nobody knows the price of. Pure; `now` is Unix seconds, amounts are nano-units of the comparison currency.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from math import inf
from typing import Annotated, Final, NamedTuple, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from agi_lookup.domain.model import Facet, Number

RULE: Final = "rule"  # kept: one of the policy may look at it
SAVES: Final = "saves"  # kept: more than it costs
FREE: Final = "free"  # kept: it costs nothing, or nothing beside the other
NO_PRICE: Final = "no_price"  # kept: nobody knows what it costs
NO_RULE: Final = "no_rule"  # spared: none of the policy looks at it
NO_DIFFERENCE: Final = "no_difference"  # spared: whatever network it is, the same route is as good
BELOW_PRICE: Final = "below_price"  # spared: it costs more than it saves
MAX_COUNTRIES: Final = 300
MAX_SHARES: Final = 100
"""Networks of a country that are counted by name."""
MANY: Final = 20
"""Times the samples that are enough; then all counts are halved, so that what is new weighs more."""
_NOTHING: Final = frozenset[Facet]()
_IDENTITY: Final = frozenset({Facet.IDENTITY})
_LIVENESS: Final = frozenset({Facet.LIVENESS})

Price: TypeAlias = Callable[[frozenset[Facet]], int | None]
"""Of a lookup of these facets together: 0 where it is free, None where that is not known."""
LooksAt: TypeAlias = Callable[[Number, Facet], bool]
"""May a rule of the policy, in whatever mode, need to know this of the number?"""


class WorthMode(StrEnum):
    """`shadow` asks for everything and counts what `on` would have saved."""

    OFF = "off"
    SHADOW = "shadow"
    ON = "on"


class WorthOptions(BaseModel):
    """Doing without lookups that cost more than they can save. Not for dialplans that look at the answers themselves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: WorthMode = Field(default=WorthMode.OFF, description="`shadow` asks for all and counts what `on` would save")
    calls_per_lookup: float = Field(
        default=1, gt=0, le=1000, description="answered calls that one lookup serves while it is in the cache"
    )
    prices: dict[str, Annotated[Decimal, Field(ge=0, le=1000, decimal_places=9)]] = Field(
        default_factory=dict,
        description="what one lookup costs, by provider, in the comparison currency: for those that are paid in credits",
    )
    min_samples: int = Field(
        default=1000,
        ge=100,
        le=1_000_000,
        description="lookups of a country after which its networks are weighed by share",
    )


class Weighed(NamedTuple):
    """What it saves on an answered call to know the network. Infinite where that is not to be told in money."""

    saving: float
    why: str


class Shares:
    """How many lookups of a country found which network. It outlives reloads. Pure and bounded."""

    def __init__(self, min_samples: int) -> None:
        self.min_samples = min_samples
        self._counts: OrderedDict[str, Counter[str]] = OrderedDict()

    def observe(self, country: str, mccmnc: str | None) -> None:
        """A lookup said who serves a number."""
        counts = self._counts.pop(country, None) or Counter()
        network = mccmnc or ""
        counts[network if network in counts or len(counts) < MAX_SHARES else ""] += 1
        if counts.total() >= MANY * self.min_samples:
            counts = Counter({name: count // 2 for name, count in counts.items() if count > 1})
        self._counts[country] = counts
        if len(self._counts) > MAX_COUNTRIES:
            self._counts.popitem(last=False)

    def of(self, country: str) -> dict[str, float] | None:
        """By MCCMNC, empty for any that is not named; None while too few are known."""
        counts = self._counts.get(country)
        if counts is None or (total := counts.total()) < self.min_samples:
            return None
        return {mccmnc: count / total for mccmnc, count in counts.items()}


class Savings(Protocol):
    """See `savings.Savings`."""

    def weigh(self, number: Number, now: float, profile: str) -> Weighed: ...


class Worthwhile(NamedTuple):
    """The facets to ask for, what is (in shadow: would be) saved by asking for no more, and why (empty: it was not wanted)."""

    facets: frozenset[Facet]
    saved: int = 0
    identity: str = ""
    liveness: str = ""


class Worth:
    """One config's and one book's."""

    def __init__(self, options: WorthOptions, savings: Savings, looks_at: LooksAt) -> None:
        self._mode = options.mode
        self._calls = options.calls_per_lookup
        self._savings = savings
        self._looks_at = looks_at

    def judge(
        self, number: Number, wanted: frozenset[Facet], price: Price, now: float, profile: str = "default"
    ) -> Worthwhile:
        """Of facets that would have to be paid for: what the cache holds is free, and not to be asked about here."""
        if self._mode is WorthMode.OFF:
            return Worthwhile(wanted)
        identity = liveness = ""
        kept = _NOTHING
        if wanted >= _LIVENESS:
            kept, liveness = (_LIVENESS, RULE) if self._looks_at(number, Facet.LIVENESS) else (kept, NO_RULE)
        if wanted >= _IDENTITY:
            worth, identity = self._identity(number, kept, price, now, profile)
            kept = kept | _IDENTITY if worth else kept
        if kept == wanted:
            return Worthwhile(wanted, 0, identity, liveness)
        total, left = price(wanted), price(kept) if kept else 0
        if total is None or left is None or left >= total:
            otherwise = NO_PRICE if total is None or left is None else FREE
            identity = otherwise if wanted - kept >= _IDENTITY else identity
            liveness = otherwise if wanted - kept >= _LIVENESS else liveness
            return Worthwhile(wanted, 0, identity, liveness)
        return Worthwhile(wanted if self._mode is WorthMode.SHADOW else kept, total - left, identity, liveness)

    def _identity(
        self, number: Number, beside: frozenset[Facet], price: Price, now: float, profile: str
    ) -> tuple[bool, str]:
        """Is it worth what it costs beside what is asked for anyway?"""
        if self._looks_at(number, Facet.IDENTITY):
            return True, RULE
        saving, why = self._savings.weigh(number, now, profile)
        if saving == inf:
            return True, why
        alone, together = price(beside) if beside else 0, price(beside | _IDENTITY)
        if alone is None or together is None:
            return True, NO_PRICE
        if saving * self._calls > together - alone:
            return True, SAVES
        return False, BELOW_PRICE if saving else why
