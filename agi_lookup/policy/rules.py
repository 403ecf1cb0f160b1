"""May this call go on? Rules are asked in order, the first that has a word decides; nobody's word means allow.

The allow-list comes first and wins. A rule whose facts are unknown does not match. What blocks sees only what may be held against
a number (`evidence.admissible`); what would block in shadow changes nothing for the call. Emergency numbers never come this far.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final, TypeAlias

from pydantic import BaseModel

from agi_lookup.domain.model import ALLOW, Action, Tri, Verdict
from agi_lookup.policy.conditions import Needs, Predicate, all_hold, predicate, tri
from agi_lookup.policy.evidence import admissible, is_conclusive, is_dead, score
from agi_lookup.policy.facts import Facts
from agi_lookup.policy.options import (
    ALLOW_LIST,
    CALL_REJECTED,
    DEAD_NUMBER,
    DeadNumbers,
    Mode,
    PolicyOptions,
    RuleAction,
    RuleOptions,
)
from agi_lookup.policy.prefixes import Prefixes

__all__ = [
    "DeadNumbers", "Facts", "Mode", "PolicyOptions", "Rule", "Ruling", "build", "evaluate", "explain", "is_dead", "rule_on",
    "skips_lookup",
]  # fmt: skip

OPPOSITE: Final = {Tri.YES: Tri.NO, Tri.NO: Tri.YES, Tri.UNKNOWN: Tri.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule made ready. `version` changes with all that was written of it, so that what it earned is not another's."""

    name: str
    action: RuleAction
    holds: Predicate
    cause: int | None = None  # Q.850, of a block
    shadow: bool = False  # it would block
    before: bool = False  # it looks at nothing that a lookup tells
    on_liveness: bool = False  # it looks at what a source says of the subscriber, now
    on_identity: bool = False  # ... or of the network, the number's type, or what the call will cost
    probe_share: float | None = None  # of its own
    version: str = ""

    @property
    def key(self) -> str:
        return f"{self.name}#{self.version}"


Shadowed: TypeAlias = Callable[[Rule], bool]
"""Is this rule kept from blocking, whatever its mode?"""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What all the rules say of one call."""

    verdict: Verdict
    decided: Rule | None = None  # the rule that allows or blocks
    shadows: tuple[Rule, ...] = ()  # the rules before it that would have blocked


def _as_configured(_rule: Rule) -> bool:
    return False


def evaluate(rules: tuple[Rule, ...], facts: Facts) -> Verdict:
    return rule_on(rules, facts).verdict


def rule_on(rules: Iterable[Rule], facts: Facts, shadowed: Shadowed = _as_configured) -> Ruling:
    """Where no rule decides, the verdict names the first tag, else the first rule that would have blocked."""
    against = admissible(facts)
    shadows: list[Rule] = []
    tag = ""
    for rule in rules:
        blocks = rule.action is RuleAction.BLOCK
        if rule.action is RuleAction.SKIP_LOOKUP or rule.holds(against if blocks else facts) is not Tri.YES:
            continue
        if rule.action is RuleAction.TAG:
            tag = tag or rule.name
        elif not blocks:
            return Ruling(Verdict(rule=rule.name), rule, tuple(shadows))
        elif rule.shadow or shadowed(rule):
            shadows.append(rule)
        else:
            return Ruling(Verdict(Action.BLOCK, rule.cause, rule.name), rule, tuple(shadows))
    if tag:
        return Ruling(Verdict(rule=tag), None, tuple(shadows))
    return Ruling(Verdict(rule=shadows[0].name, shadow=True) if shadows else ALLOW, None, tuple(shadows))


def decide_early(rules: Iterable[Rule]) -> bool:
    """May `skips_lookup` ever say yes? To be worked out once: most configs have no such rule."""
    return any(
        rule.action is RuleAction.SKIP_LOOKUP or (rule.before and rule.action is RuleAction.BLOCK) for rule in rules
    )


def skips_lookup(rules: tuple[Rule, ...], facts: Facts, shadowed: Shadowed = _as_configured) -> str:
    """The rule for which nobody is to be asked about the number; empty: ask.

    It says so, or it ends the call already, by the number alone, where no rule before it could save the call by knowing more.
    """
    for rule in rules:
        if rule.action is RuleAction.SKIP_LOOKUP and rule.holds(facts) is Tri.YES:
            return rule.name
    leading = takewhile(lambda rule: rule.before or rule.action is not RuleAction.ALLOW, rules)
    verdict = rule_on((rule for rule in leading if rule.before), facts, shadowed).verdict
    return verdict.rule if verdict.blocks else ""


def explain(rules: tuple[Rule, ...], facts: Facts) -> Iterator[tuple[Rule, Tri]]:
    """Each rule, and whether it matches; unknown: it would need facts that nobody has."""
    against = admissible(facts)
    for rule in rules:
        yield rule, rule.holds(against if rule.action is RuleAction.BLOCK else facts)


def build(options: PolicyOptions) -> tuple[Rule, ...]:
    """The rules of a config, in their order. Reads the lists of prefixes; raises `ConfigError`."""
    rules = [allow_list(options.allow)]
    rules += [configured(written) for written in options.rules if written.mode is not Mode.OFF]
    if options.dead_numbers.mode is not Mode.OFF:
        rules.append(dead_number(options.dead_numbers))
    return tuple(rules)


def allow_list(prefixes: Iterable[str]) -> Rule:
    listed = Prefixes(prefix[1:] for prefix in prefixes)
    return Rule(ALLOW_LIST, RuleAction.ALLOW, lambda facts: tri(bool(listed.longest(facts.number.e164))), before=True)


def configured(options: RuleOptions) -> Rule:
    blocks = options.action is RuleAction.BLOCK
    return Rule(
        name=options.name,
        action=options.action,
        holds=_matches(options),
        cause=(options.cause or CALL_REJECTED) if blocks else None,
        shadow=options.in_shadow,
        before=options.needs <= {Needs.CALL},
        on_liveness=Needs.LIVENESS in options.needs,
        on_identity=bool(options.needs & {Needs.EITHER, Needs.ANSWER}),
        probe_share=options.probe_share,
        version=_version(options),
    )


def dead_number(options: DeadNumbers) -> Rule:
    def holds(facts: Facts) -> Tri:
        dead = is_conclusive(facts) and is_dead(facts.outcome.liveness, options.reasons)
        return tri(dead and score(facts) >= options.score)

    return Rule(
        name=DEAD_NUMBER,
        action=RuleAction.BLOCK,
        holds=holds,
        cause=options.cause,
        shadow=options.mode is not Mode.ENFORCE,
        on_liveness=True,
        version=_version(options),
    )


def _matches(options: RuleOptions) -> Predicate:
    when = predicate(options.when)
    if not options.unless.given:
        return when
    unless = predicate(options.unless)
    return lambda facts: all_hold((when(facts), OPPOSITE[unless(facts)]))


def _version(options: BaseModel) -> str:
    """The same in every process: sets have no order, and Python gives them another one each time."""
    return f"{zlib.crc32(repr(_ordered(options.model_dump(mode='json'))).encode()):08x}"


def _ordered(node: Any) -> Any:
    if isinstance(node, dict):
        return [(key, _ordered(value)) for key, value in node.items()]
    return sorted((_ordered(item) for item in node), key=repr) if isinstance(node, list) else node
