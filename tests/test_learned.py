"""What calls taught outlives a restart, whatever became of its file, and holds nobody's number."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agi_lookup import learned
from agi_lookup.answered import ANSWERED_FILE
from agi_lookup.daemon import Daemon
from agi_lookup.domain.model import CallResult
from agi_lookup.policy.governance import Governor
from agi_lookup.policy.history import Answered
from agi_lookup.policy.options import DeadNumbers, GovernanceOptions, Mode, PolicyOptions
from agi_lookup.policy.rules import build
from agi_lookup.routing.memory import Memory
from agi_lookup.routing.options import RoutingOptions
from tests.fakes import DEAD
from tests.policy.situations import facts
from tests.routing.routes import NOW, NUMBER, names, query, result, router, routing

QUALITY = {"min_samples": 10, "suspend": {"ner_below": 0}}
TRUNKS = routing({"CHEAP": {}, "DEAR": {}}, strategy="quality", quality=QUALITY)
PRICES = {"cheap": "0.01", "dear": "0.011"}
RULES = build(PolicyOptions(dead_numbers=DeadNumbers(mode=Mode.ENFORCE)))


@dataclass
class Server:
    """Of a server, what learns."""

    options: RoutingOptions = TRUNKS
    alarms: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.memory = Memory(self.options)
        self.governor = Governor(GovernanceOptions(), draw=lambda: 0.0, on_alarm=self.alarm)  # all calls are probes
        self.router = router(PRICES, self.options, self.memory)

    def alarm(self, code: str, detail: str) -> None:
        self.alarms.append((code, detail))

    def call(self, *results: CallResult) -> None:
        """To a number that the rules take for dead; each result is of the next trunk."""
        self.governor.judge(RULES, facts(DEAD), NOW)
        self.router.started("1.1", self.router.rank(query(), NOW), NOW)
        for said in results:
            self.memory.ended("1.1", said, NOW + 1)
            self.governor.learn(said, NOW + 1)

    def busy_day(self) -> None:
        for _ in range(30):
            self.call(result("CHEAP", dialstatus="CONGESTION", sip_code=503), result("DEAR"))

    def order(self) -> list[str]:
        return names(self.router.rank(query(), NOW + 2).routes)

    def knows(self) -> dict[str, Any]:
        return learned.snapshot(self.memory, self.governor)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / learned.LEARNED_FILE


def restarted(path: Path) -> Server:
    server = Server()
    learned.restore(path, server.memory, server.governor, server.alarm)
    return server


def taught(path: Path) -> Server:
    server = Server()
    server.busy_day()
    learned.save(path, server.knows())
    return server


def quality(*trunks: str) -> dict[str, Any]:
    """One pair for each, in that order."""
    rows = [(trunk, "23410", NOW, (1.0,) * 9) for trunk in trunks]
    return {"routing": {"quality": rows, "durations": []}, "governance": {"records": {}, "circuits": {}}}


def trunks_of(server: Server) -> list[str]:
    return [trunk for trunk, *_ in server.memory.quality.snapshot()]


def test_a_restart_forgets_nothing(path: Path) -> None:
    before = taught(path)
    after = restarted(path)

    assert Server().order() == ["CHEAP", "DEAR"]
    assert after.order() == before.order() == ["DEAR", "CHEAP"]
    assert after.governor.standings(RULES, NOW) == before.governor.standings(RULES, NOW)
    assert before.governor.standings(RULES, NOW)[0].scored
    assert after.alarms == []


def test_no_number_is_in_it_and_only_its_owner_reads_it(path: Path) -> None:
    taught(path)

    assert NUMBER[4:].encode() not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0


def test_a_first_start_is_no_trouble(path: Path) -> None:
    server = restarted(path)

    assert server.alarms == []
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\x00",
        b"[]",
        b"{}",
        b'{"routing": {"quality": [["T1", "23410", NaN, []]], "durations": []}, "governance": {}}',
        b'{"routing": {"quality": [["T1", "23410", -1, []]], "durations": []}, "governance": {}}',
        b'{"routing": {"quality": [], "durations": []}, "governance": {"records": 1}}',
        b'{"routing": 1, "governance": {}}',
        b"[" * 100_000,
        b" " * (learned.MAX_BYTES + 1),
    ],
)
def test_a_file_that_cannot_be_used_is_put_aside_and_told(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    server = restarted(path)

    assert [code for code, _ in server.alarms] == ["learned_unusable"]
    assert server.knows() == Server().knows()
    assert not path.exists()
    assert path.with_suffix(".unusable").read_bytes() == content
    assert restarted(path).alarms == []


def test_a_file_cut_short_anywhere_is_put_aside(path: Path) -> None:
    taught(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        assert [code for code, _ in restarted(path).alarms] == ["learned_unusable"]


def test_what_is_too_much_to_be_read_back_is_cut_to_what_was_used_last(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunks = [f"T{place}" for place in range(100)]
    learned.save(path, quality(*trunks))
    whole = path.stat().st_size
    monkeypatch.setattr(learned, "MAX_BYTES", whole + 1)
    learned.save(path, quality(*trunks))
    assert path.stat().st_size == whole

    monkeypatch.setattr(learned, "MAX_BYTES", whole // 2)
    learned.save(path, quality(*trunks))
    server = restarted(path)

    assert server.alarms == []
    assert 40 < len(trunks_of(server)) < 60
    assert trunks_of(server) == trunks[-len(trunks_of(server)) :]


def test_two_who_save_at_once_leave_one_whole_file(path: Path) -> None:
    """A server that stops saves while the saving before may be under way."""

    def save_often(what: dict[str, Any]) -> None:
        for _ in range(20):
            learned.save(path, what)

    threads = [threading.Thread(target=save_often, args=(what,)) for what in (quality("T1"), quality(*["T2"] * 5000))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server = restarted(path)

    assert server.alarms == []
    assert set(trunks_of(server)) in ({"T1"}, {"T2"})
    assert list(path.parent.iterdir()) == [path]


def test_a_disk_that_refuses_leaves_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taught(path)
    before = path.read_bytes()

    def refuse(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        learned.save(path, quality("T1"))

    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_server_left_half_written_is_cleared_away(path: Path) -> None:
    taught(path)
    path.with_name(f"{path.stem}.abc123.new").write_bytes(b"{")

    assert restarted(path).alarms == []
    assert list(path.parent.iterdir()) == [path]


def test_what_a_newer_version_learned_is_neither_used_nor_written_over(path: Path) -> None:
    """C11: after a downgrade."""
    taught(path)
    path.write_bytes(path.read_bytes().replace(b'{"version":1,', b'{"version":2,', 1))
    before = path.read_bytes()

    server = restarted(path)
    server.busy_day()
    with pytest.raises(OSError, match="newer version"):
        learned.save(path, server.knows())

    assert Server().order() == ["CHEAP", "DEAR"]
    assert [code for code, _ in server.alarms] == ["learned_unusable"]
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_who_answered_is_saved_though_what_else_was_learned_is_a_newer_versions(path: Path) -> None:
    """C11, B3: after a downgrade an answered call still outweighs a provider's word."""
    taught(path)
    path.write_bytes(path.read_bytes().replace(b'{"version":1,', b'{"version":2,', 1))
    server = restarted(path)
    serving = SimpleNamespace(
        generation=SimpleNamespace(config=SimpleNamespace(state_dir=path.parent)),
        core=SimpleNamespace(metrics=server),
    )

    Daemon._save(cast("Daemon", serving), server.knows(), Answered({}, {NUMBER: NOW}))

    assert [code for code, _ in server.alarms] == ["learned_unusable", "learned_not_saved"]
    assert (path.parent / ANSWERED_FILE).exists()
