"""What may be spent, and what was: hard caps in memory. Pure; `lookup.ledger` makes it durable.

Before a request its price is *reserved*; what it was *charged* takes the place of that afterwards. Both count, so a cap cannot be
overshot however many requests are under way. A charge above its reservation counts as it is, and the next reservation is as high:
a vendor who raises a price overshoots a cap once, by the difference, on the requests that were then under way.
One who once charged more than a cap holds, by mistake perhaps, would be shut out for good. So one number a day is tried that
reserves the whole cap, and what it costs is the price of that day: one number a day at most overshoots a cap, by the difference.
What has no known outcome counts as spent in full. Amounts of different currencies never meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_UP, Decimal
from typing import Final, TypeAlias

import msgspec

from agi_lookup.domain.errors import ProviderError, ProviderOverBudget
from agi_lookup.lookup.caps import DAY_S, ONE, ZERO, Account, Amounts, BudgetOptions, Callers, Caps, Lender, Standing
from agi_lookup.providers.base import Charged, NumberResult, Pending

EXACT: Final = Decimal("0.000001")
"""Amounts are kept to the millionth; less is rounded up."""
MAX_AMOUNT: Final = Decimal(1_000_000)
"""What one number can be said to cost: a vendor that states more is taken for stating this."""
DAY_SHIFT: Final = 32
"""An id is the day since 1970 and a serial number: days are ranges of the ledger's key, and need no index."""
RELEASED: Final = "released"

OnAlarm: TypeAlias = Callable[[str, str], None]
Source: TypeAlias = tuple[str, str]
"""Provider and currency."""


@dataclass(frozen=True, slots=True)
class Payer:
    """Who wants a lookup, and whose budgets pay. `caller` is who caused it, empty where nobody did (a command, a refresh).

    Callers who withhold their number need a word, such as `anonymous`: they share its allowance.
    """

    profile: str = ""
    caller: str = ""  # may be a number: shown nowhere
    patient: bool = False  # has time: calls go first

    def __repr__(self) -> str:
        return f"Payer({self.profile})"


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a provider is paid in (`Provider.currency`, empty where nothing is) and its configured price of a number."""

    currency: str
    price: Decimal | None = None


class Reservation(msgspec.Struct, frozen=True, gc=False):
    """Spent until it is settled or released. `id` is 0 where nothing is paid, negative where only memory can keep it."""

    id: int
    at: float
    provider: str
    profile: str
    number: str
    caller: bytes | None  # keyed
    currency: str
    amount: Decimal

    def __repr__(self) -> str:
        return f"Reservation({self.provider}, {self.amount} {self.currency})"


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What became of a reservation; `word` is "answer", "pending", "released" or an error's stable word."""

    id: int
    at: float
    charged: Decimal
    word: str
    unknown: bool = False  # charged in full because nobody knows
    dearest: bool = False  # no number of this provider has cost as much before


@dataclass(frozen=True, slots=True)
class Spent:
    """What the ledger holds of its last day. `most` is the highest single charge."""

    provider: str
    profile: str
    currency: str
    amount: Decimal
    most: Decimal


@dataclass(frozen=True, slots=True)
class Recent:
    """One amount within `BudgetOptions.memory_s`."""

    at: float
    provider: str
    profile: str
    caller: bytes | None
    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a restart needs of the ledger, oldest first. `dearest` is the most that a number has ever cost."""

    last_id: int = 0
    last_at: float = 0.0
    spent: tuple[Spent, ...] = ()
    recent: tuple[Recent, ...] = ()
    dearest: Mapping[Source, Decimal] = field(default_factory=dict)


class Budget:
    """All counters. `at` never goes back (`ledger.Calendar` sees to that); a new UTC day starts the day's caps anew."""

    def __init__(self, options: BudgetOptions, on_alarm: OnAlarm, lender: Lender | None = None) -> None:
        self.day = 0
        self._on_alarm = on_alarm
        self._lender = lender
        self._options = options
        self._tariffs: dict[str, Tariff] = {}
        self._accounts: dict[tuple[str, str, str], Account] = {}
        self._pairs: dict[tuple[str, str, str], tuple[Account, Account]] = {}
        self._callers = Callers()
        self._dearest: dict[Source, Decimal] = {}  # ever
        self._dearest_today: dict[Source, Decimal] = {}
        self._under_way: set[int] = set()
        self._told: set[tuple[str, str]] = set()  # today
        self._last_id = -(2**62)

    def configure(self, options: BudgetOptions, tariffs: Mapping[str, Tariff], at: float) -> None:
        """Counters stay. So do tariffs that are gone: what is under way may still use them."""
        self._options = options
        self._tariffs |= tariffs
        for (scope, name, _), account in self._accounts.items():
            account.cap(self._caps(scope, name), at)

    def restore(self, snapshot: Snapshot) -> None:
        """Add what the ledger holds; from now on ids go on from there."""
        day = snapshot.last_id >> DAY_SHIFT
        self._start_day(day)
        self._last_id = max(snapshot.last_id, self.day << DAY_SHIFT)
        for spent in snapshot.spent if day == self.day else ():
            _raise(self._dearest_today, (spent.provider, spent.currency), spent.most)
            for account in self._paying(spent.provider, spent.profile, spent.currency):
                account.spent += spent.amount
        for recent in snapshot.recent:
            for account in self._paying(recent.provider, recent.profile, recent.currency):
                account.add(recent.at, recent.amount, today=False)
            if recent.caller is not None and recent.amount:
                self._callers.add(recent.caller, recent.at)
        for source, amount in snapshot.dearest.items():
            _raise(self._dearest, source, amount)

    def is_free(self, provider: str) -> bool:
        return not self._tariffs[provider].currency

    def price(self, provider: str) -> Decimal:
        """What is reserved for a number: its configured price, if none has cost more today; else the most that one ever cost."""
        tariff = self._tariffs[provider]
        source = (provider, tariff.currency)
        if tariff.price is not None:
            return max(exact(tariff.price), self._dearest_today.get(source, ZERO))
        unknown = ONE if tariff.currency == "credits" else self._options.unknown_price
        return self._dearest.get(source, unknown)

    def reserve(self, provider: str, profile: str, number: str, caller: bytes | None, at: float) -> Reservation:
        """All caps hold with this one counted in, or it is refused. Raises `ProviderOverBudget`."""
        currency = self._tariffs[provider].currency
        if not currency:
            return Reservation(0, at, provider, profile, "", None, "", ZERO)
        self._start_day(int(at // DAY_S))
        accounts = self._paying(provider, profile, currency)
        amount = self._price_within(accounts, provider)
        self._refuse(accounts, caller, amount, at)
        for account in accounts:
            account.add(at, amount)
            if low := account.low():
                self.tell("budget_low", low, f"{account.spent} of it are spent")
        if caller is not None and self._options.misses_per_hour:
            self._callers.add(caller, at)
        self._last_id += 1
        self._under_way.add(self._last_id)
        return Reservation(self._last_id, at, provider, profile, number, caller, currency, amount)

    def settle(self, reservation: Reservation, result: NumberResult, at: float) -> Outcome | None:
        """What came of it. None when nothing was paid for, or when it is settled already."""
        if reservation.id not in self._under_way:
            return None
        stated = _stated(reservation, result)
        dearest = stated is not None and self._learn(reservation, stated)
        charged = _unstated(reservation, result) if stated is None else stated
        unknown = isinstance(result, ProviderError) and result.maybe_charged and stated is None
        self._correct(reservation, charged)
        return Outcome(reservation.id, at, charged, _word(result), unknown, dearest)

    def release(self, reservation: Reservation, at: float) -> Outcome | None:
        """It was never sent. None when nothing was reserved, or when it is settled already."""
        if reservation.id not in self._under_way:
            return None
        self._correct(reservation, ZERO)
        return Outcome(reservation.id, at, ZERO, RELEASED)

    def standing(self, at: float) -> list[Standing]:
        """Every cap of the config, used or not."""
        self._start_day(int(at // DAY_S))
        for scope, names in (("provider", self._options.providers), ("profile", self._options.profiles)):
            for name in names:
                for currency in Amounts.model_fields:
                    self._account(scope, name, currency)
        return [line for account in self._accounts.values() for line in account.standing(at)]

    def spent_today(self, provider: str, at: float) -> Decimal:
        """Of its currency, by all profiles, with what is reserved."""
        self._start_day(int(at // DAY_S))
        return self._account("provider", provider, self._tariffs[provider].currency).spent

    def tell(self, code: str, what: str, more: str) -> None:
        """Alarm the operator, of the same thing once a day."""
        if (code, what) not in self._told:
            self._told.add((code, what))
            self._on_alarm(code, f"{what}: {more}")

    def _price_within(self, accounts: Iterable[Account], provider: str) -> Decimal:
        """`price`, unless it was learnt and is above a cap: then that cap, until today's price is known."""
        price, tariff = self.price(provider), self._tariffs[provider]
        source = (provider, tariff.currency)
        cap = min((least for account in accounts if (least := account.least()) is not None), default=price)
        if price <= cap or not cap or tariff.price is not None or source not in self._dearest:
            return price
        self.tell(
            "price_absurd", f"provider {provider}", f"a number cost {price} {tariff.currency}, and a cap is {cap}"
        )
        return self._dearest_today.get(source, cap)

    def _refuse(self, accounts: Iterable[Account], caller: bytes | None, amount: Decimal, at: float) -> None:
        if self._options.stop:
            self.tell("spending_stopped", "budget.stop is set", "nothing is paid for")
            raise ProviderOverBudget("budget.stop is set")
        for account in accounts:
            if over := account.over(amount, at):
                self.tell("budget_reached", over, f"no room for a number, which costs up to {amount}")
                raise ProviderOverBudget(over)
            if lent_out := account.lent_out(amount, at):
                if lent_out.used_up:
                    more = f"no room for a number, which costs up to {amount}: other instances hold the rest"
                    self.tell("budget_reached", lent_out.cap, more)
                raise ProviderOverBudget(f"{lent_out.cap}: other instances hold the rest")
        limit = self._options.misses_per_hour
        if caller is not None and limit and self._callers.count(caller, at) >= limit:
            self.tell("caller_over_budget", "budget.misses_per_hour", f"a caller has caused {limit} paid lookups")
            raise ProviderOverBudget("budget.misses_per_hour")

    def _correct(self, reservation: Reservation, charged: Decimal) -> None:
        """`charged` takes the place of what was reserved."""
        self._under_way.discard(reservation.id)
        if more := charged - reservation.amount:
            today = self._is_today(reservation)
            for account in self._paying(reservation.provider, reservation.profile, reservation.currency):
                account.add(reservation.at, more, today=today)
        if not charged and reservation.caller is not None:
            self._callers.give_back(reservation.caller, reservation.at)

    def _learn(self, reservation: Reservation, stated: Decimal) -> bool:
        """Never reserve less than this again; true when none has cost as much before."""
        source = (reservation.provider, reservation.currency)
        if self._is_today(reservation):
            _raise(self._dearest_today, source, stated)
        return _raise(self._dearest, source, stated)

    def _is_today(self, reservation: Reservation) -> bool:
        return int(reservation.at // DAY_S) == self.day

    def _start_day(self, day: int) -> None:
        if day <= self.day:
            return
        self.day = day
        if self._last_id >= 0:
            self._last_id = max(self._last_id, day << DAY_SHIFT)
        self._dearest_today.clear()
        self._told.clear()
        for account in self._accounts.values():
            account.spent = ZERO

    def _paying(self, provider: str, profile: str, currency: str) -> tuple[Account, Account]:
        """The two accounts that a lookup is charged to."""
        pair = self._pairs.get((provider, profile, currency))
        if pair is None:
            pair = self._account("provider", provider, currency), self._account("profile", profile, currency)
            self._pairs[provider, profile, currency] = pair
        return pair

    def _account(self, scope: str, name: str, currency: str) -> Account:
        account = self._accounts.get((scope, name, currency))
        if account is None:
            caps = self._caps(scope, name)
            account = self._accounts[scope, name, currency] = Account(scope, name, currency, caps, self._lender)
        return account

    def _caps(self, scope: str, name: str) -> Caps:
        named = self._options.providers if scope == "provider" else self._options.profiles
        return named.get(name, Caps())


def _word(result: NumberResult) -> str:
    if isinstance(result, ProviderError):
        return result.code
    return "pending" if isinstance(result, Pending) else "answer"


def _stated(reservation: Reservation, result: NumberResult) -> Decimal | None:
    """What the provider says that it charged, in the currency of the reservation."""
    if isinstance(result, ProviderError):
        cost = result.cost if isinstance(result, Charged) else None
    else:
        cost = result.cost if result.currency in (None, reservation.currency) else None
    return exact(cost) if cost is not None and cost.is_finite() and cost >= 0 else None


def _unstated(reservation: Reservation, result: NumberResult) -> Decimal:
    """What is taken for charged when nobody said: all, unless it is sure that nothing was."""
    free = isinstance(result, ProviderError) and not result.maybe_charged
    return ZERO if free else reservation.amount


def exact(amount: Decimal) -> Decimal:
    """Not below `amount`, in millionths."""
    return MAX_AMOUNT if amount > MAX_AMOUNT else amount.quantize(EXACT, ROUND_UP)


def _raise(prices: dict[Source, Decimal], source: Source, amount: Decimal) -> bool:
    """Keep the higher price; true when it is the new one."""
    higher = amount > prices.get(source, ZERO)
    if higher:
        prices[source] = amount
    return higher
