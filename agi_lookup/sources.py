"""Sources made ready to be asked: their drivers, and their places in a profile's order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from agi_lookup.config import Config, ProfileOptions, SourceUse
from agi_lookup.domain.errors import ConfigError, ProviderUnavailable
from agi_lookup.domain.model import Number
from agi_lookup.lookup.chain import Step
from agi_lookup.lookup.gates import Gates, number_range
from agi_lookup.lookup.line import Line
from agi_lookup.lookup.link import Link
from agi_lookup.providers import loading
from agi_lookup.providers.base import Lookup, NumberResult, ProviderOptions, SourceOptions
from agi_lookup.providers.loading import Driver
from agi_lookup.providers.numbering_plan import NumberingPlan, issuing_carrier

MakeDriver = Callable[[SourceOptions], Driver]


def open_driver(options: SourceOptions) -> Driver:
    """The kind's own, else HTTP's: imported late, because a config without providers needs no HTTP client."""
    if (own := loading.driver_maker(options.kind)) is not None:
        return own(options)
    from agi_lookup.providers.http import HttpDriver  # noqa: PLC0415

    if not isinstance(options, ProviderOptions):
        raise ConfigError(f"provider kind {options.kind!r}: it needs a base_url or an open_driver of its own")
    return HttpDriver(options)


class DeafDriver:
    """Of a vendor that answers by webhook, where no listener hears it: it is not paid in vain."""

    async def run(self, lookup: Lookup, *, timeout_s: float) -> Mapping[str, NumberResult]:
        lookup.close()
        raise ProviderUnavailable("it answers by webhook, and only the server hears those")

    async def close(self) -> None:
        pass


class OfflineDriver:
    """Runs a source that asks nobody."""

    async def run(self, lookup: Lookup, *, timeout_s: float) -> Mapping[str, NumberResult]:
        try:
            next(lookup)
        except StopIteration as done:
            result: Mapping[str, NumberResult] = done.value
            return result
        raise AssertionError("an offline source sends nothing")


def network_of(number: Number) -> str:
    """The network as far as it can be told without a lookup: the one that issued the number."""
    carrier = issuing_carrier(number)
    return f"{number.country} {carrier}" if carrier else number_range(number)


def plan_step(plan: NumberingPlan) -> Step:
    line = Line(Gates(max_concurrency=1_000_000), max_batch=1)
    return Step(link=Link(plan, OfflineDriver(), line, timeout_s=1.0), facets=plan.provides)


def steps_of(options: ProfileOptions, config: Config, links: Mapping[str, Link]) -> Iterator[Step]:
    for source in links if options.sources is None else options.sources:
        use = source if isinstance(source, SourceUse) else SourceUse(provider=source)
        link = links[use.provider]
        yield Step(
            link=link,
            facets=link.provides if use.facets is None else link.provides & use.facets,
            countries=use.countries,
            except_countries=use.except_countries,
            types=use.types,
            in_call=config.providers[use.provider].in_call,
        )
