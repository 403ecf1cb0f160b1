"""Servers out of one warm interpreter: `agi-lookup serve` without the seconds that its imports take, to be killed by the dozen.

`python -m tests.forked` forks a command for each line of its standard input: a JSON list of a log file and the arguments. On
standard output: the pid, and "gone" when it has ended.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final

from agi_lookup.cache.sqlite.tier import Limits, SqliteTier
from agi_lookup.cli.main import main as agi_lookup
from agi_lookup.domain.dial_plan import DialPlan
from agi_lookup.domain.number import preload
from tests.processes import READY_S, Site

ROOT: Final = Path(__file__).parents[1]
KINDS: Final = ("numberportabilitylookup", "hlrlookup", "numberyo")


class Forked:
    """One command under way; `kill` it before the next is started."""

    def __init__(self, zygote: subprocess.Popen[str], pid: int, log: Path) -> None:
        self.pid = pid
        self._zygote = zygote
        self._log = log

    def wait_until_serving(self) -> None:
        deadline = time.monotonic() + READY_S
        while "Listening on" not in self._log.read_text():
            assert time.monotonic() < deadline, self._log.read_text()[-2000:]
            time.sleep(0.01)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        assert line(self._zygote.stdout) == "gone", self._log.read_text()[-2000:]


class Forks:
    def __init__(self, zygote: subprocess.Popen[str]) -> None:
        self._zygote = zygote

    def serve(self, site: Site) -> Forked:
        log = site.folder / "serve.log"
        log.write_bytes(b"")
        command = json.dumps([str(log), "--config", str(site.config), "serve"])
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(command + "\n")
        self._zygote.stdin.flush()
        return Forked(self._zygote, int(line(self._zygote.stdout)), log)


@contextmanager
def forks() -> Iterator[Forks]:
    """What still runs at the end is killed."""
    zygote = subprocess.Popen(
        [sys.executable, "-m", "tests.forked"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Forks(zygote)
    finally:
        zygote.terminate()
        for pipe in (zygote.stdin, zygote.stdout):
            if pipe is not None:
                pipe.close()
        zygote.wait(60)


def line(pipe: IO[str] | None) -> str:
    assert pipe is not None
    read = pipe.readline()
    assert read, "the process that forks has ended"
    return read.strip()


def run(log: str, *args: str) -> None:
    """In the child: become the command."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, stands_for in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, stands_for)
    sys.argv = ["agi-lookup", *args]
    agi_lookup()


def warm() -> None:
    """What a server needs, at once or at its first lookup."""
    for module in ("cli.serve", "daemon", "log", "providers.http", *(f"providers.{kind}" for kind in KINDS)):
        importlib.import_module(f"agi_lookup.{module}")
    preload(DialPlan(country="GB"))
    # else what a busy machine reads too slowly is a miss, and a miss is paid for
    patient = partial(SqliteTier.open, limits=Limits(read_timeout_s=5.0, line_s=5.0))
    SqliteTier.open = patient  # type: ignore[method-assign]


def main() -> None:
    warm()
    child = 0

    def end(_number: int, _frame: object) -> None:
        if child:
            os.kill(child, signal.SIGKILL)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    for command in sys.stdin:
        child = os.fork()
        if child == 0:
            run(*json.loads(command))
            os._exit(0)
        os.write(1, f"{child}\n".encode())
        os.waitpid(child, 0)
        child = 0
        os.write(1, b"gone\n")


if __name__ == "__main__":
    main()
