"""What calls have told about numbers: who answered, and which carriers said that there is no such number. Pure, bounded.

An answered call is the strongest sign of life there is, so it is kept apart from the rest: however many failures are reported,
they can push no answer out of memory. Carriers are counted by vendor, so that none of them can make a number look dead alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from agi_lookup.domain.model import CallResult, Tri

DAY_S: Final = 86_400.0
NO_SUCH_NUMBER: Final = frozenset({1, 28})
"""Q.850: unallocated number, invalid number format. Asterisk gives 1 for each SIP 404 too, though many mean "no route"."""
TRY_GAP_S: Final = 3600.0
"""Calls closer together than this are one try: a dialler that repeats itself learns nothing new."""
MAX_VENDORS: Final = 8
"""Remembered for a number; two are enough."""

Hash: TypeAlias = Callable[[str], bytes]


class HistoryOptions(BaseModel):
    """How long what calls told is believed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    answered_days: float = Field(
        default=30,
        ge=0,
        le=365,
        description="so long an answered call outweighs any provider's word that nobody is there",
    )
    refused_days: float = Field(default=30, gt=0, le=365, description="so long a carrier's `no such number` counts")
    max_numbers: int = Field(default=100_000, ge=1, le=10_000_000, description="of each sort; the oldest go first")


def _nobody_was() -> bool:
    return False


class History(NamedTuple):
    """One number's, as it counts now."""

    alive: bool = False  # a call was answered lately
    refused_by: int = 0  # vendors that lately said, each for itself, that there is no such number
    tries: int = 0  # hours in which it was called in vain since it last gave a sign of life
    was_alive: Callable[[], bool] = (
        _nobody_was  # of before a restart: costs a hash, so it is asked only where it decides
    )


NOTHING_HEARD: Final = History()


def life(result: CallResult) -> Tri:
    """Is anybody there? Yes: answered, rang or busy. No: "no such number" without a ring. All else speaks of the network."""
    if result.answered or result.rang or result.dialstatus == "BUSY":
        return Tri.YES
    return Tri.NO if result.cause in NO_SUCH_NUMBER else Tri.UNKNOWN


class Silence(msgspec.Struct):
    """Of a number that gave no sign of life since it is remembered. Times are Unix seconds."""

    vendors: dict[str, float] = msgspec.field(default_factory=dict)  # who said "no such number", and when last
    tries: int = 0
    tried_at: float = 0.0


class State(msgspec.Struct, forbid_unknown_fields=True):
    """All of it, by E.164 number; the first in each is the first to go."""

    answered: dict[str, float] = msgspec.field(default_factory=dict)
    silent: dict[str, Silence] = msgspec.field(default_factory=dict)


class Answered(NamedTuple):
    """When numbers were answered, Unix seconds, the oldest first."""

    before: dict[bytes, float]
    since: dict[str, float]


class Histories:
    """`vendors` names the vendor behind a trunk: two trunks of one vendor are one opinion. Outlives reloads (`configure`)."""

    def __init__(self, options: HistoryOptions, vendors: Mapping[str, str] = MappingProxyType({})) -> None:
        self._state = State()
        self._before: dict[bytes, float] = {}
        self._hashed: Hash = str.encode
        self.configure(options, vendors)

    def configure(self, options: HistoryOptions, vendors: Mapping[str, str]) -> None:
        self._options = options
        self._vendors = vendors

    def __len__(self) -> int:
        return len(self._state.answered) + len(self._state.silent)

    def learn(self, result: CallResult, now: float) -> None:
        sign = life(result)
        if result.answered:
            _remember(self._state.answered, result.number, now, self._options.max_numbers)
        if sign is Tri.YES:
            self._state.silent.pop(result.number, None)
        elif sign is Tri.NO or result.dialstatus == "NOANSWER":
            self._in_vain(result, sign, now)

    def recall(self, number: str, now: float) -> History:
        answered_at = self._state.answered.get(number)
        alive = answered_at is not None and now - answered_at < self._options.answered_days * DAY_S
        silence = self._state.silent.get(number)
        was_alive = partial(self._was_alive, number, now) if self._before and not alive else _nobody_was
        if silence is None:
            return History(alive, was_alive=was_alive) if alive or self._before else NOTHING_HEARD
        since = now - self._options.refused_days * DAY_S
        refused_by = sum(at > since for at in silence.vendors.values())
        return History(alive, refused_by, silence.tries if silence.tried_at > since else 0, was_alive)

    def forget(self, number: str) -> None:
        self._state.answered.pop(number, None)
        self._state.silent.pop(number, None)
        self._before.pop(self._hashed(number), None)

    def remember(self, before: Mapping[bytes, float], hashed: Hash) -> None:
        """When numbers, by their keyed hash, were answered before a restart. Of the rest a restart knows nothing."""
        self._before, self._hashed = dict(before), hashed

    def answered(self) -> Answered:
        """Copies of what `remember` should have after a restart."""
        return Answered(dict(self._before), dict(self._state.answered))

    def of(self, number: str) -> dict[str, Any]:
        """All that is held of it, as plain data; empty where nothing is."""
        answered_at = self._state.answered.get(number, self._before.get(self._hashed(number)))
        silence = self._state.silent.get(number)
        said = {} if silence is None else msgspec.to_builtins(silence)
        return said if answered_at is None else {"answered_at": answered_at, **said}

    def export(self) -> dict[str, Any]:
        """As plain data. Holds numbers."""
        exported: dict[str, Any] = msgspec.to_builtins(self._state)
        return exported

    def restore(self, data: object, now: float) -> None:
        """What was exported, in place of what is held. Raises `ValueError` for anything else, and then changes nothing."""
        try:
            state = msgspec.convert(data, State)
        except msgspec.ValidationError as error:
            raise ValueError(f"no exported history: {error}") from None
        self._state = State()
        for number, at in state.answered.items():
            _remember(self._state.answered, number, min(at, now), self._options.max_numbers)
        for number, silence in state.silent.items():
            _remember(self._state.silent, number, silence, self._options.max_numbers)

    def _was_alive(self, number: str, now: float) -> bool:
        at = self._before.get(self._hashed(number))
        return at is not None and now - at < self._options.answered_days * DAY_S

    def _in_vain(self, result: CallResult, sign: Tri, now: float) -> None:
        silence = self._state.silent.get(result.number) or Silence()
        if silence.tries == 0 or now - silence.tried_at >= TRY_GAP_S:
            silence.tries += 1
            silence.tried_at = now
        if sign is Tri.NO:
            _remember(silence.vendors, self._vendors.get(result.trunk, result.trunk), now, MAX_VENDORS)
        _remember(self._state.silent, result.number, silence, self._options.max_numbers)


def _remember(memory: dict[str, Any], key: str, value: object, most: int) -> None:
    """As the youngest; the oldest makes room."""
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > most:
        del memory[next(iter(memory))]
