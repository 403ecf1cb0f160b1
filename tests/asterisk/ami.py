"""Just enough of Asterisk's Manager Interface to start calls: unlike the console's, its Originate takes variables."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence


class Ami:
    """A logged-in connection. It blocks, for about a millisecond an action."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._replies = self._socket.makefile("rb")
        self._replies.readline()  # "Asterisk Call Manager/9.0.0"
        self._act("Action: Login", "Username: lab", "Secret: lab")

    def close(self) -> None:
        self._replies.close()
        self._socket.close()

    def originate(self, channel: str, *, caller: str, patience_s: float, variables: Mapping[str, str]) -> None:
        """Start a call from `channel`, which waits in silence when it is answered and hangs up when it is not."""
        headers = [f"Variable: {name}={_quoted(value)}" for name, value in variables.items()]
        headers += [f"CallerID: {caller}", f"Timeout: {round(patience_s * 1000)}", "Async: true"]
        self._act("Action: Originate", f"Channel: {channel}", "Application: Wait", "Data: 60", *headers)

    def _act(self, *headers: str) -> None:
        self._socket.sendall("\r\n".join([*headers, "", ""]).encode())
        reply = self._reply()
        assert "Response: Success" in reply, reply

    def _reply(self) -> Sequence[str]:
        lines: list[str] = []
        while line := self._replies.readline().decode(errors="replace").strip():
            lines.append(line)
        return lines


def _quoted(value: str) -> str:
    """A plain comma would begin a second variable."""
    return "".join(f"\\{char}" if char in '\\",' else char for char in value)
