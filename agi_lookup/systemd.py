"""sd_notify(3): one datagram to the service manager's socket, when there is one."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """`send("READY=1")`. Without `$NOTIFY_SOCKET` it does nothing. `watchdog_s` is how often systemd wants a sign of life, or 0."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if path else None
        if self._socket:
            self._socket.setblocking(False)
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(environ.get("WATCHDOG_USEC", "0")) / 1_000_000 if mine else 0.0

    def send(self, state: str) -> bool:
        """False when the manager could not be told: it then acts by its own time-outs."""
        if self._socket is None:
            return False
        try:
            self._socket.sendto(state.encode(), self._address)
        except OSError:
            return False
        return True

    def close(self) -> None:
        if self._socket:
            self._socket.close()
