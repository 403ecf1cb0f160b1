"""Servers to look at: one with something to show (vendor, hostile table, caps, rules, rates, calls), one where nothing happened."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from agi_lookup.cli import main
from agi_lookup.sim.asterisk import play
from tests.calls import call_of
from tests.processes import Site, make_site
from tests.test_daemon import simulator

EVIL: Final = "<img src=x onerror=document.body.remove()>"
"""As a vendor's word: text that takes the page away where it becomes markup."""
EVIL_NUMBER: Final = "+447700900009"
CALLED: Final = ("+447400123400", "+447400123401", "+447400123403", EVIL_NUMBER, "112", "+447012345678", "12")
"""Reachable, ported, unknown subscriber, the hostile table's, emergency, blocked by a rule, refused."""
MASKED: Final = ("+4474******00", "+4474******01", "+4474******03")
CAPPED: Final = "capped"
"""A profile that may spend one credit a day."""
TOKEN: Final = "a-token-of-the-console"
DECK: Final = "prefix,rate,currency\n44,0.02,EUR\n4474,0.012,EUR\n"
VIEWS: Final = ("now", "providers", "blocking", "calls", "number", "routes")


def dial(site: Site, *numbers: str, options: tuple[str, ...] = ()) -> None:
    """One call after the other. In a thread: the browser's event loop has this one."""

    async def calls() -> None:
        for number in numbers:
            await play(call_of(number, "alice", *options), "127.0.0.1", site.agi_port)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, calls()).result()


def _command(site: Site, *args: str) -> None:
    """In this process: a new one takes longer to start than all that it does."""
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as thread:
        patch.setattr(sys, "argv", ["agi-lookup", "--config", str(site.config), *args])
        ended = thread.submit(main.main).exception()
    assert isinstance(ended, SystemExit)
    assert not ended.code


def _prepare(site: Site) -> None:
    site.data["providers"] |= {"ports": {"kind": "ported_numbers", "table": str(site.folder / "ported.sqlite")}}
    site.data["profiles"][CAPPED] = {"dial_plan": {"country": "GB"}, "deadline_ms": 8000}
    site.data["budget"] = {
        "providers": {"npl": {"per_day": {"credits": "100"}, "burst": {"credits": "50", "seconds": 600}}},
        "profiles": {CAPPED: {"per_day": {"credits": "1"}}},
    }
    site.data["policy"] = {
        "dead_numbers": {"mode": "shadow"},
        "rules": [{"name": "personal", "when": {"prefix": ["+4470"]}, "action": "block", "mode": "enforce"}],
    }
    site.data["routing"] = {
        "trunks": {
            "acme": {"vendor": "acme", "dial": "PJSIP/{number}@acme"},
            "budget": {"vendor": "budget", "dial": "PJSIP/{number}@budget"},
        }
    }
    site.write()
    feed, deck = site.folder / "feed.csv", site.folder / "deck.csv"
    feed.write_text(f"number,carrier,mcc,mnc,ported\n{EVIL_NUMBER},{EVIL},234,15,yes\n")
    deck.write_text(DECK)
    _command(site, "ports", "import", str(feed))
    _command(site, "rates", "import", str(deck), "--vendor", "acme")
    _command(site, "rates", "activate", "acme")


@contextmanager
def busy_site(folder: Path) -> Iterator[Site]:
    with simulator(folder) as npl:
        site = make_site(folder, provider=npl, deadline_ms=8000)
        _prepare(site)
        with site.serve():
            dial(site, *CALLED)
            yield site


def quiet_site(folder: Path) -> Site:
    """Not served yet. It wants a token."""
    site = make_site(folder)
    site.data["http"]["token"] = TOKEN
    site.write()
    return site
