"""The providers: found, let in and in credit, as far as a call that costs nothing can tell; and what they may cost."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from agi_lookup.balance import read_all
from agi_lookup.cache.valkey.options import SharedOptions
from agi_lookup.config import Config
from agi_lookup.doctor.findings import Finding, fail, ok, skipped, warn
from agi_lookup.domain.errors import CacheError, ProviderError
from agi_lookup.lookup.balances import Account
from agi_lookup.providers.base import Notified, Provider, ProviderOptions, Reply, SourceOptions, Step, WebhookOptions
from agi_lookup.wiring import Generation

DNS_S: Final = 3.0
SHARED_S: Final = 2.0

FIXES: Final = {
    "auth": "check the credentials, and whether the vendor lets this machine's address in",
    "out_of_credit": "top the account up",
    "tls": "check base_url, ca_file and this machine's certificates (apt install ca-certificates)",
    "timeout": "check the way there: firewall, proxy, DNS",
    "unavailable": "check the way there: firewall, proxy, DNS; or the vendor is down",
    "rate_limited": "wait, or ask for fewer requests (max_per_minute)",
}
"""By an error's stable word."""


@dataclass
class Dates:
    """How far our clock is ahead of each vendor's, in seconds, by their Date headers (RFC 9110, 6.6.1)."""

    skews: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, reply: Reply, now: float) -> None:
        try:
            self.skews[name] = now - parsedate_to_datetime(reply.headers["date"]).timestamp()
        except (KeyError, ValueError, TypeError, OverflowError):
            return  # it names none


async def check_names(config: Config) -> list[Finding]:
    """The vendors' host names, asked of the system."""
    hosts = {
        name: urlsplit(options.base_url).hostname or ""
        for name, options in config.providers.items()
        if isinstance(options, ProviderOptions)
    }
    return list(await asyncio.gather(*(_name(name, host) for name, host in hosts.items())))


async def _name(provider: str, host: str) -> Finding:
    name = f"dns {provider}"
    try:
        async with asyncio.timeout(DNS_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, 443)
    except (OSError, UnicodeError) as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else "its name is not found"
        return fail(name, f"{host}: {why}", "check /etc/resolv.conf, or base_url")
    return ok(name, f"{host} is {found[0][4][0]}")


async def check_accounts(generation: Generation, dates: Dates) -> list[Finding]:
    """Balance calls, which are free: they show that we are let in."""
    accounts = [_dated(account, dates) for account in generation.accounts()]
    told = {shown["provider"]: shown for shown in await read_all(accounts, time.time())}
    return [
        _account(told[name]) if name in told else _untold(name, provider, generation.config.providers[name])
        for name, provider in generation.providers.items()
    ]


def _dated(account: Account, dates: Dates) -> Account:
    return replace(account, driver=_Noting(account, dates))


@dataclass(frozen=True, slots=True)
class _Noting:
    """Runs an account's free call as its own driver does, and notes the date of the replies."""

    account: Account
    dates: Dates

    async def run(self, lookup: Generator[Step, Reply, Any], *, timeout_s: float) -> Any:
        return await self.account.driver.run(self._noted(lookup), timeout_s=timeout_s)

    def _noted(self, lookup: Generator[Step, Reply, Any]) -> Generator[Step, Reply, Any]:
        go_on: Callable[[], Step] = partial(next, lookup)
        while True:
            try:
                step = go_on()
            except StopIteration as done:
                return done.value
            try:
                reply = yield step
            except ProviderError as error:
                go_on = partial(lookup.throw, error)
            else:
                self.dates.note(self.account.name, reply, time.time())
                go_on = partial(lookup.send, reply)


def _account(shown: dict[str, Any]) -> Finding:
    name, state = f"provider {shown['provider']}", shown["state"]
    if state in ("ok", "low") and Decimal(shown["balance"]) <= 0:
        return fail(name, f"nothing is left on the account ({shown['currency']})", FIXES["out_of_credit"])
    if state == "ok":
        return ok(name, f"lets us in, {shown['balance']} {shown['currency']} left")
    if state == "low":
        what = f"{shown['balance']} {shown['currency']} left, less than low_balance {shown['low_balance']}"
        return warn(name, what, FIXES["out_of_credit"])
    return fail(name, f"its free balance call failed: {state}", FIXES.get(state, "see the vendor's status page"))


def _untold(name: str, provider: Provider, options: SourceOptions) -> Finding:
    table = getattr(options, "table", None)  # of ported_numbers
    if isinstance(table, Path) and not table.exists():
        return warn(f"provider {name}", f"its table {table} is not there", "agi-lookup ports import FILE.csv")
    if not provider.currency:
        return skipped(f"provider {name}", "it costs nothing and has no account")
    return skipped(f"provider {name}", f"no free call; try it with: agi-lookup lookup --provider {name} NUMBER")


def check_webhooks(generation: Generation) -> Iterator[Finding]:
    """Only said: whether the vendor gets through is seen from outside alone. The address holds a secret."""
    for name, options in generation.config.providers.items():
        if not isinstance(options, WebhookOptions) or not isinstance(provider := generation.providers[name], Notified):
            continue
        if options.public_url is not None:
            host = urlsplit(options.public_url).netloc.rpartition("@")[2]
            yield skipped(
                f"webhook {name}", f"the vendor has to reach https://{host}/hooks/{name}/...; not tried from here"
            )
        elif provider.always:
            yield fail(f"webhook {name}", "it answers by webhook only", "set public_url and webhook_secret")


def check_budgets(generation: Generation) -> Iterator[Finding]:
    """Of providers that cost something."""
    budget = generation.config.budget
    if budget.stop:
        yield warn("budget", "budget.stop is true: nothing is paid for", "remove it when that is over")
    by_profile = [budget.profiles[name] for name in generation.config.profiles if name in budget.profiles]
    everywhere = len(by_profile) == len(generation.config.profiles)
    for name, provider in generation.providers.items():
        if not (currency := provider.currency):
            continue
        own = budget.providers.get(name)
        if own is not None and own.per_day.of(currency) is not None:
            yield ok("budget", f"{name}: {own.per_day.of(currency)} {currency} a day at most")
        elif everywhere and all(caps.per_day.of(currency) is not None for caps in by_profile):
            yield ok("budget", f"{name}: every profile has a cap in {currency}")
        else:
            fix = f'budget.providers.{name}: {{per_day: {{{currency}: "100"}}}}'
            yield warn("budget", f"{name} is paid in {currency} without a daily cap", fix)


def check_trust(options: Sequence[object]) -> Iterator[Finding]:
    """Certificates of this machine, where a vendor is asked over TLS by them."""
    wanted = [o for o in options if isinstance(o, ProviderOptions) and o.ca_file is None]
    if not any(o.base_url.startswith("https:") for o in wanted):
        return
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if context.cert_store_stats()["x509_ca"] or paths.capath:
        yield ok("tls", f"{context.cert_store_stats()['x509_ca']} certificate authorities are trusted")
    else:
        yield fail("tls", "no certificate authority is trusted", "apt install ca-certificates")


async def check_shared(name: str, options: SharedOptions) -> Finding:
    """A Valkey that instances share: reached, and let in."""
    from agi_lookup.cache.valkey.open import link_to  # noqa: PLC0415 - redis-py takes a quarter of a second

    link = link_to(options)
    deadline = asyncio.get_running_loop().time() + SHARED_S
    try:
        await link.open(deadline)
        said = (await link.ask([("GETRANGE", f"{options.prefix}:doctor", 0, 0)], deadline))[0]
    except CacheError as error:
        return fail(name, f"{error}", "check its url in the config, and that the server runs")
    finally:
        await link.drop()
    if isinstance(said, Exception):
        return fail(
            name, f"it refuses reads of {options.prefix}:*", "see cache.shared.prefix in config/agi-lookup.yaml"
        )
    return ok(name, "it answers")
