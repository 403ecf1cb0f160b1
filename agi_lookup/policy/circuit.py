"""Has a provider gone mad? The share of dead and of unreachable among its answers, against what is usual for it in that country.

The last answers are kept one by one, as bits; what grows out of them becomes the baseline. When their share jumps, the circuit
opens: for that country the provider's word blocks nobody. While it is open the baseline learns nothing. It closes after a stated
time, and only if the last answers are as usual again; or when an operator says so. Pure.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec

from agi_lookup.domain.model import Liveness, Tri
from agi_lookup.policy.options import GovernanceOptions
from agi_lookup.policy.wilson import wilson

RECENT: Final = 60
"""Bits, so that they are a number that every format can hold."""
SPANS: Final = (12, RECENT)
"""Of the last answers: the few tell soon of a provider that says one thing only, the many of one that is wrong now and then."""
USUAL: Final = 100
"""Answers that make a baseline; until then a ceiling stands in."""
MOST: Final = 4000
"""Answers in the baseline; then it is halved, so that it follows slow change."""
SURE: Final = 3.29
"""Standard deviations: 99.9 %. It is asked after every answer, so 95 % would often be wrong."""

_MASK: Final = (1 << RECENT) - 1
_OLDEST: Final = RECENT - 1


Count: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]


class Share(msgspec.Struct, forbid_unknown_fields=True):
    """Of the last answers, and of those before them."""

    last: Annotated[int, msgspec.Meta(ge=0)] = 0  # bits, the newest lowest
    before: Count = 0.0

    def push(self, hit: bool) -> int:
        """Returns the bit that the newest one pushes out."""
        oldest = self.last >> _OLDEST & 1
        self.last = (self.last << 1 | hit) & _MASK
        return oldest


class Circuit(msgspec.Struct, forbid_unknown_fields=True):
    """Of one provider in one country."""

    dead: Share = msgspec.field(default_factory=Share)
    unreachable: Share = msgspec.field(default_factory=Share)
    last: Annotated[int, msgspec.Meta(ge=0, le=RECENT)] = 0  # answers in `Share.last`
    before: Count = 0.0  # answers in `Share.before`
    opened_at: float | None = None  # Unix seconds

    def is_open(self, now: float, options: GovernanceOptions) -> bool:
        return self.opened_at is not None and now < self.opened_at + options.distrust_s

    def hear(self, liveness: Liveness, now: float, options: GovernanceOptions) -> str:
        """Count an answer. What jumped, in words, when that opens the circuit or keeps it from closing; else empty."""
        if not liveness.known:
            return ""
        self._count(liveness)
        if self.is_open(now, options):
            return ""
        jumped = self._jump(options)
        self.opened_at = now if jumped else None
        return jumped

    def trust(self) -> None:
        """An operator's word: what it said last is forgotten."""
        self.dead.last = self.unreachable.last = self.last = 0
        self.opened_at = None

    def _count(self, liveness: Liveness) -> None:
        gone_dead = self.dead.push(liveness.valid is Tri.NO)
        gone_unreachable = self.unreachable.push(liveness.reachable is Tri.NO)
        if self.last < RECENT:
            self.last += 1
        elif self.opened_at is None:
            self.before += 1
            self.dead.before += gone_dead
            self.unreachable.before += gone_unreachable
            if self.before >= MOST:
                self.before, self.dead.before, self.unreachable.before = (
                    self.before / 2, self.dead.before / 2, self.unreachable.before / 2,
                )  # fmt: skip

    def _jump(self, options: GovernanceOptions) -> str:
        for word, share in (("dead", self.dead), ("unreachable", self.unreachable)):
            if not share.last & 1 and self.opened_at is None:
                continue  # an answer of the other kind makes nothing jump
            if self.before >= USUAL:
                usual, most = (
                    f"{share.before / self.before:.0%}",
                    wilson(share.before, self.before, SURE)[1] + options.jump,
                )
            else:
                usual, most = "not known", options.dead_ceiling if share is self.dead else 1.0
            for span in SPANS:
                hits = (share.last & (1 << span) - 1).bit_count()
                if span <= self.last and wilson(hits, span, SURE)[0] > most:
                    return f"{hits} of {span} answers {word}, usual is {usual}"
        return ""
