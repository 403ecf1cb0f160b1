"""The one writing connection: whole transactions or none, and a new file no more than once a minute."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiosqlite
import pytest

from agi_lookup.cache.sqlite import statements
from agi_lookup.cache.sqlite.writer import Writer
from agi_lookup.domain.errors import CacheError
from tests.cache.conftest import Heard
from tests.cache.entries import identity, numbers
from tests.fakes import Clock

ENTRIES = [identity(number) for number in numbers(100)]


@pytest.fixture
async def writer(path: Path, clock: Clock, heard: Heard) -> AsyncIterator[Writer]:
    writer = Writer(
        path,
        for_life=True,
        lock_wait_s=0,
        clock=clock,
        on_replaced=lambda what: heard.alarm("replaced", what),
        count=heard.count,
    )
    yield writer
    await writer.close()


async def write_some(connection: aiosqlite.Connection) -> None:
    await statements.keep_newer(connection, ENTRIES, lambda: None)


async def rows(writer: Writer) -> int:
    async with writer.session() as connection:
        return await statements.count(connection)


async def test_a_session_that_fails_leaves_nothing_behind(writer: Writer) -> None:
    async def fails() -> None:
        async with writer.session() as connection:
            await write_some(connection)
            raise CacheError("half-way")

    with pytest.raises(CacheError, match="half-way"):
        await fails()

    assert await rows(writer) == 0


async def test_a_session_that_is_cancelled_leaves_nothing_behind(writer: Writer) -> None:
    """As when a flush runs out of time."""
    written = asyncio.Event()

    async def hangs() -> None:
        async with writer.session() as connection:
            await write_some(connection)
            written.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(hangs())
    await written.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert await rows(writer) == 0


async def test_sessions_take_turns(writer: Writer) -> None:
    async def one(number: int) -> None:
        async with writer.session() as connection:
            await statements.keep_newer(connection, ENTRIES[number : number + 1], lambda: None)

    await asyncio.gather(*(one(number) for number in range(20)))

    assert await rows(writer) == 20


async def test_a_disk_that_damages_every_file_gets_a_new_one_a_minute(writer: Writer, heard: Heard, path: Path) -> None:
    await rows(writer)

    await writer.replace_file("page 7")
    assert await rows(writer) == 0
    with pytest.raises(CacheError, match="again within a minute: page 8"):
        await writer.replace_file("page 8")

    assert await rows(writer) == 0
    assert len(heard.alarms) == len(list(path.parent.glob("*.corrupt-*"))) == 1


async def test_without_the_lock_the_file_is_not_ours_to_replace(writer: Writer, heard: Heard, path: Path) -> None:
    path.parent.mkdir()
    path.write_text("whoever made this may be writing")

    await writer.replace_file("page 7")

    assert path.exists()
    assert not heard.alarms
