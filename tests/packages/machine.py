"""A machine of our own to install on: the copy of a root, its commands and processes. /proc is there for them alone.

There is no systemd in it: the server is started as its unit says, by the unit's user.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes import Process

IN_ROOT = (
    "unshare",
    "--mount",
    "--propagation=private",
    "sh",
    "-c",
    'mount -t proc proc "$1/proc" && exec chroot "$@"',
    "sh",
)
USER = "agi-lookup"
AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs", "--pdeathsig=KILL")
UNIT = "lib/systemd/system/agi-lookup.service"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


class Machine:
    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, inside: str) -> Path:
        return self.root / inside.lstrip("/")

    def root_runs(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = self._run(command)
        assert done.returncode == 0 or not check, f"{command}: {done.stdout[-3000:]} {done.stderr[-3000:]}"
        return done

    def user_runs(self, *command: str) -> subprocess.CompletedProcess[str]:
        """As the service's user."""
        return self._run((*AS_USER, *command))

    def json(self, *command: str) -> Any:
        done = self.user_runs(*command, "--json")
        assert done.returncode in (0, 1), f"{command}: {done.stderr}"
        return json.loads(done.stdout)

    def apt(self, *arguments: str) -> None:
        """Without the network: what is needed lies in apt's cache."""
        keep = ("-o", "Dpkg::Options::=--force-confold")
        self.root_runs("apt-get", "-q", "-y", "--no-install-recommends", *keep, *arguments)

    def version(self) -> str:
        return self.root_runs("dpkg-query", "-W", "-f", "${Version}", "agi-lookup").stdout

    @contextmanager
    def service(self, log: Path) -> Iterator[Process]:
        """What the unit starts; ready when the block begins, ended as systemd would when it is left."""
        settings = dict(line.partition("=")[::2] for line in self.path(UNIT).read_text().splitlines() if "=" in line)
        limit = f"--nofile={settings['LimitNOFILE']}"
        with self.running(log, "prlimit", limit, *shlex.split(settings["ExecStart"])) as process:
            process.wait_for("serving")
            yield process
            assert process.end() == 0, process.log.read_text()[-2000:]

    @contextmanager
    def running(self, log: Path, *command: str) -> Iterator[Process]:
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [*IN_ROOT, self.root, *AS_USER, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=ENVIRONMENT,
            )
        try:
            yield Process(popen, log)
        finally:
            if popen.poll() is None:
                popen.kill()
                popen.wait(5)

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*IN_ROOT, self.root, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            env=ENVIRONMENT,
            check=False,
        )
