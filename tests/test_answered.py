"""Who answered lately outweighs a provider's word after a restart too, and no number is in the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agi_lookup import answered
from agi_lookup.policy.evidence import is_alive, score
from agi_lookup.policy.facts import Facts
from agi_lookup.policy.history import DAY_S, Histories, HistoryOptions
from agi_lookup.sim.asterisk import play
from agi_lookup.sim.asterisk_wire import Call
from tests.calls import UNIQUEID, site_of, vendors
from tests.fakes import DEAD
from tests.past_calls.logged import OTHER
from tests.policy.situations import ANSWERED, NOW, facts

OPTIONS = HistoryOptions(answered_days=30)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / answered.ANSWERED_FILE


class Alarms(list[str]):
    def __call__(self, code: str, detail: str) -> None:
        self.append(code)


def heard(*times: float) -> Histories:
    histories = Histories(OPTIONS)
    for at in times:
        histories.learn(ANSWERED, at)
    return histories


def restarted(path: Path, alarms: Alarms | None = None, now: float = NOW) -> Histories:
    histories = Histories(OPTIONS)
    answered.restore(path, histories, alarms if alarms is not None else Alarms(), now)
    return histories


def known(histories: Histories, number: str = ANSWERED.number, now: float = NOW) -> Facts:
    return facts(DEAD, history=histories.recall(number, now))


def test_a_restart_remembers_who_answered_for_as_long_as_it_counts(path: Path) -> None:
    """B3."""
    answered.save(path, heard(NOW).answered())
    after = restarted(path)

    assert is_alive(known(after))
    assert score(known(after)) == 0
    assert not is_alive(known(after, OTHER))
    assert is_alive(known(after, now=NOW + 30 * DAY_S - 1))
    assert not is_alive(known(after, now=NOW + 30 * DAY_S))


def test_a_second_restart_remembers_what_the_first_did(path: Path) -> None:
    answered.save(path, heard(NOW).answered())
    answered.save(path, restarted(path).answered())

    assert is_alive(known(restarted(path)))


def test_no_number_is_in_it_and_only_its_owner_reads_it(path: Path) -> None:
    """S13."""
    answered.save(path, heard(NOW).answered())

    assert {part.name for part in path.parent.iterdir()} == {path.name, "answered.key"}
    for part in path.parent.iterdir():
        assert ANSWERED.number[4:].encode() not in part.read_bytes()
        assert part.stat().st_mode & 0o077 == 0


def test_a_forgotten_number_is_gone_from_memory_and_with_the_next_saving_from_disk(path: Path) -> None:
    answered.save(path, heard(NOW).answered())
    after = restarted(path)
    assert after.of(ANSWERED.number) == {"answered_at": NOW}

    after.forget(ANSWERED.number)
    answered.save(path, after.answered())

    assert after.of(ANSWERED.number) == {}
    assert not is_alive(known(after))
    assert not is_alive(known(restarted(path)))


def test_a_first_start_leaves_no_trace(path: Path) -> None:
    answered.save(path, restarted(path).answered())

    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"\x91\x01", b"[" * 10_000, b"\xc1"])
def test_a_file_that_cannot_be_used_is_put_aside_and_told(path: Path, content: bytes) -> None:
    """C10."""
    path.write_bytes(content)
    alarms = Alarms()

    assert not is_alive(known(restarted(path, alarms)))
    assert alarms == ["learned_unusable"]
    assert path.with_suffix(".unusable").read_bytes() == content
    assert not path.exists()


def test_a_clock_that_was_ahead_keeps_nobody_alive_for_longer(path: Path) -> None:
    """C16."""
    answered.save(path, heard(NOW + 1000 * DAY_S).answered())

    assert not is_alive(known(restarted(path), now=NOW + 30 * DAY_S))


def test_of_too_many_those_stay_that_answered_last(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answered, "MOST", 1)
    histories = heard(NOW)
    histories.remember({os.urandom(16): NOW - 1}, str.encode)
    answered.save(path, histories.answered())

    assert is_alive(known(restarted(path)))


def test_a_disk_that_refuses_leaves_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C8."""
    answered.save(path, heard(NOW).answered())
    before = path.read_bytes()

    def refuse(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        answered.save(path, heard(NOW + 1).answered())

    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.new"))


async def test_a_call_to_who_answered_before_the_server_was_restarted_is_not_blocked(tmp_path: Path) -> None:
    """B3: its network calls both numbers dead; one of them answered."""
    with vendors(tmp_path) as sim:
        site = site_of(tmp_path, sim.blocks("npl"), deadline_ms=8000)
        site.data["policy"] = {"dead_numbers": {"mode": "enforce"}, "governance": {"probe_share": 0.0}}
        site.write()
        went = ("447400123403", UNIQUEID, "-", "trunk=acme", "dialstatus=ANSWER", "cause=16", "billsec=60")
        with site.serve() as server:
            reported = await play(Call(went, script="result"), "127.0.0.1", site.agi_port)
            assert server.end() == 0
        with site.serve():
            told = [site.call(number)["LOOKUP_ACTION"] for number in ("447400123403", "447400123503")]

    assert reported.variables["LOOKUP_RESULT_STATUS"] == "OK"
    assert told == ["allow", "block"]
