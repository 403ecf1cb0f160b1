"""What is said of decks: as plain data for JSON, and as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from math import isinf
from typing import Any

from agi_lookup.domain.wording import counted
from agi_lookup.routing.column_file import DeckError
from agi_lookup.routing.deck_check import Tally
from agi_lookup.routing.deck_diff import Differences, Word
from agi_lookup.routing.deck_import import Report
from agi_lookup.routing.deck_rows import shown
from agi_lookup.routing.rates import NANO
from agi_lookup.routing.store import Activated, Store, Version


def report(name: str, found: Report) -> dict[str, Any]:
    """`name` is the file's."""
    return {
        "file": name,
        "vendor": found.info.vendor,
        "version": found.info.version,
        "rows": found.info.rows,
        "currencies": list(found.info.currencies),
        "columns": found.columns,
        "guessed": sorted(found.guessed),
        "notes": list(found.notes),
        "errors": _tally(found.errors),
        "warnings": _tally(found.warnings),
    }


def report_lines(found: Report) -> Iterator[str]:
    """What was read and how; its problems have lines of their own."""
    yield f"{found.info.vendor}: {counted(found.info.rows, 'rate')} in {' and '.join(found.info.currencies) or 'no currency'}"
    columns = (
        f"{ours}={shown(theirs)}{' (guessed)' * (ours in found.guessed)}" for ours, theirs in found.columns.items()
    )
    yield f"columns: {', '.join(columns)}"
    yield from found.notes


def problem_lines(name: str, tally: Tally, word: str) -> Iterator[str]:
    for line, what in tally.first:
        yield f"{name}:{f'{line}:' * (line > 0)} {what}"
    if rest := tally.count - len(tally.first):
        yield f"... and {rest} more {word}"


def differences(found: Differences) -> dict[str, Any]:
    """`percent` is None where a rate was 0."""
    return {
        **{word.value: found.counts[word] for word in Word},
        "biggest": [
            {
                "kind": change.kind.name.lower(),
                "key": change.key,
                "old": _amount(change.old.rate),
                "new": _amount(change.new.rate),
                "currency": change.new.currency,
                "percent": None if isinf(change.percent) else round(change.percent, 2),
            }
            for change in found.biggest
        ],
    }


def difference_lines(found: Differences) -> Iterator[str]:
    yield ", ".join(f"{found.counts[word]} {word}" for word in Word)
    for change in found.biggest:
        percent = "from 0" if isinf(change.percent) else f"{change.percent:+.1f} %"
        key = f"{change.kind.name.lower()} {change.key}"
        yield f"{key:<24} {_amount(change.old.rate)} -> {_amount(change.new.rate)} {change.new.currency}  {percent}"


def versions(store: Store, vendor: str) -> list[dict[str, Any]]:
    """The newest first. What cannot be read says so."""
    ranks = {id_: rank for rank, id_ in enumerate(store.live().get(vendor, []))}
    found = []
    for id_ in store.ids(vendor):
        state = {"version": id_, "live": ranks.get(id_) == 0, "was_live": ranks.get(id_, 0) > 0}
        try:
            found.append(state | _version(store.version(vendor, id_)))
        except DeckError as error:
            found.append(state | {"error": str(error)})
    return found


def _version(found: Version) -> dict[str, Any]:
    return {
        "rows": found.info.rows,
        "currencies": list(found.info.currencies),
        "starts": [_time(start) for start in found.starts],
    }


def version_line(vendor: str, version: dict[str, Any]) -> str:
    state = "live" if version["live"] else "before" if version["was_live"] else ""
    head = f"{vendor:<16} {version['version']}  {state:<6}"
    if "error" in version:
        return f"{head} {version['error']}"
    starts = [start for start in version["starts"] if start]
    since = f", from {starts[0]}" if starts and all(version["starts"]) else ""
    last = f", last change {starts[-1]}" if len(version["starts"]) > 1 else ""
    return f"{head} {counted(version['rows'], 'rate'):>15} in {'/'.join(version['currencies'])}{since}{last}"


def activated(found: Activated) -> dict[str, Any]:
    return {
        "vendor": found.vendor,
        "version": found.version,
        "before": found.before,
        "book": {"vendors": len(found.book.decks), "rates": found.book.rates},
    }


def activated_line(found: Activated) -> str:
    """Who activates what is live has the book written anew: a damaged one is mended by that."""
    book = f"{counted(found.book.rates, 'rate')} of {counted(len(found.book.decks), 'vendor')}"
    if found.before == found.version:
        return f"{found.vendor}: {found.version} is live already; {book}"
    return f"{found.vendor}: {found.version} is live, before it {found.before or 'nothing'}; {book}"


def _tally(tally: Tally) -> dict[str, Any]:
    return {"count": tally.count, "first": [problem._asdict() for problem in tally.first]}


def _amount(nano: int) -> str:
    return f"{(Decimal(nano) / NANO).normalize():f}"


def _time(at: float) -> str | None:
    return None if isinf(at) else datetime.fromtimestamp(at, UTC).isoformat()
