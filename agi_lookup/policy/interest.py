"""Which rules need a lookup of a number? For whoever asks whether that is worth its price."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from agi_lookup.domain.model import Facet, Number, NumberType, Tri
from agi_lookup.policy.facts import Facts
from agi_lookup.policy.options import DEAD_NUMBER, RuleAction
from agi_lookup.policy.rules import Rule

MAY_BE_MOBILE: Final = frozenset({NumberType.MOBILE, NumberType.MOBILE_OR_LANDLINE})
"""Only of these may what a source says of the subscriber be held against the number (`evidence.is_mobile`)."""


def look_at(rules: Iterable[Rule], number: Number, facet: Facet) -> bool:
    """May a rule, in whatever mode, need to know this of the number? Those on liveness read the type, too, which identity tells."""
    untold = Facts(replace(number, type=NumberType.UNKNOWN))  # a lookup may know better
    for rule in rules:
        looks = rule.on_liveness or (facet is Facet.IDENTITY and rule.on_identity)
        in_vain = rule.on_liveness and rule.action is RuleAction.BLOCK and number.type not in MAY_BE_MOBILE
        if looks and not in_vain and (rule.name == DEAD_NUMBER or rule.holds(untold) is not Tri.NO):
            return True
    return False
