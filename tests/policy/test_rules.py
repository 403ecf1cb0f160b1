"""Which rule has the word, and what a rule that only would have blocked changes: nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_lookup.domain.errors import ConfigError
from agi_lookup.domain.model import ALLOW, Action, Identity, NumberType, Reason, Tri, Verdict
from agi_lookup.policy.facts import Facts
from agi_lookup.policy.history import History
from agi_lookup.policy.options import DeadNumbers, Mode, PolicyOptions, RuleOptions
from agi_lookup.policy.rules import Rule, build, decide_early, evaluate, explain, is_dead, rule_on, skips_lookup
from tests.fakes import ABSENT, DEAD, KNOWN, NUMBER
from tests.policy.situations import facts

ENFORCE = PolicyOptions(dead_numbers=DeadNumbers(mode=Mode.ENFORCE))
NOWHERE = {"prefix": "+1"}
HERE = {"prefix": "+44"}
EVERYWHERE = facts()


def rule(name: str, action: str, when: dict[str, Any], **more: Any) -> RuleOptions:
    return RuleOptions.model_validate({"name": name, "action": action, "when": when, **more})


def rules(*written: RuleOptions, **policy: Any) -> tuple[Rule, ...]:
    return build(PolicyOptions(rules=written, dead_numbers=DeadNumbers(mode=Mode.OFF), **policy))


def block(name: str, when: dict[str, Any] = HERE, **more: Any) -> RuleOptions:
    return rule(name, "block", when, **{"mode": "enforce", **more})


def test_a_fresh_word_of_the_subscribers_own_network_blocks() -> None:
    """B4."""
    assert evaluate(build(ENFORCE), facts(DEAD)) == Verdict(Action.BLOCK, 1, "dead_number")


def test_shadow_is_the_default_and_allows() -> None:
    assert evaluate(build(PolicyOptions()), facts(DEAD)) == Verdict(Action.ALLOW, None, "dead_number", shadow=True)
    assert evaluate(rules(rule("new", "block", HERE)), EVERYWHERE) == Verdict(rule="new", shadow=True)


def test_off_says_nothing() -> None:
    off = PolicyOptions(dead_numbers=DeadNumbers(mode=Mode.OFF), rules=(block("a", mode="off"),))

    assert evaluate(build(off), facts(DEAD)) == Verdict()


def test_the_configured_reasons_and_cause_are_used() -> None:
    only = DeadNumbers(mode=Mode.ENFORCE, reasons=frozenset({Reason.INVALID_NUMBER}), cause=20)
    built = build(PolicyOptions(dead_numbers=only))

    assert evaluate(built, facts(replace(DEAD, reason=Reason.INVALID_NUMBER))).cause == 20
    assert evaluate(built, facts(DEAD)) == ALLOW


def test_more_kinds_of_evidence_can_be_asked_for() -> None:
    """Only two carriers, or three tries in vain, add to the network's word; one vendor's causes never do."""
    built = build(PolicyOptions(dead_numbers=DeadNumbers(mode=Mode.ENFORCE, score=2)))
    histories = {
        None: False,
        History(refused_by=1, tries=2): False,
        History(refused_by=2): True,
        History(tries=3): True,
        History(alive=True, refused_by=2, tries=3): False,
    }

    for history, blocked in histories.items():
        assert evaluate(built, facts(DEAD, history=history)).blocks is blocked, history
        assert not evaluate(built, facts(ABSENT, history=history)).blocks, history


def test_the_allow_list_wins() -> None:
    """B4."""
    for listed in ("+447400123456", "+4474", "+44"):
        built = build(ENFORCE.model_copy(update={"allow": (listed,), "rules": (block("all"),)}))

        assert evaluate(built, facts(DEAD)) == Verdict(rule="allow_list"), listed
        assert not rule_on(built, facts(DEAD)).shadows


def test_the_allow_list_speaks_for_its_own_numbers_only() -> None:
    for listed in ("+447400123457", "+4475", "+1"):
        built = build(ENFORCE.model_copy(update={"allow": (listed,)}))

        assert evaluate(built, facts(DEAD)).blocks, listed
        assert evaluate(built, facts(number=replace(NUMBER, e164=""))) == ALLOW, "a short code is on no list"


def test_the_first_rule_that_decides_ends_it() -> None:
    first = rules(block("a", NOWHERE), rule("b", "allow", HERE), block("c"))
    second = rules(block("c", cause=27), rule("b", "allow", HERE))

    assert evaluate(first, EVERYWHERE) == Verdict(rule="b")
    assert rule_on(first, EVERYWHERE).decided == first[2]
    assert evaluate(second, EVERYWHERE) == Verdict(Action.BLOCK, 27, "c")
    assert rule_on(second, EVERYWHERE).decided == second[1]


def test_a_block_without_a_cause_says_call_rejected() -> None:
    assert evaluate(rules(block("a")), EVERYWHERE).cause == 21


def test_rules_come_before_dead_numbers() -> None:
    built = build(ENFORCE.model_copy(update={"rules": (rule("ours", "allow", HERE),)}))

    assert evaluate(built, facts(DEAD)) == Verdict(rule="ours")


def test_a_shadow_rule_changes_nothing_for_the_call() -> None:
    shadow = rule("new", "block", HERE)
    for others in ((block("old"),), (rule("ours", "allow", HERE),), (rule("label", "tag", HERE),)):
        without, with_it = rules(*others), rules(shadow, *others)

        assert evaluate(with_it, EVERYWHERE) == evaluate(without, EVERYWHERE)
        assert rule_on(with_it, EVERYWHERE).shadows == (with_it[1],)


def test_all_rules_that_would_have_blocked_are_told_and_the_first_is_named() -> None:
    built = rules(rule("a", "block", HERE), rule("b", "block", NOWHERE), rule("c", "block", HERE))
    ruling = rule_on(built, EVERYWHERE)

    assert ruling.verdict == Verdict(rule="a", shadow=True)
    assert [shadow.name for shadow in ruling.shadows] == ["a", "c"]
    assert ruling.decided is None


def test_a_tag_names_itself_and_leaves_the_word_to_others() -> None:
    tags = (rule("first", "tag", HERE), rule("second", "tag", HERE))

    assert evaluate(rules(*tags), EVERYWHERE) == Verdict(rule="first")
    assert rule_on(rules(*tags), EVERYWHERE).decided is None
    assert evaluate(rules(*tags, block("no")), EVERYWHERE) == Verdict(Action.BLOCK, 21, "no")
    assert evaluate(rules(*tags, rule("yes", "allow", HERE)), EVERYWHERE) == Verdict(rule="yes")


def test_a_tag_and_an_allow_may_look_at_what_blocks_nobody() -> None:
    absent = {"reachability": {"reason": "absent"}}

    assert evaluate(rules(rule("off", "tag", absent)), facts(ABSENT)) == Verdict(rule="off")
    assert (
        evaluate(rules(rule("ours", "allow", {"mccmnc": "23415"})), facts(None, KNOWN, stale_identity=True)).rule
        == "ours"
    )
    assert evaluate(rules(block("no", absent)), facts(ABSENT)) == ALLOW


def test_a_rule_kept_in_shadow_blocks_nobody_and_the_next_one_decides() -> None:
    built = rules(block("a"), block("b"))
    ruling = rule_on(built, EVERYWHERE, lambda rule: rule.name == "a")

    assert ruling.verdict == Verdict(Action.BLOCK, 21, "b")
    assert ruling.shadows == (built[1],)


def test_unless_needs_a_plain_no() -> None:
    """What is unknown neither matches nor exempts."""
    gb_only = rules(block("abroad", HERE, unless={"country": ["GB", "IE"]}))
    only_unless = rules(
        RuleOptions.model_validate({"name": "x", "action": "block", "mode": "enforce", "unless": {"country": "FR"}})
    )
    french, nowhere = replace(NUMBER, country="FR"), replace(NUMBER, country=None)

    assert evaluate(gb_only, facts(number=french)).blocks
    assert not evaluate(gb_only, facts()).blocks
    assert not evaluate(gb_only, facts(number=nowhere)).blocks
    assert evaluate(only_unless, facts()).blocks
    assert not evaluate(only_unless, facts(number=french)).blocks
    assert not evaluate(only_unless, facts(number=nowhere)).blocks


def test_a_lookup_is_skipped_where_a_rule_says_so() -> None:
    skip = rule("free", "skip_lookup", {"type": ["landline", "toll_free"]})
    landline = facts(number=replace(NUMBER, type=NumberType.LANDLINE))

    assert skips_lookup(rules(skip), landline) == "free"
    assert skips_lookup(rules(block("x", {"ported": "yes"}), skip), landline) == "free"
    assert skips_lookup(rules(skip), facts()) == ""
    assert skips_lookup(rules(rule("t", "tag", HERE), rule("a", "allow", HERE)), facts()) == ""


def test_skipping_a_lookup_decides_nothing_about_the_call() -> None:
    built = rules(rule("free", "skip_lookup", HERE), block("no"))

    assert evaluate(rules(rule("free", "skip_lookup", HERE)), EVERYWHERE) == ALLOW
    assert evaluate(built, EVERYWHERE).rule == "no"


def test_nobody_is_paid_for_a_call_that_ends_anyway() -> None:
    built = rules(rule("t", "tag", HERE), block("irsf"))

    assert skips_lookup(built, EVERYWHERE) == "irsf"
    assert (
        skips_lookup(
            rules(block("x", {"ported": "yes"}), rule("t", "tag", {"carrier": "x"}), block("irsf")), EVERYWHERE
        )
        == "irsf"
    )
    assert skips_lookup(rules(block("x", {"ported": "yes"}), block("irsf", NOWHERE)), EVERYWHERE) == ""
    assert skips_lookup(built, EVERYWHERE, lambda rule: rule.name == "irsf") == "", "kept in shadow"
    assert skips_lookup(rules(rule("irsf", "block", HERE)), EVERYWHERE) == ""
    assert skips_lookup(rules(rule("ours", "allow", HERE), block("irsf")), EVERYWHERE) == ""
    assert (
        skips_lookup(build(ENFORCE.model_copy(update={"allow": ("+44",), "rules": (block("irsf"),)})), EVERYWHERE) == ""
    )


def test_only_what_can_decide_early_is_asked_early() -> None:
    assert decide_early(rules(block("irsf")))
    assert decide_early(rules(rule("free", "skip_lookup", {"type": "landline"})))
    assert not decide_early(rules(rule("t", "tag", HERE), rule("a", "allow", HERE), block("x", {"ported": "yes"})))


def test_a_call_is_not_ended_before_a_lookup_that_could_save_it() -> None:
    for saving in ({"mccmnc": "23415"}, {"type": "mobile"}, {"reachability": {"reachable": "yes"}}):
        built = rules(rule("ours", "allow", saving), block("irsf"))

        assert skips_lookup(built, facts(number=replace(NUMBER, type=NumberType.UNKNOWN))) == "", saving


def test_explain_tells_of_every_rule_whether_it_matches() -> None:
    built = rules(block("a"), block("b", NOWHERE), block("c", {"ported": "yes"}), rule("d", "tag", {"ported": "yes"}))
    told = {rule.name: holds for rule, holds in explain(built, facts(None, KNOWN, stale_identity=True))}

    assert told == {"allow_list": Tri.NO, "a": Tri.YES, "b": Tri.NO, "c": Tri.UNKNOWN, "d": Tri.YES}


def test_a_rule_knows_what_it_looks_at() -> None:
    built = {
        built.name: (built.before, built.on_liveness, built.shadow, built.probe_share)
        for built in rules(
            block("number"),
            block("answer", {"ported": "yes"}, probe_share=0.5),
            rule("live", "block", HERE, unless={"reachability": {"reachable": "yes"}}),
            rule("either", "tag", {"type": "mobile"}),
        )
    }

    assert built["number"] == (True, False, False, None)
    assert built["answer"] == (False, False, False, 0.5)
    assert built["live"] == (False, True, True, None)
    assert built["either"] == (False, False, False, None)
    assert [(r.before, r.on_liveness, r.shadow) for r in build(PolicyOptions())] == [
        (True, False, False),
        (False, True, True),
    ]
    assert [r.shadow for r in build(ENFORCE)] == [False, False]


def key(**more: Any) -> str:
    return rules(block("a", **more))[1].key


def test_a_changed_rule_is_another_rule() -> None:
    assert key(when={"country": ["GB", "FR", "IE"]}) == key(when={"country": ["IE", "GB", "FR"]})
    assert (
        len({key(), key(cause=1), key(mode="shadow"), key(when={"country": "GB"}), key(unless={"country": "GB"})}) == 5
    )


def test_a_list_that_cannot_be_read_is_said_when_rules_are_built(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"irsf.txt: cannot be read"):
        rules(block("irsf", {"prefix_file": str(tmp_path / "irsf.txt")}))


def test_a_listed_range_is_blocked(tmp_path: Path) -> None:
    feed = tmp_path / "irsf.txt"
    feed.write_text("# IRSF\n+88213\n4474001\n")
    built = rules(block("irsf", {"prefix_file": str(feed)}))

    assert evaluate(built, EVERYWHERE).rule == "irsf"
    assert evaluate(built, facts(number=replace(NUMBER, e164="+447400223456"))) == ALLOW


def test_no_evidence_is_not_dead() -> None:
    assert not is_dead(None)


def test_an_identity_may_be_looked_at_where_liveness_says_nothing() -> None:
    built = rules(block("host", {"carrier": "Example Mobile"}))

    assert evaluate(built, facts(ABSENT, Identity(carrier="EXAMPLE mobile"))).blocks


WORDS = st.sampled_from(["allow", "block", "tag", "skip_lookup"])


@given(st.lists(st.tuples(WORDS, st.booleans(), st.booleans()), max_size=8))
def test_the_ruling_is_that_of_a_plain_reading(written: list[tuple[str, bool, bool]]) -> None:
    """Against the rules of precedence spelled out: first to decide, else first tag, else first shadow."""
    built = rules(
        *(
            rule(
                str(index),
                action,
                HERE if holds else NOWHERE,
                mode=("enforce" if force or action != "block" else "shadow"),
            )
            for index, (action, holds, force) in enumerate(written)
        )
    )
    holding = [(str(index), action, force) for index, (action, holds, force) in enumerate(written) if holds]
    deciding = [(name, action) for name, action, force in holding if action == "allow" or (action == "block" and force)]
    tags = [name for name, action, _ in holding if action == "tag"]
    shadows = [name for name, action, force in holding if action == "block" and not force]

    got = evaluate(built, Facts(NUMBER))

    if deciding:
        assert (got.rule, got.action.value, got.shadow) == (*deciding[0], False)
    elif tags:
        assert got == Verdict(rule=tags[0])
    elif shadows:
        assert got == Verdict(rule=shadows[0], shadow=True)
    else:
        assert got == ALLOW
