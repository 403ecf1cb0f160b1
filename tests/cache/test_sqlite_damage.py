"""A damaged file: put aside, a new one made, nothing wrong ever told, calls not troubled."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from agi_lookup.cache.base import CacheEntry
from agi_lookup.cache.memory import MemoryTier
from agi_lookup.cache.sqlite import Mode, SqliteTier
from agi_lookup.cache.sqlite.file import put_aside
from agi_lookup.cache.sqlite.statements import READ, digits
from agi_lookup.cache.tiered import TieredCache
from agi_lookup.domain.errors import CacheError
from agi_lookup.domain.model import Facet
from tests.cache.conftest import Heard, OpenReader, OpenTier, until
from tests.cache.entries import BOTH, NOW, NUMBER, identity, liveness, numbers
from tests.cache.test_codec import POISON

KNOWN_NUMBERS = numbers(400)
Damage = Callable[[Path, random.Random], None]


def original(number: str) -> dict[Facet, CacheEntry]:
    return {Facet.IDENTITY: identity(number), Facet.LIVENESS: liveness(number)}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of 800 rows, half of them still in its write-ahead log, as `kill -9` leaves it."""
    folder = tmp_path_factory.mktemp("healthy")
    path, copy = folder / "cache.sqlite", folder / "copy"

    async def fill() -> None:
        heard = Heard()
        for half in (KNOWN_NUMBERS[:200], KNOWN_NUMBERS[200:]):
            tier = await SqliteTier.open(
                path, mode=Mode.SERVER, clock=lambda: NOW, on_alarm=heard.alarm, count=heard.count
            )
            tier.put([entry for number in half for entry in original(number).values()])
            await tier.flush()
            if half[-1] == KNOWN_NUMBERS[-1]:
                shutil.copytree(folder, copy)
            await tier.close()

    asyncio.run(fill())
    return copy / "cache.sqlite"


def flip_bytes(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 3, 20, 200])):
        content[draw.randrange(len(content))] = draw.randrange(256)
    path.write_bytes(content)


def flip_the_header(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[draw.randrange(100)] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def flip_the_log(path: Path, draw: random.Random) -> None:
    flip_bytes(path.with_name(path.name + "-wal"), draw)


def lose_the_log(path: Path, draw: random.Random) -> None:
    path.with_name(path.name + "-wal").unlink()


def garble_the_index_of_the_log(path: Path, draw: random.Random) -> None:
    path.with_name(path.name + "-shm").write_bytes(draw.randbytes(32768))


def cut(path: Path, draw: random.Random) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(draw.choice([draw.randrange(1, size), size - 4096, size - 1]))


def swap_pages(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    one, two = (draw.randrange(1, len(content) // 4096) * 4096 for _ in range(2))
    content[one : one + 4096], content[two : two + 4096] = content[two : two + 4096], content[one : one + 4096]
    path.write_bytes(content)


def empty(path: Path, draw: random.Random) -> None:
    path.write_bytes(b"")


def text(path: Path, draw: random.Random) -> None:
    path.write_text("This is not the file that you are looking for.\n" * 100)


def noise(path: Path, draw: random.Random) -> None:
    path.write_bytes(draw.randbytes(path.stat().st_size))


MUTATIONS: list[Damage] = [flip_bytes, flip_the_header, flip_the_log, cut, swap_pages, lose_the_log]
MUTATIONS += [flip_bytes, flip_bytes, garble_the_index_of_the_log]


async def survive(tier: SqliteTier, heard: Heard) -> None:
    """Calls through the whole cache: all that is told is true, and what is put is known afterwards."""
    cache = TieredCache(MemoryTier(1000), tier, count=heard.count)
    for number in KNOWN_NUMBERS[::7]:
        told = await cache.get(number, BOTH)
        assert told.items() <= original(number).items()
    cache.put([identity(NUMBER), liveness(NUMBER)])
    assert len(await cache.get(NUMBER, BOTH)) == 2


@pytest.mark.parametrize("seed", range(10))
async def test_mutations_are_survived(
    open_tier: OpenTier, heard: Heard, healthy: Path, tmp_path: Path, seed: int
) -> None:
    """C10: 200 mutations, 20 a seed. In the end it writes again, or has told the operator why not."""
    draw = random.Random(seed)
    for i in range(20):
        folder = tmp_path / str(i)
        shutil.copytree(healthy.parent, folder)
        draw.choice(MUTATIONS)(folder / "cache.sqlite", draw)
        alarms = len(heard.alarms)

        async with asyncio.timeout(60):
            tier = await open_tier(folder / "cache.sqlite")
        await survive(tier, heard)
        await until(lambda: tier.state == "ok" or len(heard.alarms) > alarms)  # noqa: B023
        await tier.close()


@pytest.mark.parametrize("damage", [empty, text, noise])
async def test_a_file_that_is_none_is_put_aside_at_once(
    open_tier: OpenTier, heard: Heard, healthy: Path, tmp_path: Path, damage: Damage
) -> None:
    """C10: with an alarm that names the ruin; the log goes with it, and is not replayed into the new file."""
    folder = tmp_path / "damaged"
    shutil.copytree(healthy.parent, folder)
    damage(folder / "cache.sqlite", random.Random(1))
    content = (folder / "cache.sqlite").read_bytes()

    tier = await open_tier(folder / "cache.sqlite")

    assert tier.state == "ok"
    assert heard.codes == ["sqlite_corrupt"]
    assert heard.counts["sqlite_corrupt"] == 1
    (ruin,) = (f for f in folder.glob("*.corrupt-*") if not f.name.endswith(("-wal", "-shm")))
    assert ruin.name in heard.alarms[0][1]
    assert ruin.read_bytes() == content
    assert (await tier.stats())["rows"] == 0
    await survive(tier, heard)


async def test_swapped_pages_never_tell_one_number_anothers_facts(
    open_tier: OpenTier, heard: Heard, healthy: Path, tmp_path: Path
) -> None:
    """C10: every checksum holds, and yet a search in the tree ends at another number's row."""
    draw = random.Random(5)
    for i in range(12):
        folder = tmp_path / str(i)
        shutil.copytree(healthy.parent, folder)
        swap_pages(folder / "cache.sqlite", draw)
        cache = TieredCache(MemoryTier(1000), await open_tier(folder / "cache.sqlite"), count=heard.count)

        for number in KNOWN_NUMBERS:
            assert (await cache.get(number, BOTH)).items() <= original(number).items()


@pytest.fixture
async def damaged(open_tier: OpenTier, path: Path) -> None:
    """10,000 rows; pages in the middle are noise, the ends are not."""
    tier = await open_tier()
    await tier.import_batch([entry for number in numbers(5_000) for entry in original(number).values()])
    await tier.close()
    content = bytearray(path.read_bytes())
    start, end = (len(content) // 4096 * part // 100 * 4096 for part in (30, 60))
    content[start:end] = random.Random(1).randbytes(end - start)
    path.write_bytes(content)


@pytest.mark.usefixtures("damaged")
async def test_damage_met_while_running_is_mended_without_a_restart(open_tier: OpenTier, heard: Heard) -> None:
    """C10: the read that meets it is a miss; one new file follows, and reads and writes go on there."""
    tier = await open_tier()
    cache = TieredCache(MemoryTier(10), tier, count=heard.count)
    for number in numbers(5_000)[::50]:
        assert (await cache.get(number, BOTH)).items() <= original(number).items()
    await until(lambda: heard.codes == ["sqlite_corrupt"])
    await until(lambda: tier.state == "ok")

    cache.put([identity()])
    await tier.flush()

    assert (await tier.stats())["rows"] == 1
    async with asyncio.timeout(60):
        while not await TieredCache(MemoryTier(1), tier, count=heard.count).get(NUMBER, BOTH):
            await asyncio.sleep(0.02)
    assert heard.codes == ["sqlite_corrupt"], "that the check behind found it too is no second damage"


@pytest.mark.usefixtures("damaged")
async def test_late_news_of_the_old_file_do_not_condemn_the_new_one(open_tier: OpenTier, heard: Heard) -> None:
    """A read and the check behind meet the same damage, and one of them is slow to tell."""
    tier = await open_tier()
    await until(lambda: heard.codes == ["sqlite_corrupt"])
    await until(lambda: tier.state == "ok")

    tier._damaged("the check after opening found damage", 0)
    tier.put([identity()])

    async with asyncio.timeout(60):
        while (await tier.stats())["rows"] != 1:
            await asyncio.sleep(0.02)
    assert heard.codes == ["sqlite_corrupt"]


@pytest.mark.usefixtures("damaged")
async def test_damage_where_no_call_reads_is_found_by_the_check_behind(open_tier: OpenTier, heard: Heard) -> None:
    """And reads follow to the new file."""
    tier = await open_tier()
    await until(lambda: heard.codes == ["sqlite_corrupt"])
    await until(lambda: tier.state == "ok")

    tier.put([identity()])
    await tier.flush()
    async with asyncio.timeout(60):
        while not await TieredCache(MemoryTier(1), tier, count=heard.count).get(NUMBER, BOTH):
            await asyncio.sleep(0.02)
    assert dict(await tier.get(numbers(1)[0])) == {}


@pytest.mark.usefixtures("damaged")
async def test_damage_that_only_writing_meets_is_put_aside_too(open_tier: OpenTier, heard: Heard) -> None:
    """A tool has no check behind it."""
    tool = await open_tier(mode=Mode.TOOL)
    entries = [identity(number, observed_at=NOW + i) for i, number in enumerate(numbers(5_000))]

    with pytest.raises(CacheError, match="malformed"):
        await tool.import_batch(entries)

    assert heard.codes == ["sqlite_corrupt"]
    assert await tool.import_batch(entries) == 5_000


@pytest.mark.parametrize("name", POISON)
async def test_a_poisoned_row_is_a_miss_and_deleted(open_tier: OpenTier, heard: Heard, path: Path, name: str) -> None:
    """C15: and the number's other facet is still told."""
    tier = await open_tier()
    tier.put([identity(), liveness()])
    await tier.flush()
    with closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE entry SET body = ? WHERE facet = 1", (POISON[name],))
        other.commit()

    assert list(await tier.get(NUMBER)) == [Facet.IDENTITY]

    assert heard.counts["sqlite_bad_entry"] == 1
    await tier.flush()
    assert (await tier.stats())["livenesses"] == 0


@pytest.mark.parametrize("body", [b"x" * 10_000_000, "text", 7, 1.5])
async def test_a_body_of_the_wrong_kind_or_size_is_not_even_loaded(
    open_tier: OpenTier, open_reader: OpenReader, path: Path, body: object
) -> None:
    """C15: 10 MB; it is a miss and deleted."""
    tier = await open_tier()
    tier.put([identity()])
    await tier.flush()
    with closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE entry SET body = ?", (body,))
        other.commit()
    reader = await open_reader(5.0)
    assert await reader.rows(READ, (f"[{digits(NUMBER)}]",)) == [(digits(NUMBER), 0, None)]

    assert dict(await tier.get(NUMBER)) == {}
    await tier.flush()
    assert (await tier.stats())["rows"] == 0


async def test_a_facet_that_does_not_exist_is_passed_over(open_tier: OpenTier, path: Path, heard: Heard) -> None:
    tier = await open_tier()
    tier.put([identity(), liveness()])
    await tier.flush()
    with closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE entry SET facet = 9 WHERE facet = 1")
        other.commit()

    assert list(await tier.get(NUMBER)) == [Facet.IDENTITY]
    assert [entry async for entry in tier.export()] == [identity()]
    assert heard.counts["sqlite_bad_entry"] == 2


def test_ruins_do_not_fill_the_disk_and_the_largest_are_spared(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    for i, size in enumerate([50, 90, 10, 20, 70, 5]):
        path.write_bytes(b"x" * size)
        path.with_name("cache.sqlite-wal").write_bytes(b"")
        newest = put_aside(path, NOW + i)

    ruins = [file for file in tmp_path.iterdir() if not file.name.endswith("-wal")]

    assert newest in ruins
    assert sorted(file.stat().st_size for file in ruins) == [5, 70, 90]
    assert len(list(tmp_path.iterdir())) == 6, "logs go and stay with their database"
