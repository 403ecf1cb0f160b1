"""The processes of a benchmark: started, measured through /proc, ended by their own handle whatever happens."""

from __future__ import annotations

import os
import shutil
import subprocess  # nosec B404
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

STOP_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far: CPU of all its threads, ended ones too; bytes read and written, sockets included."""

    cpu_s: float
    read_bytes: int
    written_bytes: int

    def since(self, before: Usage) -> Usage:
        return Usage(
            self.cpu_s - before.cpu_s,
            self.read_bytes - before.read_bytes,
            self.written_bytes - before.written_bytes,
        )


class Child:
    """A Python module run as a process of its own; `with Child("package.module", ...) as child:`."""

    def __init__(self, module: str, *arguments: str, stderr: IO[bytes] | int = subprocess.DEVNULL) -> None:
        self._command: Sequence[str] = (*_dies_with_parent(), sys.executable, "-m", module, *arguments)
        self._stderr = stderr

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603  # nosec B603
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=_environment(),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def first_line(self) -> str:
        """What it prints first; empty when it ended before."""
        for line in self._process.stdout or ():
            return str(line.decode().strip())
        return ""

    def wait(self) -> int:
        """Its exit status, once it has ended by itself."""
        return self._process.wait()

    def usage(self) -> Usage:
        io = _fields(Path(f"/proc/{self.pid}/io"))
        return Usage(time.clock_gettime(_cpu_clock(self.pid)), io["rchar"], io["wchar"])

    def rss_kib(self) -> int:
        """Resident memory now."""
        return _fields(Path(f"/proc/{self.pid}/status"))["VmRSS"]

    def open_files(self) -> list[str]:
        """What its descriptors point to: paths, `socket:[...]`, `pipe:[...]`."""
        folder = Path(f"/proc/{self.pid}/fd")
        return sorted(os.readlink(entry) for entry in folder.iterdir())


def _cpu_clock(pid: int) -> int:
    """clock_getcpuclockid(3) as glibc and musl make it: nanoseconds, where /proc counts ticks of 10 ms."""
    return (~pid << 3) | 2


def _environment() -> Mapping[str, str]:
    """The package that runs now is the package that is measured, wherever the command was given."""
    root = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))}


def _dies_with_parent() -> Sequence[str]:
    """util-linux's way to have the kernel end a child when its parent dies, however it dies."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "TERM") if setpriv else ()


def _fields(path: Path) -> dict[str, int]:
    """`Name:  123 kB` lines whose value begins with a whole number."""
    pairs = (line.partition(":")[::2] for line in path.read_text().splitlines())
    return {name: int(value.split()[0]) for name, value in pairs if value.strip().split(" ")[0].isdigit()}
