"""The product as users run it: processes of its own, ended by pid whatever a test does."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CLI = (sys.executable, "-m", "agi_lookup.cli.main")
READY_S = 60.0


_PORTS = itertools.count(secrets.randbelow(11_000))  # whatever seeds `random`


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Below those that the system gives to whoever connects: one of these could be taken before it is listened on.

    Never one twice, as what was sent to whoever had it may still come; and none that the other worker may choose.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 2
    while True:
        port = 10_000 + 11_000 * worker + next(_PORTS) % 11_000
        with socket.socket(type=kind) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@dataclass
class Process:
    """A running command with its log in a file."""

    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The log's lines of one event; the last may not be written to its end yet."""
        found = []
        whole, _, _ = self.log.read_text().rpartition("\n")
        for line in whole.splitlines():
            if line.startswith("{"):
                parsed: dict[str, Any] = json.loads(line)
                if parsed.get("event") == event:
                    found.append(parsed)
        return found

    def wait_for(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if len(found := self.lines(event)) >= count:
                return found
            if self.popen.poll() is not None:
                raise AssertionError(f"ended with {self.popen.returncode}: {self.log.read_text()[-2000:]}")
            time.sleep(0.02)
        raise AssertionError(f"no {event!r} in {self.log.read_text()[-2000:]}")

    def end(self, how: signal.Signals = signal.SIGTERM, within_s: float = 10.0) -> int:
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGCONT)
            self.popen.send_signal(how)
        try:
            return self.popen.wait(within_s)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait(30)
            raise


@contextmanager
def running(
    log: Path, *args: str, environ: Mapping[str, str] | None = None, wrap: Sequence[str] = ()
) -> Iterator[Process]:
    """`wrap` goes before the command, e.g. `prlimit`."""
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [*wrap, *CLI, *args], stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(environ or {})}
        )
    process = Process(popen, log)
    try:
        yield process
    finally:
        if popen.poll() is None:
            popen.send_signal(signal.SIGCONT)
            popen.kill()
            popen.wait(30)


def cli(*args: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *args], capture_output=True, text=True, check=False, timeout=120, env={**os.environ, **(environ or {})}
    )


@dataclass
class Site:
    """A config in a folder of its own, with its ports; `change` writes it anew."""

    folder: Path
    agi_port: int
    http_port: int
    data: dict[str, Any]

    @property
    def config(self) -> Path:
        return self.folder / "agi-lookup.yaml"

    @property
    def agi(self) -> str:
        return f"127.0.0.1:{self.agi_port}"

    def write(self) -> None:
        self.config.write_text(yaml.safe_dump(self.data, sort_keys=False))

    def cli(self, *args: str) -> subprocess.CompletedProcess[str]:
        return cli("--config", str(self.config), *args)

    def json(self, *args: str) -> dict[str, Any]:
        done = self.cli(*args, "--json")
        assert done.returncode in (0, 1), done.stderr
        shown: dict[str, Any] = json.loads(done.stdout)
        return shown

    def call(self, number: str, *options: str) -> dict[str, str]:
        """The variables of one call."""
        variables: dict[str, str] = self.json("call", number, "--agi", self.agi, *options)["variables"]
        return variables

    @contextmanager
    def serve(self, wrap: Sequence[str] = (), **environ: str) -> Iterator[Process]:
        args = ("--config", str(self.config), "serve")
        with running(self.folder / "serve.log", *args, environ=environ, wrap=wrap) as process:
            process.wait_for("serving")
            yield process


def make_site(folder: Path, *, provider: str | None = None, **profile: Any) -> Site:
    """A config for GB; `provider` is the NPL simulator's base URL.

    Its server bears with a busy machine, unless a test wants to see what it does in little time.
    """
    site = Site(folder, free_port(), free_port(), {})
    site.data = {
        "state_dir": str(folder / "state"),
        "server": {"port": site.agi_port, "shed_lag_s": 5, "environment_timeout_s": 20, "reply_timeout_s": 20},
        "http": {"port": site.http_port},
        "profiles": {"default": {"dial_plan": {"country": "GB"}, "deadline_ms": 10_000, **profile}},
    }
    if provider:
        site.data["providers"] = {
            "npl": {
                "kind": "numberportabilitylookup",
                "base_url": provider,
                "allow_private": True,
                "user": "sim-user",
                "password": "sim-pass",
            }
        }
    site.write()
    return site
