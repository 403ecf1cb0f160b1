"""A real Asterisk for the tests: started in the fetched root, called, asked what became of the calls, stopped.

Every instance has directories, a SIP and an AMI port of its own under the root's /tmp, so several can run at once. A call goes
through `Local/s@lab` of etc/extensions.conf, which hands the number to the context under test and writes what it sees to a file
named for the call: no log is parsed, and calls can run in parallel.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qsl

from agi_lookup.variables import VARIABLES, full_name
from tests.asterisk.root import asterisk_root, modules_dir

CONFIG: Final = Path(__file__).parent / "etc"
DIALPLAN: Final = Path(__file__).parents[2] / "dialplan"
LOOKUP_VARIABLES: Final = tuple(full_name(variable, "LOOKUP_") for variable in VARIABLES)

REPORTED: Final = {name: name for name in (*LOOKUP_VARIABLES, "AGISTATUS", "DIALSTATUS", "HANGUPCAUSE", "UNIQUEID")} | {
    "num": "CALLERID(num)",
    "name": "CALLERID(name)",
    "absolute": "TIMEOUT(absolute)",
    "AGISIGHUP": "AGISIGHUP",
}
"""What a call reports at each place, by its name there."""

START_TIMEOUT_S: Final = 20
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
    def dialled(self) -> list[str]:
        """The trunks that were tried, in order, and the number that each got: `trunk-good +4412345`."""
        return [
            place["where"].removeprefix("dialled ") for place in self.places if place["where"].startswith("dialled ")
        ]


@dataclass
class Asterisk:
    """One running Asterisk; `with Asterisk() as asterisk:`."""

    root: Path = field(default_factory=asterisk_root)

    def __enter__(self) -> Self:
        self.home = Path(tempfile.mkdtemp(prefix="lab-", dir=self.root / "tmp"))
        try:
            self._configure()
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def _configure(self) -> None:
        for name in ("etc", "lib", "log", "results", "run", "spool"):
            (self.home / name).mkdir()
        self.sip_port = _free_port(socket.SOCK_DGRAM)
        self.ami_port = _free_port(socket.SOCK_STREAM)
        self._process: subprocess.Popen[bytes] | None = None
        self._ids = itertools.count(1)
        placeholders = {
            "@home@": self.inside(self.home),
            "@modules@": modules_dir(self.root),
            "@sip_port@": str(self.sip_port),
            "@ami_port@": str(self.ami_port),
            "@report@": "&".join(f"{name}=${{URIENCODE(${{{source}}})}}" for name, source in REPORTED.items()),
        }
        for template in (*CONFIG.glob("*.conf"), *DIALPLAN.glob("*.conf")):
            text = template.read_text()
            for placeholder, value in placeholders.items():
                text = text.replace(placeholder, value)
            (self.home / "etc" / template.name).write_text(text)

    def inside(self, path: Path) -> str:
        return f"/{path.relative_to(self.root)}"

    @property
    def _config(self) -> str:
        return self.inside(self.home / "etc/asterisk.conf")

    # ------------------------------------------------------------------------------------------------ the process

    def _start(self) -> None:
        """Asterisk dies with us, even when we are killed: setpriv asks the kernel for that."""
        with (self.home / "log/console").open("wb") as console:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "chroot", self.root, "asterisk", "-f", "-C", self._config],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                cwd="/",
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while "fully booted" not in self.cli("core waitfullybooted"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Asterisk did not start:\n{(self.home / 'log/console').read_text()}\n{self.log()}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """It runs and still answers its console: a crashed or wedged Asterisk does not."""
        running = self._process is not None and self._process.poll() is None
        return running and "System uptime" in self.cli("core show uptime")

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    # ------------------------------------------------------------------------------------------------ the console

    def run(self, *command: str, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a command inside the root, from this instance's home."""
        return subprocess.run(
            ["setpriv", "--pdeathsig", "KILL", "chroot", self.root, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )

    def cli(self, command: str) -> str:
        return self.run("asterisk", "-C", self._config, "-rx", command).stdout

    def log(self) -> str:
        return (self.home / "log/full").read_text(errors="replace")

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
        await self._originate(caller, patience_s, variables)
        return await self.result(call_id, timeout_s=patience_s + 10)

    async def result(self, call_id: str, timeout_s: float = 10) -> Call:
        """Wait for the end of a call that carried `call_id` as LAB_ID."""
        path = self.home / "results" / call_id
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            text = path.read_text() if path.exists() else ""
            places = tuple(dict(parse_qsl(line, keep_blank_values=True)) for line in text.splitlines())
            if text.endswith("\n") and places[-1]["where"] == "hangup":
                return Call(places)
            await asyncio.sleep(0.01)
        raise TimeoutError(f"{call_id} did not end: {path.read_text() if path.exists() else 'no trace of it'}")

    async def _originate(self, caller: str, patience_s: float, variables: Mapping[str, str | float]) -> None:
        """Start a call over AMI, whose Originate takes variables (unlike the console's)."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ami_port)
        headers = [f"Variable: __{name}={_quoted(str(value))}" for name, value in variables.items()]
        headers += [f"CallerID: {caller}", f"Timeout: {round(patience_s * 1000)}", "Async: true"]
        headers += ["Channel: Local/s@lab/n", "Application: Wait", "Data: 60"]
        try:
            for action in (["Action: Login", "Username: lab", "Secret: lab"], ["Action: Originate", *headers]):
                writer.write("\r\n".join([*action, "", ""]).encode())
                response = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
                assert b"Response: Success" in response, response
        finally:
            writer.close()
            await writer.wait_closed()


def _quoted(value: str) -> str:
    """As AMI's Variable header wants it: a plain comma would begin a second variable."""
    return "".join(f"\\{char}" if char in '\\",' else char for char in value)


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
