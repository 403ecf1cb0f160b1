"""What people and scripts are shown of the money: one JSON shape for the command line and the HTTP API."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from agi_lookup.cache.sqlite.writer import TROUBLE
from agi_lookup.domain.errors import OutsideError
from agi_lookup.lookup.budget import Snapshot
from agi_lookup.lookup.caps import DAY_S, ZERO, Standing
from agi_lookup.lookup.ledger_file import LEDGER_FILE, Line, read


def read_ledger(state_dir: Path, days: int, now: float, memory_s: float) -> tuple[Snapshot, list[Line]]:
    """What counts now, and what was spent today (UTC) and on the days before it. Reads the disk. Raises `OutsideError`."""
    path = state_dir / LEDGER_FILE
    try:
        return read(path, int(now // DAY_S) - days + 1, memory_s) if path.exists() else (Snapshot(), [])
    except TROUBLE as error:
        raise OutsideError(f"{path}: {error}") from None


def spend_json(lines: Iterable[Line], standings: Iterable[Standing], *, stopped: bool) -> dict[str, Any]:
    """Days by provider and currency, of all profiles together; then every cap and what of it is left."""
    return {"stopped": stopped, "days": _days(lines), "caps": [cap_json(one) for one in standings]}


def cap_json(standing: Standing) -> dict[str, Any]:
    """`seconds` is a day's or a burst window's."""
    return {
        "of": standing.scope,
        "name": standing.name,
        "currency": standing.currency,
        "seconds": standing.seconds,
        "cap": plain(standing.cap),
        "spent": plain(standing.spent),
        "left": plain(max(standing.cap - standing.spent, ZERO)),
    }


def plain(amount: Decimal) -> str:
    """Without an exponent or zeros at its end."""
    return f"{amount.normalize():f}"


def _days(lines: Iterable[Line]) -> list[dict[str, Any]]:
    sums: dict[tuple[int, str, str], list[Line]] = defaultdict(list)
    for line in lines:
        sums[line.day, line.provider, line.currency].append(line)
    return [
        {
            "day": datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat(),
            "provider": provider,
            "currency": currency,
            "requests": sum(line.requests for line in same),
            "numbers": sum(line.numbers for line in same),
            "charged": plain(sum((line.charged for line in same), ZERO)),
            "unknown": sum(line.unknown for line in same),
        }
        for (day, provider, currency), same in sorted(sums.items())
    ]
