"""How the sources do, for people: from what is in memory."""

from __future__ import annotations

from decimal import Decimal
from math import isfinite

from agi_lookup import spend
from agi_lookup.config import Config, ProfileOptions, SourceUse
from agi_lookup.lookup.caps import Standing
from agi_lookup.lookup.link import Health
from agi_lookup.web.counts import Counts, Spread
from agi_lookup.web.figures import Balance, Connections, Latency, Provider, Providers, Rate, SourceHealth
from agi_lookup.web.shapes import Cap
from agi_lookup.wiring import Core, Generation


def sources(core: Core, generation: Generation, now: float) -> Providers:
    """In the order of the config; `now` is Unix seconds."""
    counts = Counts(core.metrics.registry, "source_requests", "source_seconds")
    standings = core.purse.standing(now)
    return Providers(
        now=round(now, 3),
        providers=[_source(name, core, generation, counts, standings, now) for name in generation.config.providers],
    )


def _source(
    name: str, core: Core, generation: Generation, counts: Counts, standings: list[Standing], now: float
) -> Provider:
    link, options = generation.links[name], generation.config.providers[name]
    currency = generation.providers[name].currency or None
    health = link.health()
    return Provider(
        name=name,
        kind=options.kind,
        currency=currency,
        facets=sorted(link.provides),
        in_call=options.in_call,
        profiles=_places(name, generation.config),
        health=_health(health, now),
        connections=Connections(in_use=health.under_way, limit=health.max_concurrency),
        rate=Rate(per_minute=health.per_minute, next_in_s=round(health.next_in_s, 3)) if health.per_minute else None,
        requests=counts.by("source_requests", "result", provider=name),
        latency_s=_latency(counts.spread("source_seconds", provider=name)),
        spent_today=spend.plain(core.purse.spent_today(name, now)) if currency else None,
        caps=[Cap(**spend.cap_json(one)) for one in standings if (one.scope, one.name) == ("provider", name)],
        balance=_balance(core.metrics.balances.get(name), options.low_balance),
    )


def _places(name: str, config: Config) -> dict[str, int]:
    """By profile: which of its sources, from 1."""
    found: dict[str, int] = {}
    for profile, options in config.profiles.items():
        order = _order(options, config)
        if name in order:
            found[profile] = order.index(name) + 1
    return found


def _order(profile: ProfileOptions, config: Config) -> list[str]:
    if profile.sources is None:
        return list(config.providers)
    uses = (use.provider if isinstance(use, SourceUse) else use for use in profile.sources)
    return list(dict.fromkeys(uses))


def _health(health: Health, now: float) -> SourceHealth:
    return SourceHealth(
        state=health.state,
        why=health.why,
        for_s=round(health.for_s, 3) if isfinite(health.for_s) else None,
        last_error=health.last_error or None,
        last_error_at=round(now - health.last_error_age_s, 3) if health.last_error else None,
        waiting=health.waiting,
    )


def _latency(spread: Spread) -> Latency:
    p50, p95, p99 = (spread.quantile(share) for share in (0.5, 0.95, 0.99))
    return Latency(p50=p50, p95=p95, p99=p99, count=spread.total)


def _balance(last: tuple[float, str, Decimal] | None, low: Decimal | None) -> Balance | None:
    if last is None:
        return None
    at, currency, amount = last
    return Balance(
        amount=f"{amount:f}", currency=currency, low_balance=None if low is None else str(low), at=round(at, 3)
    )
