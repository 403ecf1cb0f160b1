"""Which rules need a lookup."""

from __future__ import annotations

from typing import Any

import pytest

from agi_lookup.domain.model import Facet, Number, NumberType
from agi_lookup.policy.interest import look_at
from agi_lookup.policy.rules import PolicyOptions, build

MOBILE = Number("+447400123456", "GB", NumberType.MOBILE)
LANDLINE = Number("+442079460123", "GB", NumberType.LANDLINE)
BOTH = {Facet.IDENTITY, Facet.LIVENESS}


def looked_at(number: Number, *rules: dict[str, Any], dead_numbers: str = "off") -> set[Facet]:
    options = PolicyOptions.model_validate({"dead_numbers": {"mode": dead_numbers}, "rules": list(rules)})
    return {facet for facet in Facet if look_at(build(options), number, facet)}


def rule(action: str = "block", **when: Any) -> dict[str, Any]:
    return {"name": "r", "action": action, "when": when}


@pytest.mark.parametrize(
    ("rules", "number", "needed"),
    [
        ([], MOBILE, set()),
        ([rule(prefix=["+4474"])], MOBILE, set()),
        ([rule(mccmnc=["23415"])], MOBILE, {Facet.IDENTITY}),
        ([rule(type=["premium"])], LANDLINE, {Facet.IDENTITY}),
        ([rule(mccmnc=["23415"], country=["FR"])], MOBILE, set()),
        ([rule(reachability={"reason": "unknown_subscriber"})], MOBILE, BOTH),
        ([rule(reachability={"reason": "unknown_subscriber"})], LANDLINE, set()),
        ([rule("tag", reachability={"reason": "absent"})], LANDLINE, BOTH),
    ],
)  # fmt: skip
def test_only_what_a_rule_may_look_at_is_needed(
    rules: list[dict[str, Any]], number: Number, needed: set[Facet]
) -> None:
    assert looked_at(number, *rules) == needed


@pytest.mark.parametrize("mode", ["shadow", "enforce"])
def test_dead_numbers_need_to_be_looked_up_where_they_may_be_mobile(mode: str) -> None:
    assert looked_at(MOBILE, dead_numbers=mode) == BOTH
    assert looked_at(LANDLINE, dead_numbers=mode) == set()
