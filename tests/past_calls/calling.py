"""A process that logs calls without end, and says what the log says: `python -m tests.past_calls.calling FILE`."""

from __future__ import annotations

import os
import sys
import time
from itertools import count
from pathlib import Path

from agi_lookup.calls.log import CallLog
from agi_lookup.calls.options import CallLogOptions
from tests.past_calls.logged import NOW, call, result


def say(line: str) -> None:
    """In one piece, whichever thread says it."""
    os.write(1, f"{line}\n".encode())


def main() -> None:
    log = CallLog(
        Path(sys.argv[1]),
        CallLogOptions(),
        on_alarm=lambda code, _detail: say(code),
        count=lambda _event: None,
        clock=lambda: NOW + 1,
    )
    for n in count():
        log.decided(call(channel=str(n)))
        log.result(result(), str(n))
        if n % 100 == 0:
            say(f"{n} {log.state}")
            time.sleep(0.01)


if __name__ == "__main__":
    main()
