"""Rules that block are watched: timelines of calls, draws, results and answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import pytest

from agi_lookup.domain.model import Action, CallResult, Liveness, Number, Verdict
from agi_lookup.policy import governance
from agi_lookup.policy.facts import Facts
from agi_lookup.policy.governance import MAX_WATCHED, MOST_SCORED, WATCH_S, Governor, Standing
from agi_lookup.policy.options import DeadNumbers, GovernanceOptions, Mode, PolicyOptions, RuleOptions
from agi_lookup.policy.rules import Rule, build
from tests.fakes import ALIVE, DEAD, NUMBER
from tests.policy.situations import ANSWERED, BUSY, NO_CIRCUIT, NO_SUCH_NUMBER, NOW, RANG, facts

BLOCKED = Verdict(Action.BLOCK, 1, "dead_number")
SHADOWED = Verdict(rule="dead_number", shadow=True)
DAY = 86_400.0


@dataclass
class Watch:
    """A governor with its rules, a clock that the test moves, and a draw that the test sets."""

    options: GovernanceOptions = field(default_factory=GovernanceOptions)
    mode: Mode = Mode.ENFORCE
    others: tuple[dict[str, Any], ...] = ()
    now: float = NOW
    drawn: float = 0.5
    draws: int = 0
    probed: int = 0
    alarms: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.governor = self.new()

    def new(self) -> Governor:
        return Governor(self.options, draw=self.draw, on_alarm=lambda code, detail: self.alarms.append((code, detail)))

    @property
    def rules(self) -> tuple[Rule, ...]:
        rules = tuple(RuleOptions.model_validate(written) for written in self.others)
        return build(PolicyOptions(rules=rules, dead_numbers=DeadNumbers(mode=self.mode)))

    def draw(self) -> float:
        self.draws += 1
        return self.drawn

    def call(self, number: str = NUMBER.e164, known: Facts | None = None) -> Verdict:
        known = known or facts(DEAD, number=replace(NUMBER, e164=number))
        return self.governor.judge(self.rules, known, self.now)

    def look(self, known: Facts | None = None) -> Verdict:
        return self.governor.look(self.rules, known or facts(DEAD), self.now)

    def report(self, result: CallResult, number: str = NUMBER.e164) -> None:
        self.governor.learn(replace(result, number=number), self.now)

    def probes(self, *results: CallResult) -> None:
        """Each of another number, all of them let through."""
        drawn, self.drawn = self.drawn, 0.0
        for result in results:
            self.probed += 1
            number = f"+44740{self.probed:07}"
            self.call(number)
            self.report(result, number)
        self.drawn = drawn

    def hear(self, said: Liveness, times: int = 1, provider: str = "fake", country: str | None = "GB") -> None:
        for _ in range(times):
            self.governor.hear(provider, country, said, self.now)

    @property
    def standing(self) -> Standing:
        return self.governor.standings(self.rules, self.now)[-1]


def test_a_rule_in_force_blocks_but_for_its_probes() -> None:
    watch = Watch(GovernanceOptions(probe_share=0.02))
    watch.drawn = 0.02
    assert watch.call() == BLOCKED
    watch.drawn = 0.0199
    assert watch.call() == SHADOWED
    assert (watch.standing.blocked, watch.standing.probes, watch.standing.would_block) == (1, 1, 0)


def test_who_only_looks_hears_what_a_call_would_and_leaves_no_trace() -> None:
    watch = Watch(GovernanceOptions(probe_share=1.0), others=({**IRSF, "mode": "shadow", "probe_share": 1.0},))
    watch.drawn = 0.0
    before = watch.governor.export()

    assert watch.look() == BLOCKED
    assert watch.look(facts(ALIVE)) == Verdict(rule="irsf", shadow=True)
    watch.report(ANSWERED)
    assert watch.draws == 0
    assert watch.governor.export() == before, "nobody waits for the result either"


def test_who_only_looks_sees_which_rule_and_whose_word_are_not_trusted() -> None:
    watch = returned()
    assert watch.look() == SHADOWED

    watch = Watch()
    watch.hear(DEAD, 12)
    assert watch.look() == SHADOWED


def test_nothing_is_drawn_for_a_call_that_is_not_blocked() -> None:
    watch = Watch(mode=Mode.SHADOW)
    watch.call()
    watch.call(known=facts(ALIVE))

    assert watch.draws == 0
    assert (watch.standing.mode, watch.standing.would_block, watch.standing.probes) == ("shadow", 1, 0)


def test_calls_that_went_through_are_scored_by_their_result() -> None:
    watch = Watch()
    watch.probes(*[ANSWERED] * 2, *[RANG] * 1, *[BUSY] * 1, *[NO_SUCH_NUMBER] * 12, *[NO_CIRCUIT] * 5)

    assert (watch.standing.probes, watch.standing.scored, watch.standing.false_blocks) == (21, 16, 0.25)
    assert (watch.standing.low, watch.standing.high) == pytest.approx((0.1019, 0.4950), abs=1e-4)


def test_in_shadow_every_call_is_scored() -> None:
    watch = Watch(mode=Mode.SHADOW)
    watch.probes(*[ANSWERED] * 50)

    assert (watch.standing.would_block, watch.standing.scored, watch.standing.false_blocks) == (50, 50, 1.0)
    assert not watch.alarms, "it blocks nobody"


def test_blocked_calls_score_nothing() -> None:
    watch = Watch()
    watch.call()
    watch.report(ANSWERED)

    assert (watch.standing.scored, watch.standing.false_blocks) == (0, None)


SCORES = {
    "a number scores once": ([NO_SUCH_NUMBER, NO_SUCH_NUMBER], (1, 0.0)),
    "the next carrier reached somebody": ([NO_SUCH_NUMBER, ANSWERED], (1, 1.0)),
    "what one reached, the next cannot deny": ([ANSWERED, NO_SUCH_NUMBER], (1, 1.0)),
    "the network's trouble is no score": ([NO_CIRCUIT, NO_CIRCUIT], (0, None)),
    "and does not hide one": ([NO_CIRCUIT, RANG], (1, 1.0)),
}


@pytest.mark.parametrize(("results", "expected"), SCORES.values(), ids=SCORES.keys())
def test_a_call_over_several_routes_is_one_call(results: list[CallResult], expected: tuple[int, float | None]) -> None:
    watch = Watch(mode=Mode.SHADOW)
    watch.call()
    for result in results:
        watch.report(result)

    assert (watch.standing.scored, watch.standing.false_blocks) == expected


def test_a_dialler_that_repeats_a_number_scores_once_in_four_hours() -> None:
    watch = Watch(mode=Mode.SHADOW)
    for _ in range(9):
        watch.call()
        watch.report(NO_SUCH_NUMBER)
        watch.now += WATCH_S / 10
    assert watch.standing.scored == 1
    watch.now += WATCH_S / 10
    watch.call()
    watch.report(NO_SUCH_NUMBER)
    assert (watch.standing.scored, watch.standing.would_block) == (2, 10)


def test_a_result_that_comes_too_late_scores_nothing() -> None:
    watch = Watch(mode=Mode.SHADOW)
    watch.call()
    watch.now += WATCH_S
    watch.report(ANSWERED)

    assert watch.standing.scored == 0


def test_a_rule_over_its_budget_goes_back_to_shadow() -> None:
    watch = Watch(GovernanceOptions(false_block_budget=0.01, min_scored=20))
    watch.probes(*[NO_SUCH_NUMBER] * 18, ANSWERED)
    assert watch.call() == BLOCKED
    watch.probes(ANSWERED)

    assert watch.call() == SHADOWED
    assert watch.standing.mode == "returned"
    assert watch.alarms == [("false_blocks", "dead_number: 2 of 20 scored calls reached somebody; it is in shadow now")]


def test_one_false_block_among_few_proves_nothing_yet() -> None:
    watch = Watch(GovernanceOptions(false_block_budget=0.01, min_scored=20))
    watch.probes(ANSWERED, *[NO_SUCH_NUMBER] * 60)

    assert watch.standing.mode == "enforce"


def test_the_upper_bound_asks_for_proof_of_innocence() -> None:
    watch = Watch(GovernanceOptions(false_block_budget=0.05, bound="upper", min_scored=80))
    watch.probes(*[NO_SUCH_NUMBER] * 79)
    assert watch.standing.mode == "enforce"
    watch.probes(NO_SUCH_NUMBER)
    assert watch.standing.mode == "enforce", "at most 4.6 %"
    watch.probes(ANSWERED)
    assert watch.standing.mode == "returned", "at most 6.7 %"


def returned(**options: Any) -> Watch:
    watch = Watch(GovernanceOptions(**options))
    watch.probes(*[ANSWERED] * 20)
    assert watch.standing.mode == "returned"
    return watch


def test_only_an_operator_brings_it_back() -> None:
    watch = returned()
    watch.now += 1000 * DAY
    assert watch.call("+447400999999") == SHADOWED
    assert watch.governor.enforce_again("dead_number")
    assert watch.call("+447400999998") == BLOCKED
    assert watch.standing.scored == 0, "it starts anew"


def test_nothing_else_is_brought_back() -> None:
    watch = returned()

    assert not watch.governor.enforce_again("dead")
    assert not Watch().governor.enforce_again("dead_number")
    assert watch.standing.mode == "returned"


def test_or_a_stated_time_does() -> None:
    watch = returned(shadow_s=DAY)
    watch.now += DAY - 1
    assert watch.call("+447400999999") == SHADOWED
    watch.now += 1
    assert watch.call("+447400999999") == BLOCKED


def test_not_while_it_is_no_better_in_shadow() -> None:
    """Its time starts again, and it is told once."""
    watch = returned(shadow_s=DAY)
    watch.now += DAY / 2
    watch.probes(*[ANSWERED] * 20)
    watch.now += DAY / 2
    assert watch.call("+447400999999") == SHADOWED
    watch.now += DAY / 2
    assert watch.call("+447400999999") == BLOCKED
    assert len(watch.alarms) == 1


def test_old_results_fade() -> None:
    watch = Watch(GovernanceOptions(false_block_budget=1.0))
    watch.probes(*[ANSWERED] * MOST_SCORED)
    watch.probes(*[NO_SUCH_NUMBER] * (3 * MOST_SCORED // 2))

    assert watch.standing.scored <= MOST_SCORED
    assert watch.standing.false_blocks is not None
    assert watch.standing.false_blocks < 0.2


IRSF = {"name": "irsf", "action": "block", "when": {"prefix": "+44"}, "mode": "enforce"}


def test_a_number_blocked_for_where_it_leads_is_no_probe() -> None:
    """It would answer: that is the fraud."""
    watch = Watch(GovernanceOptions(probe_share=1.0), others=(IRSF,))
    watch.drawn = 0.0

    assert watch.call() == Verdict(Action.BLOCK, 21, "irsf")


def test_nor_is_it_scored_in_shadow() -> None:
    watch = Watch(others=({**IRSF, "mode": "shadow"},), mode=Mode.OFF)
    watch.call()
    watch.report(ANSWERED)

    (irsf,) = watch.governor.standings(watch.rules, watch.now)
    assert (irsf.would_block, irsf.scored) == (1, 0)


def test_unless_its_rule_says_so() -> None:
    watch = Watch(others=({**IRSF, "probe_share": 0.1},))
    watch.drawn = 0.09
    assert watch.call() == Verdict(rule="irsf", shadow=True)
    watch.report(ANSWERED)
    irsf = watch.governor.standings(watch.rules, watch.now)[0]
    assert (irsf.rule, irsf.probes, irsf.scored) == ("irsf", 1, 1)


def test_a_shadow_rule_before_a_block_is_counted_and_scored_with_the_probe() -> None:
    shadow = {"name": "new", "action": "block", "when": {"reachability": {"valid": "no"}}}
    watch = Watch(others=(shadow,))
    assert watch.call() == BLOCKED
    watch.probes(ANSWERED)

    new, dead = watch.governor.standings(watch.rules, watch.now)
    assert (new.would_block, new.scored, dead.blocked, dead.scored) == (2, 1, 1, 1)


def test_an_allowed_call_is_still_scored_for_the_rule_in_shadow_before() -> None:
    shadow = {"name": "new", "action": "block", "when": {"reachability": {"valid": "no"}}}
    watch = Watch(others=(shadow, {"name": "ours", "action": "allow", "when": {"country": "GB"}}))

    assert watch.call() == Verdict(rule="ours")
    watch.report(ANSWERED)
    assert watch.governor.standings(watch.rules, watch.now)[0].scored == 1


def test_a_number_without_e164_is_never_remembered() -> None:
    everything = {"name": "short", "action": "block", "when": {"kind": "short"}, "probe_share": 1.0}
    watch = Watch(others=(everything,))
    watch.call(known=facts(number=Number("", "GB", kind="short")))  # type: ignore[arg-type]
    watch.report(ANSWERED, number="")

    assert watch.governor.standings(watch.rules, watch.now)[0].scored == 0


def test_numbers_waited_for_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(governance, "MAX_WATCHED", 3)
    watch = Watch(mode=Mode.SHADOW)
    for last in range(5):
        watch.call(f"+44740012345{last}")
    for last in range(5):
        watch.report(ANSWERED, f"+44740012345{last}")

    assert watch.standing.scored == 3
    assert MAX_WATCHED > 3


def test_what_a_mad_provider_says_blocks_nobody() -> None:
    """B5."""
    watch = Watch()
    watch.hear(ALIVE, 300)
    assert watch.call() == BLOCKED
    watch.hear(DEAD, 12)

    assert watch.call() == SHADOWED
    assert watch.alarms == [("answers_jumped", "fake GB: 8 of 12 answers dead, usual is 0%; it blocks nobody")]
    assert watch.governor.distrusted(watch.now) == ["fake GB"]


def test_it_is_distrusted_only_where_it_went_mad() -> None:
    watch = Watch()
    watch.hear(DEAD, 12)

    assert watch.call(known=facts(DEAD, provider="other")) == BLOCKED
    assert watch.call(known=facts(DEAD, number=replace(NUMBER, country="FR"))) == BLOCKED
    assert watch.call(known=facts(DEAD, number=replace(NUMBER, country=None))) == BLOCKED
    watch.hear(DEAD, 12, country=None)
    assert watch.call(known=facts(DEAD, number=replace(NUMBER, country=None))) == SHADOWED


def test_its_madness_is_not_held_against_the_rule() -> None:
    watch = Watch()
    watch.hear(DEAD, 12)
    watch.probes(*[ANSWERED] * 50)

    assert (watch.standing.scored, watch.standing.mode, watch.standing.would_block) == (0, "enforce", 50)


def test_rules_on_the_number_go_on() -> None:
    watch = Watch(others=(IRSF,))
    watch.hear(DEAD, 12)

    assert watch.call() == Verdict(Action.BLOCK, 21, "irsf")


def test_an_operator_or_time_brings_trust_back() -> None:
    watch = Watch(GovernanceOptions(distrust_s=3600))
    watch.hear(DEAD, 12)
    assert not watch.governor.trust_again("other", watch.now)
    assert watch.governor.trust_again("fake", watch.now)
    assert watch.call() == BLOCKED
    assert not watch.governor.trust_again("fake", watch.now)

    watch.hear(DEAD, 12)
    assert watch.call() == SHADOWED
    watch.hear(ALIVE, 60)
    watch.now += 3600
    assert watch.call() == BLOCKED


def test_a_rule_back_in_shadow_ends_no_call_before_its_lookup() -> None:
    watch = Watch(GovernanceOptions(min_scored=1), others=({**IRSF, "probe_share": 0.1},))
    before = facts(None)
    assert watch.governor.skips_lookup(watch.rules, before, watch.now) == "irsf"
    watch.probes(*[ANSWERED] * 3)
    assert watch.governor.skips_lookup(watch.rules, before, watch.now) == ""


def test_a_reload_keeps_what_a_rule_has_earned_and_forgets_the_changed() -> None:
    watch = Watch(GovernanceOptions(min_scored=1), others=({**IRSF, "probe_share": 0.1},))
    watch.probes(*[ANSWERED] * 3)
    watch.governor.configure(GovernanceOptions(probe_share=0.5), watch.rules)
    assert watch.governor.standings(watch.rules, watch.now)[0].mode == "returned"

    watch.others = (IRSF,)
    watch.governor.configure(watch.options, watch.rules)
    assert watch.governor.standings(watch.rules, watch.now)[0].mode == "enforce"
    assert [key.partition("#")[0] for key in watch.governor.export()["records"]] == ["dead_number"]


def test_calls_of_a_rule_that_is_gone_score_nothing() -> None:
    watch = Watch(mode=Mode.SHADOW)
    watch.call()
    watch.mode = Mode.ENFORCE
    watch.governor.configure(watch.options, watch.rules)
    watch.report(ANSWERED)

    assert watch.governor.export()["records"] == {}


def test_a_restart_forgets_nothing_and_writes_no_number() -> None:
    watch = returned()
    watch.hear(ALIVE, 300)
    watch.hear(DEAD, 30)
    watch.call()
    exported = json.dumps(watch.governor.export())
    restarted = watch.new()
    restarted.restore(json.loads(exported))
    restarted.configure(watch.options, watch.rules)

    assert restarted.standings(watch.rules, watch.now) == watch.governor.standings(watch.rules, watch.now)
    assert restarted.distrusted(watch.now) == ["fake GB"]
    assert "4474" not in exported


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"records": {"a": {"blocked": "x"}}},
        {"records": {"a": {"dead": -1}}},
        {"circuits": {"a": {"last": 999}}},
        {"x": 1},
    ],
)
def test_what_was_not_exported_is_refused_and_changes_nothing(data: Any) -> None:
    """C15."""
    watch = returned()
    with pytest.raises(ValueError, match="no exported governance"):
        watch.governor.restore(data)

    assert watch.standing.mode == "returned"


def test_nonsense_that_looks_exported_raises_nothing_later() -> None:
    watch = Watch()
    circuit = {
        "dead": {"last": 2**60, "before": 1e300},
        "unreachable": {},
        "last": 60,
        "before": 1e-300,
        "opened_at": 1e300,
    }
    key = watch.rules[-1].key
    watch.governor.restore({"records": {key: {"reached": 1e-300, "dead": 1e300}}, "circuits": {"fake GB": circuit}})

    watch.hear(DEAD, 200)
    watch.probes(ANSWERED, NO_SUCH_NUMBER)
    assert watch.standing.mode == "enforce"
    assert GovernanceOptions().shadow_s == inf
