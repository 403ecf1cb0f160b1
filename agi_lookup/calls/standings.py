"""The league of providers for people and programs: figures as shares, money by currency, sorted. Pure.

A share of fewer than `least` is left open, and who has too few comes last: nobody is ranked by noise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeAlias

from agi_lookup.calls.league import NOT_COVERED, Figures, Score
from agi_lookup.policy.wilson import wilson
from agi_lookup.routing.rates import NANO

Z: Final = 1.96
"""Standard deviations: 95 %."""
FEW: Final = "too few"
Row: TypeAlias = dict[str, Any]


class Spent(NamedTuple):
    """What the ledger says of a provider in one currency, whoever caused it: calls, refreshes, bulk."""

    numbers: int
    charged: Decimal


def rows(
    league: Mapping[tuple[str, str], Figures], spent: Mapping[str, Mapping[str, Spent]] | None, least: int
) -> list[Row]:
    """One for each provider and group. `spent` is by provider and currency; None: go by what answers said that they cost."""
    return [
        _row(provider, group, figures, _stated(figures) if spent is None else spent.get(provider, {}), least)
        for (provider, group), figures in league.items()
    ]


def _row(provider: str, group: str, figures: Figures, spent: Mapping[str, Spent], least: int) -> Row:
    asked = figures.asked

    def share(count: int) -> float | None:
        return count / asked if asked >= max(least, 1) else None

    return {
        "provider": provider,
        "group": group,
        "asked": asked,
        "held_back": figures.held_back,
        "in_time": share(figures.in_time),
        "p50_ms": quantile(figures.ms, 0.50) if asked >= least else None,
        "p95_ms": quantile(figures.ms, 0.95) if asked >= least else None,
        "useful": share(figures.useful),
        "inconclusive": share(figures.answers - figures.useful),
        "not_covered": share(figures.words[NOT_COVERED]),
        "errors": share(figures.words.total() - figures.words[NOT_COVERED]),
        "error_words": {word: count for word, count in sorted(figures.words.items()) if word != NOT_COVERED},
        "network_known": share(figures.networks),
        "liveness_known": share(figures.livenesses),
        "false_dead": _score(figures.dead, least),
        "false_absent": _score(figures.absent, least),
        "false_reachable": _score(figures.reachable, least),
        "network_disputed": _score(figures.network, least),
        "from_cache": figures.cached,
        "cost": {currency: _money(one, figures, least) for currency, one in sorted(spent.items())},
    }


def _stated(figures: Figures) -> dict[str, Spent]:
    return {currency: Spent(figures.asked, Decimal(nanos) / NANO) for currency, nanos in figures.cost.items()}


def _score(score: Score, least: int) -> Row:
    low, high = wilson(score.wrong, score.judged, Z)
    share = score.wrong / score.judged if score.judged >= max(least, 1) else None
    return {"judged": score.judged, "wrong": score.wrong, "share": share, "low": low, "high": high}


def _money(spent: Spent, figures: Figures, least: int) -> Row:
    """`spared`: what the calls that the cache answered would have cost."""
    per_lookup = spent.charged / spent.numbers if spent.numbers >= max(least, 1) else None
    per_useful = None
    if per_lookup is not None and figures.useful and figures.asked >= least:
        per_useful = per_lookup * figures.asked / figures.useful
    return {
        "numbers": spent.numbers,
        "charged": _plain(spent.charged),
        "per_lookup": _plain(per_lookup),
        "per_useful": _plain(per_useful),
        "spared": _plain(None if per_lookup is None else per_lookup * figures.cached),
    }


def quantile(counts: Counter[int], share: float) -> int | None:
    """The nearest rank's."""
    left = share * counts.total()
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return value
    return None


def _cost(row: Row) -> tuple[str, Decimal] | None:
    """Who is paid in several currencies stands by the first; amounts of two are never compared."""
    if not row["cost"]:
        return ("", Decimal(0)) if row["useful"] else None
    currency, money = next(iter(row["cost"].items()))
    return None if money["per_useful"] is None else (currency, Decimal(money["per_useful"]))


def _least(name: str) -> Callable[[Row], Any]:
    return lambda row: row[name]


def _most(name: str) -> Callable[[Row], Any]:
    return lambda row: None if row[name] is None else -row[name]


def _wrong(name: str) -> Callable[[Row], Any]:
    return lambda row: row[name]["share"]


SORTS: Final[dict[str, Callable[[Row], Any]]] = {
    "cost": _cost,
    "useful": _most("useful"),
    "in_time": _most("in_time"),
    "p95": _least("p95_ms"),
    "errors": _least("errors"),
    "false_dead": _wrong("false_dead"),
    "false_absent": _wrong("false_absent"),
    "false_reachable": _wrong("false_reachable"),
    "disputed": _wrong("network_disputed"),
    "asked": _most("asked"),
}
"""The best first. `cost` is that of a useful answer, currency by currency."""


def ranked(table: Iterable[Row], by: str) -> list[Row]:
    """In each group; who cannot be told by it comes last."""

    def place(row: Row) -> tuple[Any, ...]:
        value = SORTS[by](row)
        return (row["group"], value is None, *(() if value is None else (value,)), row["provider"])

    return sorted(table, key=place)


def lines(table: Sequence[Row], group: str | None) -> Iterator[str]:
    """As text."""
    cells = [_cells(row, group) for row in table]
    if not cells:
        return
    names = list(cells[0])
    widths = [max(len(name), *(len(cell[name]) for cell in cells)) for name in names]
    for cell in ({name: name.replace("_", " ") for name in names}, *cells):
        yield "  ".join(f"{cell[name]:<{width}}" for name, width in zip(names, widths, strict=True)).rstrip()


def _cells(row: Row, group: str | None) -> dict[str, str]:
    money = row["cost"]
    return {
        **({group: row["group"]} if group else {}),
        "provider": row["provider"],
        "asked": str(row["asked"]),
        **{name: _percent(row[name]) for name in ("in_time", "useful", "not_covered", "errors")},
        "p50/p95_ms": FEW if row["p95_ms"] is None else f"{row['p50_ms']}/{row['p95_ms']}",
        **{name: _judged(row[name]) for name in ("false_dead", "false_absent", "false_reachable", "network_disputed")},
        "per_lookup": _amounts(money, "per_lookup"),
        "per_useful": _amounts(money, "per_useful"),
        "spared": _amounts(money, "spared"),
    }


def _percent(share: float | None) -> str:
    return FEW if share is None else f"{share:.1%}"


def _judged(score: Row) -> str:
    """`7.5% (3/40)`, with the interval that it lies in: `2.6-19.9%`."""
    counts = f"{score['wrong']}/{score['judged']}"
    if score["share"] is None:
        return f"{FEW} ({counts})" if score["judged"] else "-"
    return f"{score['share']:.1%} ({counts}, {score['low']:.0%}-{score['high']:.0%})"


def _amounts(money: Mapping[str, Row], name: str) -> str:
    return ", ".join(f"{one[name] or FEW} {currency}" for currency, one in money.items()) or "-"


def _plain(amount: Decimal | None) -> str | None:
    """To the millionth."""
    return None if amount is None else f"{amount.quantize(Decimal('0.000001')).normalize():f}"
