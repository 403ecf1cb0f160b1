"""What the config may say under `policy`."""

from __future__ import annotations

import re
from enum import StrEnum
from math import inf
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from agi_lookup.domain.model import Reason
from agi_lookup.policy.conditions import Needs, Prefix, Strict, When, needed
from agi_lookup.policy.evidence import DEFINITIVE, KINDS
from agi_lookup.policy.history import HistoryOptions

ALLOW_LIST: Final = "allow_list"
DEAD_NUMBER: Final = "dead_number"
SHADOW_PREFIX: Final = "shadow:"
CALL_REJECTED: Final = 21
"""Q.850."""
_NAME: Final = re.compile("[A-Za-z0-9 _.:+/@-]{1,64}")
CIRCUMSTANCES: Final = frozenset({"kind", "caller", "time"})
"""Conditions that hold nothing against the number itself."""


class Mode(StrEnum):
    """A new block rule starts in `shadow`: what it would have blocked is counted, and the call goes on."""

    OFF = "off"
    SHADOW = "shadow"
    ENFORCE = "enforce"


class RuleAction(StrEnum):
    ALLOW = "allow"
    BLOCK = "block"
    SKIP_LOOKUP = "skip_lookup"  # nobody is asked about the number; the other rules still decide about the call
    TAG = "tag"  # the call goes on, with the rule's name in `LOOKUP_RULE`


def _definitive(reason: Reason) -> Reason:
    if reason not in DEFINITIVE:
        raise ValueError(
            f"{reason} is no proof of a dead number and never blocks; use {' or '.join(sorted(DEFINITIVE))}"
        )
    return reason


def _rule_name(name: str) -> str:
    if not _NAME.fullmatch(name) or name != name.strip():
        raise ValueError("use 1 to 64 letters, digits, spaces and _.:+/@- for a name: it is shown in LOOKUP_RULE")
    if name in (ALLOW_LIST, DEAD_NUMBER) or name.startswith(SHADOW_PREFIX):
        raise ValueError(f"{name!r} has a meaning of its own in LOOKUP_RULE; choose another name")
    return name


Cause = Annotated[int, Field(ge=1, le=127)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, AfterValidator(_rule_name)]


class DeadNumbers(Strict):
    """The built-in rule against numbers of which their own network says that they do not exist."""

    mode: Mode = Mode.SHADOW
    reasons: frozenset[Annotated[Reason, AfterValidator(_definitive)]] = DEFINITIVE
    cause: Cause = Field(default=1, description="Q.850; 1 is unallocated number")
    score: int = Field(
        default=1, ge=1, le=KINDS, description="kinds of evidence needed: the network's word, two carriers', no answer"
    )


class RuleOptions(Strict):
    """One rule: it matches where `when` holds and `unless` does not."""

    name: Name
    when: When = When()
    unless: When = When()
    action: RuleAction = Field(description="`skip_lookup`: nobody is asked; `tag`: the call goes on under its name")
    cause: Cause | None = Field(default=None, description="Q.850, of a block; default 21, call rejected")
    mode: Mode | None = Field(default=None, description="of a block: shadow, unless it says enforce")
    probe_share: Share | None = Field(
        default=None, description="default: governance's for rules about reachability, else 0"
    )

    @model_validator(mode="after")
    def _can_match(self) -> Self:
        if not (self.when.given or self.unless.given):
            raise ValueError("would match every call; say `when` or `unless`")
        if self.action is RuleAction.SKIP_LOOKUP and not self.needs <= {Needs.CALL, Needs.EITHER}:
            raise ValueError("is asked before any lookup: use conditions on the number, the caller and the time")
        return self

    @model_validator(mode="after")
    def _only_blocks_have_it(self) -> Self:
        if self.action is RuleAction.BLOCK:
            return self
        if self.cause is not None or self.probe_share is not None:
            raise ValueError("`cause` and `probe_share` are for `action: block`")
        if self.mode is Mode.SHADOW:
            raise ValueError("only `action: block` can be in shadow; use enforce or off")
        return self

    @model_validator(mode="after")
    def _blocks_on_more_than_the_plan(self) -> Self:
        asked = self.when.given.keys() | self.unless.given.keys()
        alone = self.when.given.keys() <= {"valid", *CIRCUMSTANCES}
        if self.action is RuleAction.BLOCK and "valid" in asked and alone:
            raise ValueError("ranges are in use before the numbering plan has them: say what is wrong beside `valid`")
        return self

    @property
    def needs(self) -> set[Needs]:
        return needed(self.when) | needed(self.unless)

    @property
    def in_shadow(self) -> bool:
        return self.action is RuleAction.BLOCK and self.mode is not Mode.ENFORCE


class GovernanceOptions(Strict):
    """How block rules are watched: by calls that they would have ended and that went through, and by what providers say."""

    probe_share: Share = Field(
        default=0.02, description="part of the calls to be blocked that goes through, to be scored"
    )
    false_block_budget: Share = Field(default=0.01, description="part of the scored calls that may reach somebody")
    bound: Literal["lower", "upper"] = Field(
        default="lower",
        description="which end of its interval may not pass the budget: lower waits for proof, upper for doubt",
    )
    min_scored: int = Field(default=20, ge=1, le=1000, description="with fewer, nothing is concluded")
    shadow_s: float = Field(
        default=inf, gt=0, description="how long a rule over budget is in shadow; inf: until an operator ends it"
    )
    jump: Share = Field(
        default=0.2, description="by how much more of a provider's answers may be dead or unreachable than is usual"
    )
    dead_ceiling: Share = Field(default=0.5, description="part that may be dead while it is not known what is usual")
    distrust_s: float = Field(
        default=3600,
        gt=0,
        description="how long a provider whose answers jumped blocks nobody; inf: until an operator ends it",
    )


class PolicyOptions(Strict):
    allow: tuple[Prefix, ...] = Field(default=(), description="E.164 numbers or prefixes that are never blocked")
    dead_numbers: DeadNumbers = DeadNumbers()
    rules: tuple[RuleOptions, ...] = Field(
        default=(), description="asked in order, after `allow`; the first that decides ends it"
    )
    governance: GovernanceOptions = GovernanceOptions()
    history: HistoryOptions = HistoryOptions()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"rules: the name {twice!r} stands twice; choose another")
        return self
