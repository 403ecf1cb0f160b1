"""The disk tier when all is well: written behind, read while it waits, one writer, tidy."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from agi_lookup.cache.sqlite import Limits, Mode
from agi_lookup.domain.errors import CacheError
from agi_lookup.domain.model import Facet
from tests.cache.conftest import Heard, OpenTier, until
from tests.cache.entries import NOW, NUMBER, identity, liveness, numbers
from tests.fakes import Clock


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM entry").fetchone()[0])


async def test_entries_reach_the_disk_by_themselves_and_outlive_the_process(open_tier: OpenTier, path: Path) -> None:
    first = await open_tier()
    first.put([identity(), liveness()])
    await until(lambda: rows(path) == 2)
    await first.close()

    second = await open_tier()

    assert dict(await second.get(NUMBER)) == {Facet.IDENTITY: identity(), Facet.LIVENESS: liveness()}


async def test_close_writes_what_waits(open_tier: OpenTier, path: Path) -> None:
    tier = await open_tier()
    tier.put([identity(number) for number in numbers(1_200)])

    await tier.close()

    assert rows(path) == 1_200


async def test_a_forgotten_number_does_not_come_back_from_the_queue(open_tier: OpenTier, path: Path) -> None:
    tier = await open_tier()
    tier.put([identity(), liveness()])

    assert await tier.forget(NUMBER) == 2

    assert dict(await tier.get(NUMBER)) == {}
    assert rows(path) == 0


async def test_a_number_may_be_known_again_after_it_was_forgotten(open_tier: OpenTier) -> None:
    tier = await open_tier()
    tier.put([identity()])
    await tier.forget(NUMBER)
    tier.put([identity()])
    await tier.flush()

    assert len(await tier.get(NUMBER)) == 1


async def test_what_is_no_e164_number_is_refused(open_tier: OpenTier) -> None:
    tier = await open_tier()
    for number in ("", "447400123456", "+44 7400", "'; DROP TABLE entry; --"):
        with pytest.raises(CacheError):
            await tier.get(number)
        with pytest.raises(CacheError):
            await tier.forget(number)


async def test_files_are_for_their_owner_only(open_tier: OpenTier, path: Path) -> None:
    """S17."""
    tier = await open_tier()
    tier.put([identity()])
    await tier.flush()

    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

    assert set(modes.values()) == {0o600}, modes
    assert {"cache.sqlite", "cache.sqlite-wal", "cache.sqlite.lock"} <= modes.keys()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_stats_tell_rows_by_facet_and_what_is_past_use(open_tier: OpenTier, clock: Clock) -> None:
    tier = await open_tier()
    tier.put([identity(), liveness(), liveness("+447400000001")])
    await tier.flush()
    clock.now = NOW + 3600

    figures = dict(await tier.stats())

    assert int(figures.pop("file_bytes")) > 4096
    assert figures == {"state": "ok", "rows": 3, "identities": 1, "livenesses": 2, "ended": 2, "waiting": 0}


async def test_purge_deletes_what_is_past_use(open_tier: OpenTier, path: Path) -> None:
    tier = await open_tier()
    tier.put([identity(), liveness()])
    await tier.flush()

    assert await tier.purge(NOW + 3600) == 1
    assert await tier.purge(NOW + 3600) == 0
    assert list(await tier.get(NUMBER)) == [Facet.IDENTITY]


async def test_the_server_purges_by_itself(open_tier: OpenTier, path: Path, clock: Clock) -> None:
    first = await open_tier()
    first.put([liveness()])
    await first.close()
    clock.now = NOW + 3600

    second = await open_tier()
    second.put([identity("+447400000001"), identity("+447400000002")])

    await until(lambda: rows(path) == 2)
    assert dict(await second.get(NUMBER)) == {}


async def test_above_the_cap_the_first_to_end_go(open_tier: OpenTier, path: Path) -> None:
    """C17: 3,000 numbers into a cache for 1,000, a purge now and then."""
    tier = await open_tier(max_rows=1_000)
    for start in range(0, 3_000, 500):
        tier.put([identity(f"+4474{i:08d}", observed_at=NOW + i) for i in range(start, start + 500)])
        await tier.flush()
        await tier.purge(NOW)

    assert rows(path) == 1_000
    assert not await tier.get("+447400000000")
    assert await tier.get("+447400002999")


async def test_one_purge_is_bounded(open_tier: OpenTier, path: Path) -> None:
    """C16: a clock that jumps a year ahead does not empty the cache in one go."""
    tier = await open_tier()
    entries = [identity(number) for number in numbers(11_000)]
    await tier.import_batch(entries)

    assert await tier.purge(NOW + 365 * 86_400) == 10_000


async def test_a_second_server_reads_and_does_not_write(open_tier: OpenTier, heard: Heard) -> None:
    """C12."""
    first = await open_tier()
    first.put([identity()])
    await first.flush()

    second = await open_tier()
    second.put([liveness()])

    assert second.state == f"another process (pid {os.getpid()}) writes here"
    assert heard.alarms == [("sqlite_other_writer", second.state)]
    with pytest.raises(CacheError, match="another process"):
        await second.flush()
    assert len(await second.get(NUMBER)) == 2, "its own waiting entry and the disk's"
    assert len(await first.get(NUMBER)) == 1


async def test_a_second_server_takes_over_when_the_first_ends(open_tier: OpenTier, heard: Heard, path: Path) -> None:
    """A restart in which the old process still drains."""
    first = await open_tier()
    second = await open_tier()
    second.put([liveness()])
    await first.close()

    await until(lambda: second.state == "ok")
    await until(lambda: rows(path) == 1)
    assert heard.counts["sqlite_dropped"] == 0


async def test_another_process_is_named_by_its_pid(open_tier: OpenTier, path: Path) -> None:
    """C12: across processes, and the lock goes with its holder, even by `kill -9`."""
    code = (
        "import sys, time; from pathlib import Path; from agi_lookup.cache.sqlite.lock import WriterLock;"
        f"WriterLock(Path({str(path)!r}), for_life=True).acquire(); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        await asyncio.to_thread(holder.stdout.readline)
        tier = await open_tier()
        assert tier.state == f"another process (pid {holder.pid}) writes here"
        holder.kill()
        await asyncio.to_thread(holder.wait)

    tier.put([identity()])
    await until(lambda: tier.state == "ok")


async def test_a_tool_reads_beside_a_server_and_is_refused_to_write(open_tier: OpenTier) -> None:
    server = await open_tier()
    server.put([identity()])
    await server.flush()
    tool = await open_tier(mode=Mode.TOOL)

    assert len(await tool.get(NUMBER)) == 1
    assert [entry async for entry in tool.export()] == [identity()]
    with pytest.raises(CacheError, match="another process"):
        await tool.forget(NUMBER)
    assert len(await server.get(NUMBER)) == 1


async def test_tools_take_turns_to_write(open_tier: OpenTier, path: Path) -> None:
    tools = [await open_tier(mode=Mode.TOOL) for _ in range(4)]
    for tool, number in zip(tools, numbers(4), strict=True):
        tool.put([identity(number)])

    await asyncio.gather(*(tool.flush() for tool in tools))

    assert rows(path) == 4
    server = await open_tier()
    assert server.state == "ok", "no tool keeps the lock"


async def test_a_tool_before_the_first_write_finds_nothing_and_makes_nothing(
    open_tier: OpenTier, path: Path, heard: Heard
) -> None:
    tool = await open_tier(mode=Mode.TOOL)

    assert dict(await tool.get(NUMBER)) == {}
    assert (await tool.stats())["rows"] == 0
    assert [entry async for entry in tool.export()] == []
    await tool.close()
    assert not path.parent.exists()
    assert not heard.counts


async def test_a_tool_reads_what_a_killed_server_left_in_its_log(open_tier: OpenTier, path: Path) -> None:
    """Without the lock and without writing: the log is recovered in memory."""
    code = f"""
import asyncio, os, time
from pathlib import Path
from agi_lookup.cache.sqlite import Mode, SqliteTier
from tests.cache.entries import identity
async def main():
    tier = await SqliteTier.open(Path({str(path)!r}), mode=Mode.SERVER, clock=time.time, on_alarm=print, count=print)
    tier.put([identity()])
    await tier.flush()
    os._exit(9)
asyncio.run(main())
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9

    tool = await open_tier(mode=Mode.TOOL)

    assert dict(await tool.get(NUMBER)) == {Facet.IDENTITY: identity()}


async def test_import_keeps_the_newer_of_two(open_tier: OpenTier) -> None:
    tier = await open_tier()
    old, held, new = (identity(observed_at=NOW + s) for s in (-5, 0, 5))

    assert [await tier.import_batch([entry]) for entry in (held, old, held, new)] == [1, 0, 0, 1]
    assert (await tier.get(NUMBER))[Facet.IDENTITY] == new


async def test_export_is_whole_and_in_order(open_tier: OpenTier) -> None:
    tier = await open_tier()
    entries = [entry for number in numbers(1_100) for entry in (identity(number), liveness(number))]
    tier.put(entries)

    assert [entry async for entry in tier.export()] == entries


async def test_the_queue_is_bounded_and_says_what_it_drops(open_tier: OpenTier, heard: Heard, path: Path) -> None:
    """C9."""
    tier = await open_tier(limits=Limits(queue=100))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        tier.put([identity(number) for number in numbers(150)])

        assert (await tier.stats())["waiting"] == 100
        assert heard.counts["sqlite_dropped"] == 50
        other.execute("ROLLBACK")
    await tier.flush()
    assert rows(path) == 100


async def test_forget_says_so_when_too_much_waits(open_tier: OpenTier, path: Path) -> None:
    tier = await open_tier(limits=Limits(queue=10))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        tier.put([identity(number) for number in numbers(10)])
        with pytest.raises(CacheError, match="too much waits"):
            await tier.forget(NUMBER)
        other.execute("ROLLBACK")
