"""Asterisk's side of the AGI wire, sans-IO: the environment that it writes, how it reads commands, what it replies.

Theory of operation. `environment` gives the writes of res_agi.c `launch_netscript` and `setup_env`. `CommandBuffer` reads as
`run_agi` does: one command for each time that bytes arrive, whatever else waits in the buffer, so a pipelined command stalls.
`Channel` does what a channel does with a command, and keeps its variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from agi_lookup.sim.asterisk_args import agi_words, set_variable

AGI_BUF_LEN: Final = 8192
"""res_agi.c: a command line has at most one byte less; what is longer becomes two commands."""
GET_CHARS: Final = 1023
"""res_agi.c handle_getvariable: a longer value is cut."""


@dataclass(frozen=True, slots=True)
class Call:
    """One `AGI(agi://host/script,arg,...)`. `raw` replaces environment values as they are, newlines included."""

    args: tuple[str, ...]
    script: str = "lookup"
    uniqueid: str = "1763742000.1"
    url: str = "agi://127.0.0.1/lookup"
    caller: str = "unknown"
    extension: str = "s"
    raw: Mapping[str, str] = field(default_factory=dict)


def environment(call: Call) -> list[bytes]:
    """What Asterisk 22 writes, one item a write; the last is the blank line. Nothing is escaped."""
    values = {
        "agi_network": "yes",
        "agi_network_script": call.script,
        "agi_request": call.url,
        "agi_channel": "PJSIP/caller-00000001",
        "agi_language": "en",
        "agi_type": "PJSIP",
        "agi_uniqueid": call.uniqueid,
        "agi_version": "22.10.1",
        "agi_callerid": call.caller,
        "agi_calleridname": "unknown",
        "agi_callingpres": "0",
        "agi_callingani2": "0",
        "agi_callington": "0",
        "agi_callingtns": "0",
        "agi_dnid": "unknown",
        "agi_rdnis": "unknown",
        "agi_context": "agi-lookup",
        "agi_extension": call.extension,
        "agi_priority": "9",
        "agi_enhanced": "0.0",
        "agi_accountcode": "",
        "agi_threadid": "140246033090240",
    }
    if not call.script:
        del values["agi_network_script"]
    values |= {f"agi_arg_{index}": arg for index, arg in enumerate(call.args, 1)} | dict(call.raw)
    return [f"{key}: {value}\n".encode("utf-8", "surrogateescape") for key, value in values.items()] + [b"\n"]


class CommandBuffer:
    """Bytes from the server as command lines, by the rules of `fgets` into `AGI_BUF_LEN` bytes."""

    def __init__(self) -> None:
        self._held = b""
        self._received = 0
        self._judged = 0
        self.early_bytes = 0

    def receive(self, data: bytes) -> None:
        self._held += data
        self._received += len(data)

    def next_line(self, *, eof: bool = False) -> bytes | None:
        """The next command without its newline; None when it is not whole yet (at `eof`: when nothing is left).

        A NUL hides the rest of its line and glues the next line on.
        """
        line, at = b"", 0
        while not line.endswith(b"\n") and len(line) < AGI_BUF_LEN - 1:
            if at == len(self._held):
                if eof and at:
                    break
                return None
            end = self._held.find(b"\n", at) + 1 or len(self._held)
            end = min(end, at + AGI_BUF_LEN - 1 - len(line))
            line, at = line + self._held[at:end].partition(b"\0")[0], end
        self._held = self._held[at:]
        return line.removesuffix(b"\n")

    def nothing_more_is_due(self) -> None:
        """Until we write again the server has nothing to say: what has come beyond the line at hand is early."""
        due = self._received - len(self._held)
        self.early_bytes += self._received - max(due, self._judged)
        self._judged = self._received


class Channel:
    """A channel as AGI commands see it: its variables, and whether the caller has gone."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}
        self.dead = False

    def execute(self, line: str) -> list[bytes]:
        """Do one command; returns what Asterisk writes in reply, one item a write. Raises `StackSmashed`."""
        words = agi_words(line)
        upper = tuple(word.upper() for word in words[:2])
        command = next((c for c in _COMMANDS if upper[: len(c.name)] == c.name), None)
        if command is None:
            return [b"510 Invalid or unknown command\n"]
        if self.dead and not command.works_when_dead:
            return [b"511 Command Not Permitted on a dead channel or intercept routine\n"]
        arguments = words[len(command.name) :]
        if len(arguments) not in command.takes:
            return _usage(" ".join(command.name))
        return [self._do(command.name, arguments).encode("utf-8", "surrogateescape")]

    def _do(self, name: tuple[str, ...], arguments: list[str]) -> str:
        if name == ("SET", "VARIABLE"):
            set_variable(self.variables, *arguments)
            return "200 result=1\n"  # whatever became of it
        if name == ("GET", "VARIABLE"):
            value = self.variables.get(arguments[0])
            return "200 result=0\n" if value is None else f"200 result=1 ({value[:GET_CHARS]})\n"
        return f"200 result={int(name == ('VERBOSE',))}\n"


@dataclass(frozen=True, slots=True)
class _Command:
    name: tuple[str, ...]
    takes: range  # how many words may follow
    works_when_dead: bool = True


_COMMANDS: Final = (
    _Command(("SET", "VARIABLE"), range(2, 3)),
    _Command(("GET", "VARIABLE"), range(1, 2)),
    _Command(("VERBOSE",), range(1, 128)),
    _Command(("NOOP",), range(128)),
    _Command(("ANSWER",), range(128), works_when_dead=False),
)


def _usage(name: str) -> list[bytes]:
    """Three writes; the middle one, the manual's text, may lack its last newline."""
    return [
        b"520-Invalid command syntax.  Proper usage follows:\n",
        f" Usage: {name}\n See the manual.".encode(),
        b"520 End of proper usage.\n",
    ]
