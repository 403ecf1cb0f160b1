"""Export and import as JSON lines: a cache moves house whole, and a bad line is never half believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from agi_lookup.cache.codec import to_line
from agi_lookup.cache.sqlite import Mode
from agi_lookup.cache.transfer import BATCH, MAX_LINE_BYTES, Imported, ImportStopped, export_lines, import_lines
from tests.cache.conftest import OpenTier
from tests.cache.entries import identity, liveness, numbers

ENTRIES = [entry for number in numbers(700) for entry in (identity(number), liveness(number))]


async def test_a_cache_moves_house(open_tier: OpenTier, tmp_path: Path) -> None:
    old = await open_tier(tmp_path / "old.sqlite")
    old.put(ENTRIES)
    lines = [line async for line in export_lines(old)]
    new = await open_tier(tmp_path / "new.sqlite", mode=Mode.TOOL)

    assert await import_lines(new, lines) == Imported(1_400, 1_400)
    assert await import_lines(new, lines) == Imported(1_400, 0), "doing it again changes nothing"
    assert [line async for line in export_lines(new)] == lines


@pytest.mark.parametrize("bad", [b"", b"{}", b"x" * (MAX_LINE_BYTES + 1), to_line(identity("447400123456"))])
async def test_an_import_stops_at_a_bad_line_and_says_where_and_what_is_done(open_tier: OpenTier, bad: bytes) -> None:
    tier = await open_tier()
    lines = [to_line(entry) for entry in ENTRIES]
    lines[BATCH + 100] = bad

    with pytest.raises(
        ImportStopped, match=rf"^line {BATCH + 101}: .* \({BATCH + 100} lines before it are imported\)$"
    ) as stopped:
        await import_lines(tier, lines)

    assert stopped.value.done == Imported(BATCH + 100, BATCH + 100)
    assert (await tier.stats())["rows"] == BATCH + 100


async def test_an_import_beside_a_running_server_is_refused(open_tier: OpenTier) -> None:
    """C12."""
    await open_tier()
    tool = await open_tier(mode=Mode.TOOL)

    with pytest.raises(ImportStopped, match="another process"):
        await import_lines(tool, [to_line(identity())])


async def test_nothing_is_an_import_too(open_tier: OpenTier) -> None:
    assert await import_lines(await open_tier(), []) == Imported(0, 0)
