"""The doctor's judgement of clocks, disks, budgets and vendors' replies, where the machine cannot be made to be so."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agi_lookup import config as configuration
from agi_lookup.doctor import clock, settings, vendors
from agi_lookup.doctor.clock import Stopwatch
from agi_lookup.doctor.findings import Finding
from agi_lookup.doctor.storage import filesystem
from agi_lookup.domain.errors import ProviderAuthError
from agi_lookup.providers.base import HttpReply, HttpRequest
from tests.processes import make_site
from tests.served import block
from tests.test_daemon import simulator

NOON = datetime(2027, 5, 1, 12, tzinfo=UTC).timestamp()


def states(findings: Any) -> list[str]:
    found: list[Finding] = list(findings)
    assert all(f.fix for f in found if f.status in ("warn", "fail"))
    return [f.status for f in found]


@pytest.mark.parametrize(
    ("wall", "synchronised", "state"),
    [
        (NOON + 1, True, "ok"),
        (NOON + 1, False, "warn"),
        (NOON + 1, None, "skipped"),
        (NOON + 61, True, "fail"),
        (NOON - 3600, True, "fail"),
    ],
)
def test_a_clock_that_was_set_is_told(wall: float, synchronised: bool | None, state: str) -> None:
    """C16, B7. A second has passed."""
    assert states(clock.check_clock(Stopwatch(NOON, 10.0), Stopwatch(wall, 11.0), synchronised)) == [state]


@pytest.mark.parametrize("year", [1970, 2025, 2101])
def test_a_year_that_cannot_be_is_told(year: int) -> None:
    """C16: a board without a battery starts in 1970."""
    now = Stopwatch(datetime(year, 6, 1, tzinfo=UTC).timestamp(), 10.0)
    assert states(clock.check_clock(now, now, synchronised=True)) == ["fail"]


def test_a_clock_apart_from_the_vendors_is_told() -> None:
    assert states(clock.check_skew({"npl": 0.9, "hlr": -4.0})) == []
    (ahead,) = clock.check_skew({"npl": 90.0})
    assert ahead.what == "90 s ahead of that of npl"


MOUNTS = """\
22 1 0:20 / / rw,relatime - overlay overlay rw,lowerdir=/x
23 22 254:0 / /var rw,relatime shared:1 - ext4 /dev/vda rw
24 23 0:44 / /var/lib/agi-lookup rw - nfs4 server:/x rw
25 22 0:45 / /mnt/with\\040blank rw - tmpfs tmpfs rw
26 25 0:46 / /mnt/with\\040blank rw - xfs /dev/vdb rw
nonsense
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/agi-lookup", "nfs4"),
        ("/var/lib/agi-lookup/state", "nfs4"),
        ("/var/lib/agi-lookup-2", "ext4"),
        ("/srv", "overlay"),
        ("/mnt/with blank/state", "xfs"),
    ],
)
def test_the_file_system_of_a_folder_is_found(path: str, kind: str) -> None:
    """Of two mounts on one point the later covers the earlier."""
    assert filesystem(Path(path), MOUNTS) == kind


BUDGETS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "none": ({}, ["warn"]),
    "of the provider": ({"providers": {"npl": {"per_day": {"credits": "5"}}}}, ["ok"]),
    "a burst is no day's": ({"providers": {"npl": {"burst": {"credits": "5", "seconds": 60}}}}, ["warn"]),
    "of every profile": ({"profiles": {"default": {"per_day": {"credits": "5"}}}}, ["ok"]),
    "of every profile, in other money": ({"profiles": {"default": {"per_day": {"EUR": "5"}}}}, ["warn"]),
    "stopped": ({"stop": True, "providers": {"npl": {"per_day": {"credits": "5"}}}}, ["warn", "ok"]),
}


@pytest.mark.parametrize(("budget", "expected"), BUDGETS.values(), ids=BUDGETS)
async def test_money_without_a_cap_is_told(tmp_path: Path, budget: dict[str, Any], expected: list[str]) -> None:
    """B7."""
    site = make_site(tmp_path, provider="http://127.0.0.1:9/npl", deadline_ms=1000)
    site.data["budget"] = budget
    site.write()
    async with settings.built(configuration.read(site.config)) as generation:
        assert states(vendors.check_budgets(generation)) == expected


async def test_webhooks_are_told_without_their_secret(tmp_path: Path) -> None:
    site = make_site(tmp_path, deadline_ms=1000)
    site.data["providers"] = {"sms": block(public_url="https://pbx.example.com", allow_private=True)}
    site.write()
    async with settings.built(configuration.read(site.config)) as generation:
        (finding,) = vendors.check_webhooks(generation)
    assert finding.status == "skipped"
    assert "https://pbx.example.com/hooks/sms/..." in finding.what


async def test_the_vendors_clock_is_read_from_its_replies(tmp_path: Path) -> None:
    dates = vendors.Dates()
    with simulator(tmp_path) as npl:
        site = make_site(tmp_path, provider=npl, deadline_ms=1000)
        async with settings.built(configuration.read(site.config)) as generation:
            (finding,) = await vendors.check_accounts(generation, dates)
    assert finding.status == "ok"
    assert abs(dates.skews["npl"]) < 60


@pytest.mark.parametrize("date", ["", "yesterday", "Sat, 99 May 2027 12:00:00 GMT", None])
def test_a_date_that_is_none_is_passed_by(date: str | None) -> None:
    dates = vendors.Dates()
    dates.note("npl", HttpReply(200, {} if date is None else {"date": date}, b""), NOON)
    assert dates.skews == {}


async def test_an_account_hears_of_what_went_wrong() -> None:
    """What a driver throws in reaches the provider, which may know better."""
    said: list[str] = []

    def balance() -> Generator[HttpRequest, HttpReply, str]:
        try:
            yield HttpRequest("GET", "http://127.0.0.1:9/")
        except ProviderAuthError as error:
            said.append(error.code)
            reply = yield HttpRequest("GET", "http://127.0.0.1:9/again")
            return reply.body.decode()
        return ""

    class Driver:
        async def run(self, lookup: Generator[HttpRequest, HttpReply, Any], *, timeout_s: float) -> Any:
            next(lookup)
            lookup.throw(ProviderAuthError())
            try:
                lookup.send(HttpReply(200, {}, b"42"))
            except StopIteration as done:
                return done.value

    account: Any = type("Account", (), {"name": "npl", "driver": Driver()})()
    noting = vendors._Noting(account, vendors.Dates())
    async with asyncio.timeout(5):
        assert await noting.run(balance(), timeout_s=1) == "42"
    assert said == ["auth"]
