"""Calls as an Asterisk makes them, simulated vendors as a process, and the ledger beside their bill."""

from __future__ import annotations

import http.client
import itertools
import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from agi_lookup.cache.sqlite.file import CACHE_FILE
from agi_lookup.keyed import keyed
from agi_lookup.lookup.ledger_file import LEDGER_FILE
from agi_lookup.sim.asterisk import Behaviour, Played, play
from agi_lookup.sim.asterisk_wire import Call
from agi_lookup.sim.vendors import print_config
from tests.processes import Process, Site, free_port, make_site, running
from tests.test_daemon import fetch, wait_for_port

UNIQUEID: Final = "1763742000.1"
CONNECT_S: Final = 30.0
"""Asterisk's 2 s are for one call. A thousand that one loop makes at once, on a busy machine, wait for that loop before they wait
for the server."""
SET: Final = "SET VARIABLE ARRAY("


def call_of(number: str, caller: str = "alice", *options: str) -> Call:
    channel = f"PJSIP/{caller}-00000001"
    return Call((number, UNIQUEID, "-", *options), uniqueid=UNIQUEID, raw={"agi_channel": channel})


async def dial(
    site: Site, number: str, caller: str = "alice", *, leave_after_s: float | None = None
) -> dict[str, str] | None:
    """The variables of one call: none where the caller or the server left; None where nobody listens."""
    try:
        return (await played(site, number, caller, leave_after_s=leave_after_s)).variables
    except OSError:  # TimeoutError is one: a kernel that answers for a server that is gone
        return None


async def played(site: Site, number: str, caller: str = "alice", *, leave_after_s: float | None = None) -> Played:
    behaviour = Behaviour(hangup_after_s=leave_after_s, agiexitonhangup=True, connect_s=CONNECT_S)
    return await play(call_of(number, caller), "127.0.0.1", site.agi_port, behaviour)


def told(lines: Sequence[bytes]) -> dict[str, str]:
    """What the one command sets, read the quick way: values hold no commas. Nothing for `FAILURE`."""
    line = lines[0].decode() if len(lines) == 1 else ""
    names, _, values = line.removeprefix(SET).rstrip('"\n').partition(') "')
    return dict(zip(names.split(","), values.split(","), strict=True)) if line.startswith(SET) else {}


def reachable(index: int, block: int = 0) -> str:
    """A British number that is reachable in the simulators: 300,000 a block."""
    return f"447{10 + block:02d}{index // 3:05d}{('00', '30', '31')[index % 3]}"


def on_disk(site: Site) -> set[str]:
    """The numbers, without `+`, of which the server's cache holds identity and liveness, by a copy of its file."""
    file = Path(site.data["state_dir"]) / CACHE_FILE
    with TemporaryDirectory() as folder:
        for part in file.parent.glob(f"{file.name}*"):
            shutil.copy(part, folder)
        with closing(sqlite3.connect(Path(folder, file.name))) as connection:
            rows = connection.execute("SELECT number FROM entry GROUP BY number HAVING count(*) = 2").fetchall()
    return {str(number) for (number,) in rows}


def fresh_numbers(block: int = 0) -> Iterator[str]:
    return (reachable(index, block) for index in itertools.count())


@dataclass
class Vendors:
    """`agi-lookup sim` as a process of its own."""

    process: Process
    url: str
    _journal: list[dict[str, Any]] = field(default_factory=list)

    def blocks(self, *names: str, **changes: Any) -> dict[str, dict[str, Any]]:
        """Provider blocks that point here."""
        blocks = yaml.safe_load(print_config(self.url))["providers"]
        return {name: {**blocks[name], **changes} for name in names}

    def bill(self) -> dict[str, dict[str, Any]]:
        bill: dict[str, dict[str, Any]] = fetch(f"{self.url}/_sim/bill")
        return bill

    def charged(self, name: str = "npl") -> Decimal:
        return Decimal(self.bill()[name]["charged"])

    def journal(self, name: str | None = None) -> list[dict[str, Any]]:
        """Every request so far. The simulator forgets all but the last 10,000; we do not, as long as we look often enough."""
        requests, last = self._requests(), fetch(f"{self.url}/_sim/journal")
        while requests != (requests := self._requests()):
            last = fetch(f"{self.url}/_sim/journal")
        new = requests - len(self._journal)
        assert new <= len(last), "looked at too seldom"
        self._journal += last[len(last) - new :]
        return [entry for entry in self._journal if name in (None, entry["vendor"])]

    def _requests(self) -> int:
        return sum(account["requests"] for account in self.bill().values())

    def asked(self) -> Counter[str]:
        """How often for each number."""
        return Counter(number for entry in self.journal() for number in entry["numbers"])

    def change(self, **faults: Any) -> None:
        """Faults for every request from now on; those that are not named stay."""
        self._post("/_sim/faults", json.dumps(faults))

    def reset(self) -> None:
        """Bill, journal and faults as at the start: all credit is there again."""
        self._post("/_sim/reset", "")
        self._journal.clear()

    def _post(self, path: str, body: str) -> None:
        with closing(http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=10)) as connection:
            connection.request("POST", path, body)
            assert connection.getresponse().status == 200


@contextmanager
def vendors(folder: Path, *args: str, port: int | None = None) -> Iterator[Vendors]:
    port = port or free_port()
    with running(folder / f"sim-{port}.log", "sim", "--port", str(port), *args) as process:
        wait_for_port(port, process)
        yield Vendors(process, f"http://127.0.0.1:{port}")


def site_of(folder: Path, providers: dict[str, dict[str, Any]], *, budget: Any = None, **profile: Any) -> Site:
    site = make_site(folder, **profile)
    site.data |= {"providers": providers, "budget": budget or {}}
    site.write()
    return site


Key = tuple[str, bytes]
"""Provider and keyed number."""


@dataclass
class Books:
    """The ledger's word on every request, beside the vendors'. Numbers may occur in several requests."""

    known: Counter[Key]  # answered
    unknown: Counter[Key]  # nobody knows whether it was charged
    free: Counter[Key]  # sent and sure to be free, or never sent
    open: Counter[Key]  # nothing came of it before the crash
    open_requests: int
    billed: Counter[Key]
    refused: Counter[Key]  # reached the vendor, and cost nothing

    @property
    def booked(self) -> Counter[Key]:
        return self.known + self.unknown + self.open

    def check(self) -> None:
        """The bill is the ledger, but for what it calls open. Where they differ, the ledger holds more."""
        assert self.known <= self.billed, "answered, and not billed"
        assert self.billed <= self.booked, "billed, and not booked"
        assert self.billed + self.refused <= self.booked + self.free, "asked without an intent"
        silent = (self.booked - self.billed) - self.refused
        assert silent <= self.open, "booked as sent, and never asked"


def books(site: Site, sim: Vendors) -> Books:
    """While no server writes."""
    path = Path(site.data["state_dir"]) / LEDGER_FILE
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute(
            "SELECT provider, number, charged, unknown, request FROM intent LEFT JOIN outcome USING (id)"
        ).fetchall()
    key = path.with_suffix(".key").read_bytes()
    kinds: dict[str, Counter[Key]] = {kind: Counter() for kind in ("known", "unknown", "free", "open")}
    for provider, number, charged, unknown, _ in rows:
        kind = "open" if charged is None else "unknown" if unknown else "known" if charged else "free"
        kinds[kind][provider, number] += 1
    billed: Counter[Key] = Counter()
    refused: Counter[Key] = Counter()
    for entry in sim.journal():
        which = billed if Decimal(entry["charged"]) else refused
        which.update((entry["vendor"], keyed(key, f"+{number}")) for number in entry["numbers"])
    open_requests = len({row[4] for row in rows if row[2] is None})
    return Books(**kinds, open_requests=open_requests, billed=billed, refused=refused)
