"""Caps on spending and what counts against them: pure, the time is an argument that never goes back (`ledger.Calendar`)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Final, Literal, NamedTuple, Protocol, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

DAY_S: Final = 86_400
HOUR_S: Final = 3600
LOW: Final = Decimal("0.8")
"""The part of a day's cap that is worth a warning."""
SLICES: Final = 60
CALLER_SLICES: Final = 12
MAX_CALLERS: Final = 10_000
"""Callers remembered, 1 KiB each; beyond it the one that asked longest ago is forgotten."""
ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)

Amount: TypeAlias = Annotated[Decimal, Field(ge=0, le=1_000_000_000, decimal_places=6)]


CapName: TypeAlias = tuple[str, str, str, int]
"""Scope, name, currency and seconds, as in `Standing`."""


class Lender(Protocol):
    """What of caps that several instances share is for this one. Neither waits nor raises."""

    def usable(self, cap: CapName, at: float, most: Decimal) -> Decimal:
        """How much of a cap of `most`, with what is spent."""

    def short(self, cap: CapName, at: float, amount: Decimal) -> bool:
        """So much more was wanted. True when that was so for a while, and nobody gave anything back: it is used up."""


class LentOut(NamedTuple):
    """A cap of which other instances hold what is needed."""

    cap: str  # in words
    used_up: bool


class Amounts(BaseModel):
    """At most so much, in each currency that is named. Currencies are capped apart and never added."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    credits: Amount | None = Field(default=None, description="of vendors that are paid in credits")
    EUR: Amount | None = Field(default=None, description="of vendors that are paid in euros")
    USD: Amount | None = Field(default=None, description="of vendors that are paid in dollars")

    def of(self, currency: str) -> Decimal | None:
        return {"credits": self.credits, "EUR": self.EUR, "USD": self.USD}.get(currency)


class Burst(Amounts):
    seconds: int = Field(ge=1, le=HOUR_S, description="length of the window, wherever it is laid")

    @model_validator(mode="after")
    def _caps_something(self) -> Self:
        if self.credits is self.EUR is self.USD is None:
            raise ValueError('say how much, e.g. {credits: "20", seconds: 60}')
        return self


class Caps(BaseModel):
    """Of one provider, or of all that one profile spends at whichever provider."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    per_day: Amounts = Field(default=Amounts(), description="in a UTC day")
    burst: Burst | None = Field(default=None, description="in any window of `seconds`")


class BudgetOptions(BaseModel):
    """What may be spent on lookups. Without a cap, spending is booked and not limited."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stop: bool = Field(default=False, description="true: nothing is paid for; cache and free sources go on")
    providers: dict[str, Caps] = Field(default_factory=dict, description="caps by provider name")
    profiles: dict[str, Caps] = Field(default_factory=dict, description="caps by profile name")
    misses_per_hour: int | None = Field(
        default=None, ge=1, le=1_000_000, description="paid lookups that one caller may cause in any hour"
    )
    unknown_price: Amount = Field(
        default=Decimal("0.05"), description="EUR or USD reserved for a number while a provider's price is not known"
    )
    on_disk_failure: Literal["stop", "spend"] = Field(
        default="stop", description="spend: pay on while the ledger fails, with caps that a restart forgets"
    )
    keep_days: int = Field(
        default=90, ge=2, le=3650, description="days kept number by number; older ones only as totals"
    )

    @property
    def memory_s(self) -> float:
        """How far back a restart has to look for windows that are still open."""
        bursts = [caps.burst.seconds for caps in (*self.providers.values(), *self.profiles.values()) if caps.burst]
        return max([*bursts, HOUR_S if self.misses_per_hour else 0])


@dataclass(frozen=True, slots=True)
class Standing:
    """One cap and what of it is used."""

    scope: str  # "provider" or "profile"
    name: str
    currency: str
    cap: Decimal
    seconds: int  # DAY_S for a day's cap
    spent: Decimal


class Window:
    """What was spent in the last `seconds`, in slices: what is up to one slice older still counts, nothing younger is missed."""

    def __init__(self, seconds: float, slices: int = SLICES) -> None:
        self.seconds = seconds
        self._slice_s = seconds / slices
        self._slices = slices
        self._amounts: dict[int, Decimal] = {}  # by slice, as they came
        self._total = ZERO

    def total(self, at: float) -> Decimal:
        oldest = int(at / self._slice_s) - self._slices
        while self._amounts and (first := next(iter(self._amounts))) < oldest:
            self._total -= self._amounts.pop(first)
        return self._total

    def add(self, at: float, amount: Decimal) -> None:
        """A negative amount gives back what was added at the same time, unless that has passed out of sight.

        What is added late to a time without a slice goes when the younger ones before it have gone.
        """
        index = int(at / self._slice_s)
        if amount < 0 and index not in self._amounts:
            return
        self._amounts[index] = self._amounts.get(index, ZERO) + amount
        self._total += amount


class Account:
    """What one provider or one profile has spent of one currency."""

    def __init__(self, scope: str, name: str, currency: str, caps: Caps, lender: Lender | None = None) -> None:
        self.spent = ZERO  # today
        self._lender = lender
        self._name = f"{scope} {name}"
        self._key = (scope, name, currency)
        self._per_day: Decimal | None = None
        self._low_from: Decimal | None = None
        self._burst: Decimal | None = None
        self._window: Window | None = None
        self.cap(caps, 0.0)

    def cap(self, caps: Caps, at: float) -> None:
        """Take over the config's caps. A window of another length starts with all that the old one held.

        The window of a cap that is gone goes on: the cap may come back.
        """
        currency = self._key[2]
        self._per_day = caps.per_day.of(currency)
        self._low_from = None if self._per_day is None else self._per_day * LOW
        self._burst = caps.burst.of(currency) if caps.burst else None
        old = self._window
        if caps.burst is None or self._burst is None or (old is not None and old.seconds == caps.burst.seconds):
            return
        self._window = Window(caps.burst.seconds)
        if old is not None:
            self._window.add(at, old.total(at))

    def over(self, amount: Decimal, at: float) -> str:
        """The cap that `amount` more would overshoot, in words; empty when there is none."""
        for cap, seconds, spent in self._used(at):
            if spent + amount > cap:
                return self._in_words(cap, seconds)
        return ""

    def lent_out(self, amount: Decimal, at: float) -> LentOut | None:
        """The cap of which other instances hold what `amount` needs; None when none does. It is asked for."""
        if self._lender is None:
            return None
        for cap, seconds, spent in self._used(at):
            name = (*self._key, seconds)
            if spent + amount > self._lender.usable(name, at, cap):
                return LentOut(self._in_words(cap, seconds), self._lender.short(name, at, amount))
        return None

    def low(self) -> str:
        """The day's cap when most of it is used, in words."""
        if self._per_day is None or self._low_from is None or self.spent < self._low_from:
            return ""
        return self._in_words(self._per_day, DAY_S)

    def add(self, at: float, amount: Decimal, *, today: bool = True) -> None:
        if today:
            self.spent += amount
        if self._window is not None:
            self._window.total(at)  # forgets, where no cap asks for it
            self._window.add(at, amount)

    def least(self) -> Decimal | None:
        """The lowest of the caps: no number that costs more can ever be paid for."""
        return min((cap for cap in (self._per_day, self._burst) if cap is not None), default=None)

    def standing(self, at: float) -> Iterator[Standing]:
        for cap, seconds, spent in self._used(at):
            yield Standing(*self._key, cap, seconds, spent)

    def _in_words(self, cap: Decimal, seconds: int) -> str:
        return f"{self._name}: {cap} {self._key[2]} {'a day' if seconds == DAY_S else f'in {seconds} s'}"

    def _used(self, at: float) -> Iterator[tuple[Decimal, int, Decimal]]:
        """Each cap, its seconds, and what of it is used."""
        if self._per_day is not None:
            yield self._per_day, DAY_S, self.spent
        if self._window is not None and self._burst is not None:
            yield self._burst, int(self._window.seconds), self._window.total(at)


class Callers:
    """How many paid lookups each caller caused in the last hour. Bounded: see `MAX_CALLERS`."""

    def __init__(self) -> None:
        self._windows: OrderedDict[bytes, Window] = OrderedDict()

    def count(self, caller: bytes, at: float) -> Decimal:
        window = self._windows.get(caller)
        return window.total(at) if window else ZERO

    def add(self, caller: bytes, at: float) -> None:
        window = self._windows.get(caller)
        if window is None:
            window = self._windows[caller] = Window(HOUR_S, CALLER_SLICES)
            if len(self._windows) > MAX_CALLERS:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(caller)
        window.add(at, ONE)

    def give_back(self, caller: bytes, at: float) -> None:
        """The lookup that was added at that time cost nothing."""
        if (window := self._windows.get(caller)) is not None:
            window.add(at, -ONE)
