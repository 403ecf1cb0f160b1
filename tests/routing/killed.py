"""A change of the store, killed at each step that it takes on disk: `python -m tests.routing.killed FOLDER VENDOR VERSION`.

On standard output, a line for each step: JSON with its name, and whether the process was killed at it. Forked, so that each try
begins with the same warm interpreter; a program of its own, as it has no threads.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from itertools import count
from pathlib import Path

from agi_lookup.routing.book import open_book
from agi_lookup.routing.rates import Destination
from agi_lookup.routing.store import Store

NOW = 1_800_000_000.0
STEPS = frozenset({"open", "os.mkdir", "os.remove", "os.rename", "os.chown", "os.chmod", "mmap.__new__", "fcntl.flock"})


class Killer:
    """An audit hook (PEP 578): every file that Python opens, renames or removes passes it first."""

    def __init__(self, step: int) -> None:
        self._left = step

    def __call__(self, event: str, _arguments: tuple[object, ...]) -> None:
        if event in STEPS:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def live_price(store: Store) -> int | None:
    """In cents, by the live book."""
    book = store.live_book()
    if book is None:
        return None
    matches = open_book(book).find(Destination("447400123456"), NOW)
    return matches[0].tariff.rate // 10**7 if matches and matches[0].tariff else None


def main(folder: str, vendor: str, version: str) -> None:
    for step in count(1):
        pid = os.fork()
        if pid == 0:
            sys.addaudithook(Killer(step))
            Store(Path(folder)).activate(vendor, version, NOW)
            os._exit(0)
        killed = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        print(json.dumps({"step": step, "killed": killed, "live": live_price(Store(Path(folder)))}), flush=True)
        if not killed:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
