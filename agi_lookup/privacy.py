"""Everything that is kept of one number, to be shown or erased: one place to look at when something new remembers numbers.

What stands as a keyed hash in the ledger stays there, with its money, until `budget.keep_days` are over: see `docs/privacy.md`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from agi_lookup.cache.sqlite.writer import TROUBLE
from agi_lookup.calls import subject
from agi_lookup.calls.file import CALLS_FILE
from agi_lookup.calls.log import CallLog
from agi_lookup.calls.options import CallLogOptions
from agi_lookup.domain.errors import CacheError
from agi_lookup.domain.model import Facet
from agi_lookup.domain.number import forget_dialled
from agi_lookup.lookup import ledger_file
from agi_lookup.lookup.ledger_file import LEDGER_FILE
from agi_lookup.lookup.resolver import marks
from agi_lookup.routing.trunks import as_country_writes

if TYPE_CHECKING:
    from agi_lookup.wiring import Core

ASIDE: Final = "*.corrupt-*"
"""Damaged files that were put aside: what is in them cannot be erased number by number."""


async def forget(core: Core, number: str) -> dict[str, int]:
    """Erase an E.164 number; returns how much there was, by where. Raises `CacheError` while a disk still has to erase it."""
    gone = {"forgotten": 0, "learned": _forget_learned(core, number)}
    if core.recent.size:
        gone["recent"] = core.recent.forget(number)
    trouble: CacheError | None = None
    try:
        gone["forgotten"] = await core.cache.forget(number)
    except CacheError as error:
        trouble = error
    if core.calls is not None:
        gone["calls"] = await asyncio.to_thread(core.calls.forget, number)
    elif (core.state_dir / CALLS_FILE).exists():
        gone["calls"] = await asyncio.to_thread(forget_calls, core.state_dir, core.call_options, number)
    if trouble is not None:
        raise trouble
    return gone


def _forget_learned(core: Core, number: str) -> int:
    """What memory alone holds; how many parts did."""
    held = sum(bool(part) for part in _learned(core, number).values())
    for provider in core.lines:
        core.refusals.pop((provider, number), None)
        core.notices.erase(provider, number)
    for mark in marks(number):
        core.refreshed.pop(mark, None)
    core.rechecked.pop(number, None)
    core.histories.forget(number)
    core.governor.forget(number)
    core.memory.forget(number)
    forget_dialled()
    as_country_writes.cache_clear()
    return held


def forget_calls(state_dir: Path, options: CallLogOptions, number: str) -> int:
    """In a call log that is switched off. `options` say what of the others stays. Waits for the disk; raises `CacheError`."""
    log = CallLog(state_dir / CALLS_FILE, options, on_alarm=_unheard, count=_uncounted)
    try:
        return log.forget(number)
    finally:
        log.close()


async def export(core: Core, number: str) -> dict[str, Any]:
    """All that is known of an E.164 number, as plain data. Raises `CacheError` for a file that cannot be read."""
    cached = await core.cache.get(number, frozenset(Facet))
    return {
        "number": number,
        "number_id": core.number_ids(number),
        "cache": [msgspec.to_builtins(entry) for entry in cached.values()],
        "learned": _learned(core, number),
        "recent": core.recent.of(number, core.number_ids),
        **await asyncio.to_thread(in_files, core.state_dir, number),
    }


def in_files(state_dir: Path, number: str) -> dict[str, Any]:
    """What call log and ledger keep, and which files were put aside. Reads the disk; raises `CacheError`."""
    calls, ledger = state_dir / CALLS_FILE, state_dir / LEDGER_FILE
    found: dict[str, Any] = {"calls": [], "lookups": [], "ledger": []}
    try:
        if calls.exists():
            found |= subject.of_number(calls, number)
        if ledger.exists():
            found["ledger"] = ledger_file.of_number(ledger, number)
    except TROUBLE as error:
        raise CacheError(f"call log or ledger: {error}") from None
    return {**found, "put_aside": sorted(path.name for path in state_dir.glob(ASIDE))}


def _learned(core: Core, number: str) -> dict[str, Any]:
    sticky = core.memory.sticky
    return {
        "heard": core.histories.of(number),
        "sticky_trunk": sticky.held(number) if sticky is not None else "",
        "refused_by": {p: core.refusals[p, number].code for p in core.lines if (p, number) in core.refusals},
        "asked_lately": [p for p in core.lines if core.notices.awaits(p, number)],
        "scored_rules": core.governor.watches(number),
        "refreshed_lately": any(mark in core.refreshed for mark in marks(number)) or number in core.rechecked,
    }


def _unheard(_code: str, _detail: str) -> None:
    """Whoever asked is told."""


def _uncounted(_word: str) -> None:
    """There is no server."""
