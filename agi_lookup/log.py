"""Structured logs that never block the event loop and never show a whole number.

A line is rendered where it is made, put into a bounded buffer and written by a thread of its own ten times a second. When the
reader stops reading (a full disk, a stopped pipe), lines are dropped and counted; calls go on.
A line is JSON whatever is in it: what a terminal or a viewer would obey (control characters, line ends of Unicode, marks that turn
the direction of text) is escaped (CWE-117), what is too long is cut inside the JSON. Of warnings of one kind, a hundred are written
in a minute; the next one after that says how many were left out.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from structlog.typing import EventDict

if TYPE_CHECKING:
    from agi_lookup.config import Level

MAX_LINES: Final = 10_000
MAX_LINE_CHARS: Final = 4096
MAX_VALUE_CHARS: Final = (200, 40, 8)
"""Of each value of a line that is too long, until it is not."""
MAX_VALUES: Final = 20
FLUSH_S: Final = 0.1
MAX_FRAMES: Final = 12
MAX_ALIKE: Final = 100
ALIKE_S: Final = 60.0
MAX_KINDS: Final = 1000
ALARM: Final = "alarm"
"""Always written: each has pauses of its own."""
_OBEYED: Final = re.compile(
    "[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Unicode's Cc beyond ASCII, Zl, Zp, and of Cf what turns, hides or tags text. JSON escapes the rest of Cc by itself."""

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class LineSink:
    """A file descriptor that is written behind. `on_drop(count)` is told of lines that were lost."""

    def __init__(self, fd: int, on_drop: Callable[[int], None] = lambda _count: None) -> None:
        self._fd = fd
        self._on_drop = on_drop
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def msg(self, line: str) -> None:
        """structlog's logger interface: keep one rendered line; when the buffer is full the oldest goes."""
        if len(self._lines) == MAX_LINES:
            self._on_drop(1)
        self._lines.append(line[:MAX_LINE_CHARS] + "\n")

    log = debug = info = warning = error = critical = exception = msg

    def _run(self) -> None:
        while not self._stop.wait(FLUSH_S):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]  # not what comes meanwhile: that has no end
        try:
            _write_all(self._fd, "".join(lines).encode("utf-8", "backslashreplace"))
        except OSError:
            self._on_drop(len(lines))

    def close(self) -> None:
        """Write what is left; a reader that does not read is given up after a second."""
        self._stop.set()
        self._thread.join(timeout=1.0)


class Repeats:
    """How many warnings of one kind may be written in a minute. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._since = 0.0
        self._written: dict[str, int] = {}
        self._left_out: dict[str, int] = {}

    def may_write(self, kind: str, now: float) -> bool:
        if now - self._since >= ALIKE_S or len(self._written) > MAX_KINDS:
            self._since = now
            self._written.clear()
        self._written[kind] = self._written.get(kind, 0) + 1
        if self._written[kind] <= MAX_ALIKE:
            return True
        if kind in self._left_out or len(self._left_out) < MAX_KINDS:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
        return False

    def left_out(self, kind: str) -> int:
        """Since it was last asked."""
        return self._left_out.pop(kind, 0)


class _LibraryHandler(logging.Handler):
    """What libraries log through `logging`: who and what kind, never their text, which may hold a number, a header or a URL."""

    def __init__(self, sink: LineSink) -> None:
        super().__init__(logging.WARNING)
        self._sink = sink
        self._repeats = Repeats()

    def emit(self, record: logging.LogRecord) -> None:
        if not self._repeats.may_write(record.name, time.monotonic()):
            return
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        shown = {"event": "library", "level": record.levelname.lower(), "logger": record.name, "error": error}
        if left_out := self._repeats.left_out(record.name):
            shown["left_out"] = str(left_out)
        self._sink.msg(_json(shown))


def _take_libraries(sink: LineSink) -> None:
    """Python's last resort would write to standard error from the event loop, and wait there for a slow reader."""
    root = logging.getLogger()
    root.handlers = [_LibraryHandler(sink)]
    root.setLevel(logging.WARNING)


def _json(event: object, **_options: object) -> str:
    try:
        line = msgspec.json.encode(event, enc_hook=repr).decode()
    except UnicodeEncodeError:  # half a surrogate pair
        line = json.dumps(event, default=repr)
    if not line.isascii() or "\x7f" in line:
        line = _OBEYED.sub(_escaped, line)
    for most in MAX_VALUE_CHARS:
        if len(line) <= MAX_LINE_CHARS:
            break
        line = json.dumps(_cut(json.loads(line), most)).replace("\x7f", "\\u007f")
    return line


def _cut(value: object, most: int) -> object:
    """Some of each value, so that it stays JSON."""
    if isinstance(value, str):
        return value if len(value) <= most else f"{value[:most]}..."
    if isinstance(value, list):
        return [_cut(item, most) for item in value[:MAX_VALUES]]
    if isinstance(value, dict):
        return {name[:most]: _cut(item, most) for name, item in list(value.items())[:MAX_VALUES]}
    return value


def _escaped(found: re.Match[str]) -> str:
    """As JSON writes it: in UTF-16."""
    return json.dumps(found[0])[1:-1]


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


@lru_cache(maxsize=1)
def _second(since_epoch: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since_epoch))


def _stamp(_logger: object, _method: str, event: EventDict) -> EventDict:
    """ISO 8601, UTC. structlog's own stamp formats all of it anew for each line: 5 µs a call."""
    whole, microseconds = divmod(time.time_ns() // 1000, 1_000_000)
    event["timestamp"] = f"{_second(whole)}.{microseconds:06d}Z"
    return event


def _where(_logger: object, _method: str, event: EventDict) -> EventDict:
    """An exception as its class and where it came from. Its text may hold a number, and its frames' values certainly do."""
    if event.pop("exc_info", None) and (error := sys.exception()) is not None:
        frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
        event["error"] = type(error).__name__
        event["where"] = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return event


class _Alike:
    """Lets through what is no warning, and of warnings some."""

    def __init__(self) -> None:
        self._repeats = Repeats()

    def __call__(self, _logger: object, method: str, event: EventDict) -> EventDict:
        """Raises `structlog.DropEvent`."""
        if method in {"info", "debug"} or (kind := str(event["event"])) == ALARM:
            return event
        if not self._repeats.may_write(kind, time.monotonic()):
            raise structlog.DropEvent
        if left_out := self._repeats.left_out(kind):
            event["left_out"] = left_out
        return event


def configure(
    level: Level = "info", *, fd: int | None = None, on_drop: Callable[[int], None] | None = None
) -> LineSink:
    """JSON lines to standard error (or `fd`)."""
    sink = LineSink(sys.stderr.fileno() if fd is None else fd, on_drop or (lambda _count: None))
    _take_libraries(sink)
    structlog.configure(
        processors=[
            _Alike(),
            structlog.processors.add_log_level,
            _stamp,
            _where,
            structlog.processors.JSONRenderer(_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_args: sink,
        cache_logger_on_first_use=False,
    )
    return sink
