"""What one instance's governor hears of another's: timelines without a server between."""

from __future__ import annotations

from agi_lookup.policy.governance import MOST_SCORED
from agi_lookup.policy.options import GovernanceOptions, Mode
from agi_lookup.policy.peers import Seen, Tally
from tests.fakes import ALIVE, DEAD, NUMBER
from tests.policy.situations import ANSWERED, NO_SUCH_NUMBER
from tests.policy.test_governance import BLOCKED, SHADOWED, Watch, returned

OPTIONS = GovernanceOptions(distrust_s=3600)


def watch() -> Watch:
    made = Watch(OPTIONS)
    made.governor.configure(OPTIONS, made.rules)
    return made


def follow(mine: Watch, *others: Watch, later_s: float = 0.0) -> None:
    mine.now += later_s
    mine.governor.follow([other.governor.seen(other.now) for other in others], mine.now)


def test_a_return_to_shadow_elsewhere_is_followed_told_and_measured_anew() -> None:
    """B5."""
    mine, other = watch(), returned()
    mine.probes(ANSWERED)
    assert mine.look() == BLOCKED

    follow(mine, other)

    assert mine.look() == SHADOWED
    assert [code for code, _ in mine.alarms] == ["false_blocks"]
    assert mine.alarms[0][1].startswith("dead_number: as another instance found")
    assert mine.standing.mode == "returned"
    assert mine.governor.seen(mine.now).rules.popitem()[1].reached == 0


def test_a_return_is_followed_once_and_an_operators_word_stands_until_the_next() -> None:
    mine, other = watch(), returned()
    follow(mine, other)
    assert mine.governor.enforce_again("dead_number")

    follow(mine, other)
    assert mine.look() == BLOCKED

    other.governor.enforce_again("dead_number")
    other.now += 60
    other.probes(*[ANSWERED] * 20)
    follow(mine, other, later_s=120)
    assert mine.look() == SHADOWED
    assert len(mine.alarms) == 2


def test_who_is_back_in_shadow_at_least_as_late_is_told_nothing() -> None:
    mine, other = returned(), returned()
    mine.governor.configure(mine.options, mine.rules)
    told = len(mine.alarms)

    follow(mine, other)

    assert len(mine.alarms) == told


def test_a_return_by_a_clock_that_is_ahead_tells_nothing_new_to_who_is_back_by_now() -> None:
    """C16."""
    mine = returned()
    mine.governor.configure(mine.options, mine.rules)
    told = len(mine.alarms)

    mine.governor.follow([Seen({mine.rules[-1].key: Tally(returned_at=mine.now + 100)})], mine.now)

    assert len(mine.alarms) == told


def test_after_a_restart_a_return_that_was_known_is_not_followed_again() -> None:
    before, other = returned(), returned()
    after = watch()
    after.governor.restore(before.governor.export())
    after.governor.configure(OPTIONS, after.rules)
    assert after.governor.enforce_again("dead_number")

    follow(after, other)

    assert after.look() == BLOCKED


def test_a_rule_that_is_not_ours_is_not_followed() -> None:
    mine = watch()
    mine.governor.follow([Seen({"another#1": Tally(returned_at=mine.now)})], mine.now)

    assert mine.look() == BLOCKED
    assert mine.alarms == []


def test_whom_others_distrust_blocks_nobody_for_its_time_or_until_an_operator_says_so() -> None:
    """B5."""
    mine, other = watch(), watch()
    other.hear(DEAD, 12)
    follow(mine, other)
    assert (mine.look(), mine.governor.distrusted(mine.now)) == (SHADOWED, ["fake GB"])
    assert mine.governor.trust_again("fake", mine.now)
    follow(mine, other)
    assert mine.look() == BLOCKED

    mine = watch()
    follow(mine, other)
    mine.now += 3599
    assert mine.look() == SHADOWED
    mine.now += 1
    assert mine.look() == BLOCKED


def test_only_open_circuits_are_told_of() -> None:
    mine = watch()
    mine.hear(ALIVE, 3)
    mine.hear(DEAD, 12, provider="mad")

    assert mine.governor.seen(mine.now).distrusted == {"mad GB": mine.now}
    assert mine.governor.seen(mine.now + 3600).distrusted == {}


def test_what_a_number_is_scored_for_can_be_asked_and_forgotten() -> None:
    mine = Watch(GovernanceOptions(probe_share=1.0))
    mine.call()
    assert mine.governor.watches(NUMBER.e164) == ["dead_number"]

    mine.governor.forget(NUMBER.e164)

    assert mine.governor.watches(NUMBER.e164) == []


def counts(of: Watch) -> tuple[float, float]:
    """Reached and dead, of the last rule."""
    record = of.governor.export()["records"][of.rules[-1].key]
    return record["reached"], record["dead"]


def test_a_return_leaves_no_count_behind_here_and_there() -> None:
    mine, other = watch(), returned()
    mine.probes(ANSWERED, NO_SUCH_NUMBER)
    follow(mine, other)

    assert counts(mine) == counts(other) == (0, 0)


def test_counts_are_halved_when_they_are_many_and_never_below_none() -> None:
    shadow = Watch(mode=Mode.SHADOW)
    records = {shadow.rules[-1].key: {"reached": MOST_SCORED - 1.0, "dead": 0.0}}
    shadow.governor.restore({"records": records, "circuits": {}})
    shadow.call()
    shadow.report(NO_SUCH_NUMBER)
    assert counts(shadow) == ((MOST_SCORED - 1) / 2, 0.5)

    shadow.report(ANSWERED)
    assert counts(shadow) == ((MOST_SCORED - 1) / 2 + 1, 0.0)


def test_who_answers_the_second_carrier_is_taken_off_the_dead_alone() -> None:
    shadow = Watch(mode=Mode.SHADOW)
    for number in ("+447400000001", "+447400000002", "+447400000003"):
        shadow.call(number)
        shadow.report(NO_SUCH_NUMBER, number)
    shadow.report(ANSWERED, "+447400000003")

    assert counts(shadow) == (1, 2)


def test_a_rule_that_never_blocked_falsely_stays_whatever_the_budget() -> None:
    strict = Watch(GovernanceOptions(false_block_budget=0.0))
    strict.probes(*[NO_SUCH_NUMBER] * 40)

    assert (strict.standing.mode, strict.standing.scored) == ("enforce", 40)


def test_what_others_scored_is_added() -> None:
    mine, other = watch(), watch()
    mine.probes(ANSWERED, *[NO_SUCH_NUMBER] * 3)
    other.probes(ANSWERED, ANSWERED, *[NO_SUCH_NUMBER] * 4)
    follow(mine, other)

    standing = mine.standing
    assert (standing.scored, standing.false_blocks, standing.probes) == (10, 0.3, 10)


def test_what_others_blocked_or_would_have_is_added() -> None:
    for mode, word in ((Mode.ENFORCE, "blocked"), (Mode.SHADOW, "would_block")):
        mine, other = Watch(OPTIONS, mode=mode), Watch(OPTIONS, mode=mode)
        mine.call("+447400000001")
        other.call("+447400000002")
        other.call("+447400000003")
        follow(mine, other)

        assert getattr(mine.standing, word) == 3
