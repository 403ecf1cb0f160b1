"""A real Asterisk for the tests: started in the fetched root, called, asked what became of the calls, stopped.

Every instance has directories, a SIP and an AMI port of its own under the root's /tmp, so several can run at once. A call goes
through `Local/s@lab` of etc/extensions.conf, which hands the number to the context under test and writes what it sees to a file
named for the call: no log is parsed, and calls can run in parallel.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qsl

from agi_lookup.variables import VARIABLES, full_name
from tests.asterisk.ami import Ami
from tests.asterisk.invite import Invite, send
from tests.asterisk.root import asterisk_root, modules_dir
from tests.processes import free_port

CONFIG: Final = Path(__file__).parent / "etc"
DIALPLAN: Final = Path(__file__).parents[2] / "dialplan"
LOOKUP_VARIABLES: Final = tuple(full_name(variable, "LOOKUP_") for variable in VARIABLES)

UNKNOWN: Final = dict.fromkeys(LOOKUP_VARIABLES, "") | {
    "LOOKUP_STATUS": "NONE",
    "LOOKUP_ACTION": "allow",
    "LCR_COUNT": "0",
    "LOOKUP_CACHE": "miss",
    "LOOKUP_REASON": "inconclusive",
    "LOOKUP_TYPE": "unknown",
    "LOOKUP_VALID": "unknown",
    "LOOKUP_PORTED": "unknown",
    "LOOKUP_REACHABLE": "unknown",
    "LOOKUP_ROAMING": "unknown",
}
"""Every variable of the server when there was no answer."""

VOLATILE: Final = frozenset({"LOOKUP_MS", "LOOKUP_AGE", "LOOKUP_CACHE"})
"""What differs between two calls to one number."""
NOTHING: Final = {name: value for name, value in UNKNOWN.items() if name not in VOLATILE}
"""`Call.facts` when there was no answer."""

REPORTED: Final = {name: name for name in ("AGISTATUS", "DIALSTATUS", "HANGUPCAUSE", "UNIQUEID", "AGISIGHUP")} | {
    "num": "CALLERID(num)",
    "name": "CALLERID(name)",
    "absolute": "TIMEOUT(absolute)",
    "began": "LAB_BEGAN",
    "now": "STRFTIME(,,%s.%3q)",  # Unix seconds with milliseconds (utils.c ast_strftime)
}
"""What a call reports besides the lookup's variables at each place, by its name there."""

IN_ROOT: Final = ("setpriv", "--pdeathsig", "KILL", "chroot")
START_TIMEOUT_S: Final = 60
STOP_TIMEOUT_S: Final = 5


@dataclass(frozen=True, slots=True)
class Call:
    """What became of a call: the variables at each place that it passed, in order."""

    places: tuple[Mapping[str, str], ...]

    @property
    def went_on(self) -> bool:
        """It came back from the context under test and went to its route."""
        return any(place["where"] == "route" for place in self.places)

    def at(self, where: str) -> Mapping[str, str]:
        found = [place for place in self.places if place["where"] == where]
        assert found, f"never at {where!r}, only at {[place['where'] for place in self.places]}"
        return found[0]

    @property
    def route(self) -> Mapping[str, str]:
        return self.at("route")

    @property
    def lookup(self) -> dict[str, str]:
        """The server's variables as its route sees them."""
        return {name: self.route[name] for name in LOOKUP_VARIABLES}

    @property
    def facts(self) -> dict[str, str]:
        """What the server set, but for what differs between two calls to one number."""
        return {name: value for name, value in self.lookup.items() if name not in VOLATILE}

    @property
    def took_s(self) -> float:
        """How long the context under test held the call, by Asterisk's own clock."""
        return float(self.route["now"]) - self.began_at

    @property
    def began_at(self) -> float:
        """Unix seconds."""
        return float(self.route["began"])

    @property
    def dialled(self) -> list[str]:
        """The trunks that were tried, in order, and the number that each got: `trunk-good +4412345`."""
        return [
            place["where"].removeprefix("dialled ") for place in self.places if place["where"].startswith("dialled ")
        ]


@contextmanager
def running(root: Path | None = None, dialplan: Path = DIALPLAN) -> Iterator[Asterisk]:
    """Start an Asterisk of the fetched root (or another), and leave nothing of it behind. `dialplan`: the shipped one's folder."""
    root = root or asterisk_root()
    with (
        TemporaryDirectory(prefix="lab-", dir=root / "tmp", ignore_cleanup_errors=True) as home,
        Asterisk(root, Path(home), dialplan) as asterisk,
    ):
        yield asterisk


class Asterisk:
    """One instance with the directories of `home`, a path in `root`; it runs within `with`."""

    def __init__(self, root: Path, home: Path, dialplan: Path = DIALPLAN) -> None:
        self.root = root
        self.home = home
        self._dialplan = dialplan
        self.sip_port = free_port(socket.SOCK_DGRAM)
        self.ami_port = free_port()
        self._ids = itertools.count(1)
        self._configure()

    def _configure(self) -> None:
        for name in ("etc", "lib", "log", "results", "run", "spool"):
            (self.home / name).mkdir()
        placeholders = {
            "@home@": self.inside(self.home),
            "@modules@": modules_dir(self.root),
            "@sip_port@": str(self.sip_port),
            "@ami_port@": str(self.ami_port),
            "@lookup@": "|".join(f"{name}=${{{name}}}" for name in LOOKUP_VARIABLES),
            "@report@": "&".join(f"{name}=${{URIENCODE(${{{source}}})}}" for name, source in REPORTED.items()),
        }
        for template in (*CONFIG.glob("*.conf"), *self._dialplan.glob("*.conf")):
            text = template.read_text()
            for placeholder, value in placeholders.items():
                text = text.replace(placeholder, value)
            (self.home / "etc" / template.name).write_text(text)

    def inside(self, path: Path) -> str:
        """The path as it is called in the root."""
        return f"/{path.relative_to(self.root)}"

    # ------------------------------------------------------------------------------------------------ the process

    def __enter__(self) -> Self:
        """Start. Asterisk dies with us even when we are killed: setpriv asks the kernel for that."""
        self._process = subprocess.Popen(
            [*IN_ROOT, self.root, "asterisk", "-f", "-C", self._config],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        try:
            self._wait_until_booted()
            self._ami = Ami(self.ami_port)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ami.close()
        self._stop()

    def _wait_until_booted(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while "fully booted" not in self.cli("core waitfullybooted"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Asterisk did not start: {self.log()[-4000:]}")
            time.sleep(0.05)

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """It runs and still answers its console: a crashed or wedged Asterisk does not."""
        return self._process.poll() is None and "System uptime" in self.cli("core show uptime")

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    # ------------------------------------------------------------------------------------------------ the console

    def run(self, *command: str, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a command inside the root, from this instance's home."""
        return subprocess.run(
            [*IN_ROOT, self.root, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )

    @property
    def _config(self) -> str:
        return self.inside(self.home / "etc/asterisk.conf")

    def cli(self, command: str) -> str:
        return self.run("asterisk", "-C", self._config, "-rx", command).stdout

    def log(self) -> str:
        path = self.home / "log/full"
        return path.read_text(errors="replace") if path.exists() else "no log was written"

    def trace(self) -> None:
        """Log every step of the dialplan from now on, to find out why a test fails."""
        self.cli("logger add channel full verbose(4),notice,warning,error")
        self.cli("core set verbose 4")

    def load_dialplan(self, text: str) -> None:
        """Add contexts of a test to the running dialplan; they stay until the instance ends."""
        path = self.home / "etc" / f"extra-{next(self._ids)}.conf"
        path.write_text(text)
        self.cli("dialplan reload")

    # ---------------------------------------------------------------------------------------------------- calls

    def new_id(self) -> str:
        return f"call{next(self._ids)}"

    async def call(
        self,
        number: str,
        *,
        context: str = "agi-lookup",
        caller: str = "Alice <+4420>",
        patience_s: float = 30,
        **variables: str | float,
    ) -> Call:
        """One call to `number` through `Gosub(context,s,1(number))`; the caller hangs up when unanswered for `patience_s`.

        `variables` are set on the channel, where they take the place of the globals of the same names.
        """
        call_id = self.new_id()
        variables |= {"LAB_ID": call_id, "LAB_CONTEXT": context, "LAB_NUMBER": number}
        inherited = {f"__{name}": str(value) for name, value in variables.items()}
        self._ami.originate("Local/s@lab/n", caller=caller, patience_s=patience_s, variables=inherited)
        return await self.result(call_id, timeout_s=patience_s + 10)

    async def sip_call(self, invite: Invite, url: str, context: str = "agi-lookup") -> tuple[int | None, Call]:
        """One INVITE; its SIP status and what became of the call. `invite.source` 127.0.0.2 meets a bare dialplan."""
        call_id = self.new_id()
        headers: dict[str, str | bytes] = {"X-Lab-Id": call_id, "X-Lab-Url": url, "X-Lab-Context": context}
        status = await send(replace(invite, headers=invite.headers | headers), self.sip_port)
        return status, await self.result(call_id)

    async def result(self, call_id: str, timeout_s: float = 30) -> Call:
        """Wait for the end of a call that carried `call_id` as LAB_ID."""
        path = self.home / "results" / call_id
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            text = path.read_text() if path.exists() else ""
            places = tuple(_place(line) for line in text.splitlines())
            if text.endswith("\n") and places[-1]["where"] == "hangup":
                return Call(places)
            await asyncio.sleep(0.01)
        raise TimeoutError(f"{call_id} did not end: {path.read_text() if path.exists() else 'no trace of it'}")


def _place(line: str) -> dict[str, str]:
    """One line of a result file. The lookup's values have no `|` by contract, so they come encoded as one."""
    place = dict(parse_qsl(line, keep_blank_values=True))
    lookup = (variable.partition("=") for variable in place.pop("lookup", "").split("|"))
    return place | {name: value for name, _, value in lookup}
