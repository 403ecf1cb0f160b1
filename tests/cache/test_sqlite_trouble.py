"""The disk tier when the disk is locked, full, failing, newer or not there: calls go on, and it comes back by itself."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from agi_lookup.cache.memory import MemoryTier
from agi_lookup.cache.sqlite import Mode
from agi_lookup.cache.tiered import TieredCache
from agi_lookup.domain.errors import CacheError
from tests.cache.conftest import Heard, OpenReader, OpenTier, until
from tests.cache.entries import BOTH, NUMBER, identity, liveness, numbers

SLOW = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000000) SELECT max(i) FROM n"
"""Keeps the connection's thread for about a second, as a disk that hangs does."""


async def test_a_lock_held_elsewhere_delays_writes_and_nothing_else(
    open_tier: OpenTier, heard: Heard, path: Path
) -> None:
    """C9."""
    tier = await open_tier()
    tier.put([identity()])
    await tier.flush()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        tier.put([liveness()])
        await until(lambda: tier.state == "database is locked")

        assert len(await tier.get(NUMBER)) == 2
        await asyncio.sleep(1)
        assert heard.alarms == [("sqlite_failing", "database is locked")], "told once, however often it is tried"
        other.execute("ROLLBACK")

    await until(lambda: tier.state == "ok")
    assert (await tier.stats())["rows"] == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("needs to mount a small tmpfs (root)")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def fill_up(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


async def test_a_full_disk_is_survived_and_used_again_when_there_is_room(
    open_tier: OpenTier, heard: Heard, small_disk: Path
) -> None:
    """C8."""
    tier = await open_tier(small_disk / "cache.sqlite")
    tier.put([identity()])
    await tier.flush()
    ballast = small_disk / "ballast"
    fill_up(ballast)

    tier.put([identity(number) for number in numbers(2_000)])
    await until(lambda: "full" in tier.state or "I/O" in tier.state)
    assert heard.codes == ["sqlite_failing"]
    assert len(await tier.get(NUMBER)) == 1, "what was written is still read"
    assert len(await tier.get(numbers(1)[0])) == 1, "what waits is read too"

    ballast.unlink()
    await until(lambda: tier.state == "ok")
    await tier.flush()
    assert (await tier.stats())["rows"] == 2_001


async def test_a_disk_full_from_the_start_is_survived(open_tier: OpenTier, heard: Heard, small_disk: Path) -> None:
    """C8: there is not even room for an empty database. A half-made file is not taken for a damaged one."""
    ballast = small_disk / "ballast"
    fill_up(ballast)

    tier = await open_tier(small_disk / "cache.sqlite")
    tier.put([identity()])
    assert tier.state != "ok"
    assert dict(await TieredCache(MemoryTier(10), tier, count=lambda word: None).get("+447400000001", BOTH)) == {}

    ballast.unlink()
    await until(lambda: tier.state == "ok")
    assert heard.codes == ["sqlite_failing"]


FILE_SIZE_LIMIT = """
import asyncio, json, resource, sys
from pathlib import Path
from agi_lookup.cache.sqlite import Limits, Mode, SqliteTier
from tests.cache.entries import NOW, NUMBER, identity, numbers
async def main():
    alarms = []
    tier = await SqliteTier.open(
        Path(sys.argv[1]), mode=Mode.SERVER, clock=lambda: NOW, count=lambda word: None,
        on_alarm=lambda code, detail: alarms.append(code), limits=Limits(read_timeout_s=5.0, line_s=5.0))
    tier.put([identity()])
    await tier.flush(30.0)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, unlimited[1]))  # Python ignores SIGXFSZ: writes fail with EFBIG
    tier.put([identity(number) for number in numbers(3000)])
    while tier.state == "ok":
        await asyncio.sleep(0.01)
    seen = [len(await tier.get(NUMBER)), len(await tier.get(numbers(1)[0]))]
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    while tier.state != "ok":
        await asyncio.sleep(0.01)
    await tier.flush(30.0)
    print(json.dumps({"alarms": alarms, "seen": seen, "rows": (await tier.stats())["rows"]}))
    await tier.close()
asyncio.run(main())
"""


def test_writes_that_fail_are_survived_and_done_later(path: Path) -> None:
    """C7: every write beyond 64 KiB fails."""
    done = subprocess.run(
        [sys.executable, "-c", FILE_SIZE_LIMIT, str(path)], check=True, capture_output=True, text=True, timeout=60
    )

    assert json.loads(done.stdout) == {"alarms": ["sqlite_failing"], "seen": [1, 1], "rows": 3001}


N_TH_FAILURE = """
import asyncio, json, sys
from pathlib import Path
from agi_lookup.cache.memory import MemoryTier
from agi_lookup.cache.sqlite import Mode, SqliteTier
from agi_lookup.cache.tiered import TieredCache
from agi_lookup.domain.errors import CacheError
from tests.cache.entries import BOTH, NOW, identity, numbers
async def main():
    heard = []
    disk = await SqliteTier.open(
        Path(sys.argv[1]), mode=Mode.SERVER, clock=lambda: NOW, count=heard.append,
        on_alarm=lambda code, detail: heard.append(code))
    cache = TieredCache(MemoryTier(10), disk, count=heard.append)
    for number in numbers(40):
        cache.put([identity(number)])
        try:
            await disk.flush()
        except CacheError:
            pass
        assert len(await cache.get(number, BOTH)) == 1
    await cache.close()
    print(json.dumps(heard))
asyncio.run(main())
"""


def failing(path: Path, fault: str) -> list[str]:
    """Run the scenario with a fault that `strace` injects; returns what was heard."""
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={fault}"]
    done = subprocess.run(
        [*command, sys.executable, "-c", N_TH_FAILURE, str(path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    heard: list[str] = json.loads(done.stdout)
    return heard


def strace_works() -> bool:
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO", "true"]
    return (
        shutil.which("strace") is not None and subprocess.run(command, check=False, capture_output=True).returncode == 0
    )


@pytest.mark.skipif(not strace_works(), reason="needs strace and the right to trace")
@pytest.mark.parametrize(
    ("call", "when", "word"),
    [
        ("pwrite64", 3, "sqlite_write_failed"),  # while the file is made
        ("pwrite64", 20, "sqlite_write_failed"),  # in the midst of a batch
        ("pwrite64", "20+", "sqlite_write_failed"),
        ("fdatasync", 3, "sqlite_write_failed"),
        ("pread64", 8, "sqlite_corrupt"),  # SQLite takes an unreadable page for a damaged one
        ("pread64", "20+", "sqlite_read_failed"),
    ],
)
def test_the_n_th_system_call_of_each_thread_fails_and_calls_do_not_notice(
    path: Path, call: str, when: int | str, word: str
) -> None:
    """C7: once a connection, or from then on for ever. Afterwards the file is sound, or there is none."""
    heard = failing(path, f"{call}:error=EIO:when={when}")

    assert word in heard
    assert call == "pread64" or "sqlite_corrupt" not in heard, "what could not be written is not taken for damage"
    if path.exists():
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not os.environ.get("SOAK") or not strace_works(), reason="long: SOAK=1, and needs strace")
def test_every_system_call_fails_once(tmp_path: Path) -> None:
    """C7: the whole sweep."""
    for call in ("pwrite64", "fdatasync", "pread64", "ftruncate"):
        for when in range(3, 60):  # the first two reads are the program loader's
            path = tmp_path / f"{call}-{when}" / "cache.sqlite"
            failing(path, f"{call}:error={'ENOSPC' if when % 2 else 'EIO'}:when={when}")


async def test_a_read_that_hangs_is_a_miss_and_then_no_call_waits_any_more(
    open_tier: OpenTier, open_reader: OpenReader, heard: Heard
) -> None:
    """Each read is given up in time; after a while of that, one task and no call tries again; then reads work again."""
    await open_tier()
    reader = await open_reader(0.05)

    async def works(sql: str) -> bool:
        try:
            return await reader.rows(sql, ()) == [(1,)]
        except CacheError:
            return False

    assert not await works(SLOW)
    results = [await works("SELECT 1") for _ in range(50)]

    assert not any(results)
    assert heard.counts["sqlite_suspended"] == 1
    assert heard.counts["sqlite_read_timeout"] < 20, "the later ones did not even try"
    async with asyncio.timeout(60):
        while not await works("SELECT 1"):
            await asyncio.sleep(0.02)


async def test_only_one_attempt_to_open_is_made_for_any_number_of_calls(
    open_reader: OpenReader, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no file, so that every attempt fails."""
    monkeypatch.setattr("agi_lookup.cache.sqlite.reader.FIRST_PAUSE_S", 60.0)
    reader = await open_reader(0.05)

    for _ in range(3):
        failures = await asyncio.gather(*(reader.rows("SELECT 1", ()) for _ in range(100)), return_exceptions=True)
        assert all(isinstance(failure, CacheError) for failure in failures)
        await asyncio.sleep(0.05)

    assert heard.counts["sqlite_open_failed"] == 1


async def test_too_many_waiting_reads_are_misses_at_once(open_tier: OpenTier) -> None:
    """All are on disk: what surely is not would cost no read."""
    tier = await open_tier()
    known = numbers(1_500)
    tier.put([identity(number) for number in known])
    await tier.flush()

    results = await asyncio.gather(*(tier.get(number) for number in known), return_exceptions=True)

    refused = [result for result in results if isinstance(result, CacheError)]
    assert len(refused) == 500
    assert len(await tier.get(known[0])) == 1


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")


def of_another_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE astdb (key TEXT, value TEXT)")
        connection.execute("PRAGMA user_version = 1")


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("unusable", [newer, of_another_program, a_directory])
async def test_a_file_that_is_not_ours_to_use_is_left_alone(
    open_tier: OpenTier, heard: Heard, path: Path, unusable: object
) -> None:
    """C11: a newer schema is not migrated down, a foreign database not renamed; memory serves, an alarm tells."""
    await (await open_tier()).close()
    assert callable(unusable)
    unusable(path)
    before = path.read_bytes() if path.is_file() else b""

    tier = await open_tier()
    cache = TieredCache(MemoryTier(10), tier, count=heard.count)
    cache.put([identity()])

    assert len(await cache.get(NUMBER, BOTH)) == 1
    assert dict(await cache.get("+447400000001", BOTH)) == {}
    assert tier.state not in ("ok", "idle")
    assert len(heard.alarms) == 1
    await cache.close()
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert not list(path.parent.glob("*.corrupt-*"))


async def test_a_read_only_file_system_leaves_memory_to_serve(
    open_tier: OpenTier, heard: Heard, small_disk: Path
) -> None:
    """C11."""
    path = small_disk / "cache.sqlite"
    first = await open_tier(path)
    first.put([identity()])
    await first.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    tier = await open_tier(path)
    cache = TieredCache(MemoryTier(10), tier, count=heard.count)
    cache.put([identity("+447400000001")])

    assert len(await cache.get("+447400000001", BOTH)) == 1
    assert heard.codes == ["sqlite_failing"]
    assert "Read-only" in tier.state
    await cache.close()


async def test_a_file_that_becomes_usable_is_used_without_a_restart(open_tier: OpenTier, path: Path) -> None:
    path.parent.mkdir()
    path.mkdir()
    tier = await open_tier()
    tier.put([identity()])
    assert tier.state not in ("ok", "idle")

    path.rmdir()

    await until(lambda: tier.state == "ok")
    await tier.flush()
    assert (await tier.stats())["rows"] == 1


async def test_a_tool_with_nowhere_to_write_says_so(open_tier: OpenTier, path: Path) -> None:
    path.parent.write_text("in the way")
    tool = await open_tier(mode=Mode.TOOL)
    tool.put([identity()])

    with pytest.raises(CacheError, match=r"exists|directory"):
        await tool.flush()
