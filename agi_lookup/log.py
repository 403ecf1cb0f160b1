"""Structured logs that never block the event loop and never show a whole number.

A line is rendered where it is made, put into a bounded buffer and written by a thread of its own ten times a second. When the
reader stops reading (a full disk, a stopped pipe), lines are dropped and counted; calls go on.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

import msgspec
import structlog

MAX_LINES: Final = 10_000
MAX_LINE_CHARS: Final = 4096
FLUSH_S: Final = 0.1

Level = Literal["debug", "info", "warning", "error"]
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
        lines: list[str] = []
        while self._lines:
            lines.append(self._lines.popleft())
        try:
            _write_all(self._fd, "".join(lines).encode("utf-8", "backslashreplace"))
        except OSError:
            self._on_drop(len(lines))

    def close(self) -> None:
        """Write what is left; a reader that does not read is given up after a second."""
        self._stop.set()
        self._thread.join(timeout=1.0)


class _LibraryHandler(logging.Handler):
    """What libraries log through `logging`: who and what kind, never their text, which may hold a number, a header or a URL."""

    def __init__(self, sink: LineSink) -> None:
        super().__init__(logging.WARNING)
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        shown = {"event": "library", "level": record.levelname.lower(), "logger": record.name, "error": error}
        self._sink.msg(_json(shown))


def _take_libraries(sink: LineSink) -> None:
    """Python's last resort would write to standard error from the event loop, and wait there for a slow reader."""
    root = logging.getLogger()
    root.handlers = [_LibraryHandler(sink)]
    root.setLevel(logging.WARNING)


def _json(event: object, **_options: object) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def configure(
    level: Level = "info", *, fd: int | None = None, on_drop: Callable[[int], None] | None = None
) -> LineSink:
    """JSON lines to standard error (or `fd`). Control characters are escaped by the JSON itself."""
    sink = LineSink(sys.stderr.fileno() if fd is None else fd, on_drop or (lambda _count: None))
    _take_libraries(sink)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_args: sink,
        cache_logger_on_first_use=False,
    )
    return sink
