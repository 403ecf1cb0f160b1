"""What the config refuses, in one clear line each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agi_lookup.config import read
from agi_lookup.domain.errors import ConfigError
from agi_lookup.domain.model import Reason
from agi_lookup.policy.evidence import DEFINITIVE
from agi_lookup.policy.options import DeadNumbers, GovernanceOptions, PolicyOptions, RuleOptions

BLOCK = {"name": "x", "action": "block"}
GB = {"country": "GB"}

REFUSED = {
    "would match every call": {**BLOCK},
    "say `when` or `unless`": {**BLOCK, "when": {}, "unless": {}},
    "are for `action: block`": {"name": "x", "action": "allow", "when": GB, "cause": 21},
    "`probe_share`": {"name": "x", "action": "tag", "when": GB, "probe_share": 0.5},
    "can be in shadow": {"name": "x", "action": "skip_lookup", "when": GB, "mode": "shadow"},
    "before any lookup": {"name": "x", "action": "skip_lookup", "when": {"carrier": "x"}},
    "conditions on the number": {"name": "x", "action": "skip_lookup", "when": GB, "unless": {"dead_score": 1}},
    "ranges are in use": {**BLOCK, "when": {"valid": "no"}},
    "beside `valid`": {**BLOCK, "when": {"valid": "no", "caller": "x"}},
    "numbering plan has them": {**BLOCK, "unless": {"valid": "yes"}},
    "use 1 to 64 letters": {"name": "a,b", "action": "block", "when": GB},
    "for a name": {"name": " x", "action": "block", "when": GB},
    "shown in LOOKUP_RULE": {"name": "", "action": "block", "when": GB},
    "'dead_number' has a meaning": {"name": "dead_number", "action": "block", "when": GB},
    "'allow_list' has a meaning": {"name": "allow_list", "action": "block", "when": GB},
    "'shadow:x' has a meaning": {"name": "shadow:x", "action": "block", "when": GB},
    "Input should be": {"name": "x", "action": "hang_up", "when": GB},
    "less than or equal to 127": {**BLOCK, "when": GB, "cause": 128},
    "Extra inputs": {**BLOCK, "when": GB, "colour": "red"},
}


@pytest.mark.parametrize(("says", "written"), REFUSED.items())
def test_a_rule_that_makes_no_sense_is_refused(says: str, written: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=says):
        RuleOptions.model_validate(written)


ACCEPTED = (
    {**BLOCK, "when": {"valid": "no", "country": "GB"}},
    {**BLOCK, "when": GB, "unless": {"valid": "yes"}},
    {"name": "x", "action": "tag", "when": {"valid": "no"}},
    {"name": "x", "action": "allow", "when": GB, "mode": "off"},
    {"name": "x", "action": "skip_lookup", "when": {"type": "landline"}, "unless": {"caller": "x"}, "mode": "enforce"},
    {"name": "a B_c.:+/@-1", "action": "block", "when": GB, "cause": 127, "probe_share": 1},
)


@pytest.mark.parametrize("written", ACCEPTED)
def test_a_rule_that_makes_sense_is_taken(written: dict[str, Any]) -> None:
    assert RuleOptions.model_validate(written).name == written["name"]


@pytest.mark.parametrize("reason", sorted(set(Reason) - DEFINITIVE))
def test_no_reason_that_may_pass_can_be_made_to_block(reason: Reason) -> None:
    """B3."""
    with pytest.raises(ValidationError, match="never blocks; use invalid_number or unknown_subscriber"):
        DeadNumbers(reasons=frozenset({reason}))


def test_two_rules_of_one_name_are_refused() -> None:
    written = {**BLOCK, "when": GB}
    with pytest.raises(ValidationError, match="'x' stands twice"):
        PolicyOptions.model_validate({"rules": [written, written]})


def test_a_stay_may_last_until_an_operator_ends_it() -> None:
    assert (
        GovernanceOptions.model_validate({"shadow_s": "inf", "distrust_s": "inf"}).shadow_s
        == GovernanceOptions().shadow_s
    )


CONFIG = """
profiles:
  default:
    dial_plan:
      country: GB
policy:
  allow: ["+441632960000"]
  dead_numbers: {{mode: enforce, score: 2}}
  rules:
    - name: irsf
      when: {{prefix: ["+88213"], time: {{hours: 18:00-08:00, zone: Europe/London}}}}
      unless: {{caller: PJSIP/trusted*}}
      action: block
      cause: 21
      mode: enforce
    - name: {name}
      when: {{{condition}}}
      action: tag
  governance: {{probe_share: 0.05, shadow_s: 86400}}
  history: {{answered_days: 14}}
"""


def written(tmp_path: Path, name: str = "no at home", condition: str = "ported: no") -> Path:
    path = tmp_path / "agi-lookup.yaml"
    path.write_text(CONFIG.format(name=name, condition=condition))
    return path


def test_rules_are_read_from_the_config(tmp_path: Path) -> None:
    policy = read(written(tmp_path)).policy

    assert [(rule.name, rule.in_shadow) for rule in policy.rules] == [("irsf", False), ("no at home", False)]
    assert (policy.dead_numbers.score, policy.governance.shadow_s, policy.history.answered_days) == (2, 86_400, 14)


PROBLEMS = {
    "colour: red": ":17: policy.rules.1.when.colour: unknown key; remove it or check the spelling",
    "agreement: yes": ":17: policy.rules.1.when.agreement: unknown key; remove it or check the spelling",
    "ported: unknown": ":17: policy.rules.1.when.ported: what is unknown matches no rule; leave `unknown` out",
    "country: UK": ":17: policy.rules.1.when.country.0: not a country that the numbering plan knows",
    "reachability: {reason: gone}": ":17: policy.rules.1.when.reachability.reason.0: Input should be",
}


@pytest.mark.parametrize(("condition", "line"), PROBLEMS.items())
def test_a_condition_that_is_none_is_named_with_its_line(tmp_path: Path, condition: str, line: str) -> None:
    """A1."""
    path = written(tmp_path, condition=condition)
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}{line}")
    assert len(str(caught.value).splitlines()) == 1
