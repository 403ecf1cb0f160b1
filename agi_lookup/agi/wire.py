"""The AGI wire, sans-IO: bytes in, events out; pairs in, command lines out. It never sees a socket.

Theory of operation. Asterisk sends an *environment* (fixed keys in fixed order, then a blank line) and then only answers commands,
one line a command; `HANGUP` may come at any time, also doubled. Values of the environment are printed raw: whoever controls a SIP
header can put newlines into them and so forge later keys, the end of the environment and command replies. Hence the grammar is the
exact sequence of res_agi.c `setup_env`, each key once, and nothing may lie behind the blank line but a hang-up.

Asterisk reads one command a poll and keeps the rest in its stdio buffer, so commands are never pipelined; a line over its buffer is
run in two halves, and over 127 quoted words it crashed (asterisk/asterisk#2069). Hence `encode_set` can produce nothing but whole
lines of at most `MAX_LINE_BYTES` and 4 words, made of whitelisted names and values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from asterisk.agi import AGIException, AGIHangup

MAX_LINE_BYTES: Final = 2047
"""res_agi.c AGI_BUF_LEN of the oldest Asterisk that we serve (22 has 8192), less its NUL; a longer line becomes two commands."""
MAX_NAMES: Final = 99
"""func_strings.c ARRAY takes 99 names; fewer go out in practice."""
MAX_ENV_BYTES: Final = 32 * 1024
MAX_ENV_LINES: Final = 160
"""22 fixed lines and at most 127 arguments (app.c), with some room."""
MAX_ENV_LINE_CHARS: Final = 8 * 1024
MAX_REPLY_BYTES: Final = 64 * 1024

ENV_KEYS: Final = (
    "agi_network", "agi_network_script", "agi_request", "agi_channel", "agi_language", "agi_type", "agi_uniqueid",
    "agi_version", "agi_callerid", "agi_calleridname", "agi_callingpres", "agi_callingani2", "agi_callington",
    "agi_callingtns", "agi_dnid", "agi_rdnis", "agi_context", "agi_extension", "agi_priority", "agi_enhanced",
    "agi_accountcode", "agi_threadid",
)  # fmt: skip
"""res_agi.c launch_netscript and setup_env, in this order; then `agi_arg_1` and up. Only the script may be missing."""
_KEYS_WITHOUT_SCRIPT: Final = ENV_KEYS[:1] + ENV_KEYS[2:]
ARG_KEYS: Final = tuple(f"agi_arg_{n}" for n in range(1, MAX_ENV_LINES + 1))

FAILURE: Final = b"FAILURE\n"
"""res_agi.c run_agi: a line that starts so ends the AGI with AGISTATUS=FAILURE."""

_FIRST_LINE: Final = b"agi_network: yes\n"
_HANGUPS: Final = b"HANGUP\nHANGUP\n"
"""All that may lie behind the blank line before our command: the caller hung up at that very moment."""

_NAMES: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}(?:,[A-Za-z_][A-Za-z0-9_]{0,63})*")
_VALUES: Final = re.compile(r"[A-Za-z0-9 _.:+/@-]{0,128}(?:,[A-Za-z0-9 _.:+/@-]{0,128})*")


class AgiProtocolError(AGIException):
    """The peer does not speak as an Asterisk does. `code` is a stable word for the metric."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class AgiHangup(AGIHangup):
    """The caller has gone, or Asterisk closed the connection."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What Asterisk told us, undecoded where it is not ASCII. `script` is the request's path: `lookup`, `result`."""

    values: dict[str, str]
    args: tuple[str, ...]

    @property
    def script(self) -> str:
        return self.values.get("agi_network_script", "").partition("?")[0]


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to our command: `200`, `510`, `511` or `520`; `text` is what follows the code on its first line."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Hangup:
    """An unsolicited `HANGUP` line; it may come more than once."""


Event: TypeAlias = Environment | Reply | Hangup


class AgiParser:
    """One conversation's bytes as events. `receive_data`, then `next_event` until it is None (more bytes are needed)."""

    __slots__ = ("_buffer", "_environment_done", "_expecting_reply", "_scanned", "_usage")

    def __init__(self) -> None:
        self._buffer = b""
        self._environment_done = False
        self._expecting_reply = False
        self._scanned = 0
        self._usage = False

    def receive_data(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        limit = MAX_REPLY_BYTES if self._environment_done else MAX_ENV_BYTES
        if len(self._buffer) > limit:
            raise AgiProtocolError("too_long")

    def command_sent(self) -> None:
        """From now on one reply is expected; a reply that nobody asked for is a forgery."""
        if self._expecting_reply:
            raise AssertionError("one command in flight, ever")
        self._expecting_reply = True

    def next_event(self) -> Event | None:
        """The next event, None when more bytes are needed. Raises `AgiProtocolError`."""
        if self._environment_done:
            return self._next_line()
        return self._next_environment()

    def _next_environment(self) -> Event | None:
        end = self._buffer.find(b"\n\n", self._scanned)
        if end < 0:
            if self._scanned < len(_FIRST_LINE) and not _FIRST_LINE.startswith(self._buffer[: len(_FIRST_LINE)]):
                raise AgiProtocolError("not_agi")  # told from its first bytes, not after 32 KiB of them
            self._scanned = max(0, len(self._buffer) - 1)
            return None
        environment = parse_environment(self._buffer[:end])
        self._buffer = self._buffer[end + 2 :]
        if not _HANGUPS.startswith(self._buffer):
            raise AgiProtocolError("trailing_bytes")
        self._environment_done = True
        return environment

    def _next_line(self) -> Event | None:
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if not newline:
                return None
            self._buffer = rest
            if line == b"HANGUP":
                return Hangup()
            reply = self._usage_line(line) if self._usage else self._reply_line(line)
            if reply is not None:
                self._expecting_reply = False
                return reply

    def _reply_line(self, line: bytes) -> Reply | None:
        code, separator = line[:3], line[3:4]
        if not self._expecting_reply or not code.isdigit() or separator not in (b" ", b"-"):
            raise AgiProtocolError("unexpected_line")
        if separator == b"-":
            self._usage = True
            return None
        return Reply(int(code), line[4:].decode("ascii", "replace"))

    def _usage_line(self, line: bytes) -> Reply | None:
        """`520-...`, usage text, `520 End of proper usage.`: the text may lack its last newline, so look for the end inside."""
        if b"520 End of proper usage." not in line:
            return None
        self._usage = False
        return Reply(520, "usage")


def parse_environment(head: bytes) -> Environment:
    """The environment without its blank line. Raises `AgiProtocolError` for all but the exact sequence of Asterisk."""
    lines = head.decode("utf-8", "surrogateescape").split("\n")
    if len(lines) > MAX_ENV_LINES:
        raise AgiProtocolError("too_many_lines")
    if len(max(lines, key=len)) > MAX_ENV_LINE_CHARS:
        raise AgiProtocolError("long_line")
    pairs = [line.partition(": ") for line in lines]
    keys = tuple([key for key, _, _ in pairs])
    expected = ENV_KEYS if ENV_KEYS[1] in keys[1:2] else _KEYS_WITHOUT_SCRIPT
    fixed = len(expected)
    if keys[:fixed] != expected:
        raise AgiProtocolError("out_of_order")
    if keys[fixed:] != ARG_KEYS[: len(keys) - fixed]:
        raise AgiProtocolError("argument_order")
    values = [value for _, _, value in pairs]
    if values[0] != "yes":
        raise AgiProtocolError("not_agi")
    return Environment(dict(zip(expected, values, strict=False)), tuple(values[fixed:]))


def encode_set(pairs: Sequence[tuple[str, str]]) -> list[bytes]:
    """`SET VARIABLE` lines in order, each whole and within the limits; mostly just one. Raises as `arrays` does."""
    return [f'SET VARIABLE {names} "{values}"\n'.encode("ascii") for names, values in arrays(pairs)]


_FRAME_BYTES: Final = len('SET VARIABLE "ARRAY()" ""\n')


def arrays(pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """What to set in one command each: `ARRAY(a,b)` and `1,2`, so that a command fits a line.

    Raises `ValueError` for a name or value outside the whitelist: a bug of ours, since `variables.safe` made them.
    """
    names, values = ",".join([name for name, _ in pairs]), ",".join([value for _, value in pairs])
    if _FRAME_BYTES + len(names) + len(values) > MAX_LINE_BYTES or len(pairs) > MAX_NAMES:
        half = len(pairs) // 2
        if not half:
            raise ValueError("a variable longer than a line")
        yield from arrays(pairs[:half])
        yield from arrays(pairs[half:])
    elif pairs:
        _check(names, values, len(pairs))
        yield f"ARRAY({names})", values


def _check(names: str, values: str, count: int) -> None:
    """All at once, because each call pays for it. The commas are counted: a value that holds one would shift the rest."""
    commas = count - 1
    if not (_NAMES.fullmatch(names) and names.count(",") == commas):
        raise ValueError("a variable name outside the whitelist")
    if not (_VALUES.fullmatch(values) and values.count(",") == commas):
        raise ValueError("a value outside the whitelist")
