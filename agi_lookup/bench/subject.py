"""Our server as a benchmark runs it: the real command with a real config, in a folder of its own, answering on a free port."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agi_lookup.bench.children import Child
from agi_lookup.domain.errors import OutsideError

START_S: Final = 30.0
CLI: Final = "agi_lookup.cli.main"

CONFIG: Final = """
state_dir: {folder}/state
server: {{port: 0}}
http: {{enabled: false}}
cache:
  lifetimes:                # nothing may run out while we measure
    identity: {{positive: {{fresh_s: 86400}}}}
    liveness: {{positive: {{fresh_s: 86400}}, negative: {{fresh_s: 86400}}, inconclusive: {{fresh_s: 86400}}}}
profiles:
  default:
    deadline_ms: {deadline_ms}
    dial_plan: {{country: GB}}
{providers}
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """The running server. `log` is the file that its standard error goes to."""

    process: Child
    port: int
    log: Path
    started_at: float  # time.perf_counter() before the process was made


def write_config(folder: Path, providers: str, *, deadline_ms: int = 1000) -> Path:
    path = folder / "agi-lookup.yaml"
    path.write_text(CONFIG.format(folder=folder, providers=providers, deadline_ms=deadline_ms))
    return path


@contextmanager
def serving(config: Path, *command: str) -> Iterator[Subject]:
    """Start, wait until it says that it serves, and end it afterwards. Raises `OutsideError` when it does not.

    `command` is a module and its arguments; without one it is `agi-lookup serve`.
    """
    command = command or (CLI, "--config", str(config), "serve")
    log = config.with_suffix(".log")
    started_at = time.perf_counter()
    with (
        log.open("wb") as stderr,
        Child(*command, stderr=stderr) as process,
    ):
        port = _port(process, log, started_at + START_S)
        yield Subject(process, port, log, started_at)


def _port(process: Child, log: Path, deadline: float) -> int:
    while time.perf_counter() < deadline and process.runs:
        for line in log.read_text().splitlines():
            if line.startswith("{") and (said := json.loads(line)).get("event") == "serving":
                return int(said["agi"].rpartition(":")[2])
        time.sleep(0.005)
    raise OutsideError(f"the server did not start: {log.read_text()[-500:]}")


@contextmanager
def simulated_vendor() -> Iterator[str]:
    """The Number Portability Lookup simulator in a process of its own; gives its URL."""
    with Child(CLI, "sim", "--port", "0", "--json") as process:
        yield json.loads(process.first_line())["url"]
