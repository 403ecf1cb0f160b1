"""Timelines of webhooks that do not come."""

from __future__ import annotations

from agi_lookup.lookup.silence import IN_A_ROW, MAX_PAUSE_S, Silence


def shut() -> Silence:
    silence = Silence()
    assert [silence.waited_in_vain(0.0) for _ in range(IN_A_ROW)] == [False] * (IN_A_ROW - 1) + [True]
    assert silence.holds(0.0)
    return silence


def test_probes_go_ever_more_rarely_and_one_at_a_time() -> None:
    silence, now, probes = shut(), 0.0, list[float]()
    while now < 86_400.0:
        now += 1.0
        if not silence.holds(now):
            silence.enter(now)
            assert silence.holds(now)
            probes.append(now)
            silence.waited_in_vain(now + 30.0)
    assert probes[:5] == [10.0, 30.0, 70.0, 150.0, 310.0]
    assert {after - before for before, after in zip(probes[-20:], probes[-19:], strict=False)} == {MAX_PAUSE_S}


def test_only_what_shut_it_and_a_probe_are_news() -> None:
    silence = shut()
    assert [silence.waited_in_vain(1.0) for _ in range(50)] == [False] * 50
    silence.enter(11.0)
    assert [silence.waited_in_vain(12.0) for _ in range(3)] == [True, False, False]


def test_a_notice_makes_all_good() -> None:
    silence = shut()
    silence.enter(10.0)
    silence.heard()
    assert not silence.holds(10.0)
    assert not silence.waited_in_vain(11.0)


def test_an_answer_at_once_lets_in_until_the_next_wait_in_vain() -> None:
    silence = shut()
    silence.enter(10.0)
    silence.answered()
    assert not silence.holds(11.0)
    assert silence.waited_in_vain(12.0)
    assert silence.holds(12.0)
