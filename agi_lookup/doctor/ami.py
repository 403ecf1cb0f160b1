"""Asterisk's Manager Interface: pyst2's `Manager`, with the ends that it leaves open tied up.

Quirk: pyst2 0.5.1 waits for ever for what does not come; an event with `ChanVariable` ends its reader; of a command's output, which
Asterisk 14 and later send as repeated `Output:` headers, it keeps the last line; it takes line breaks in what it sends, which begin
another action; and it calls what newer Pythons warn of.
"""

from __future__ import annotations

import itertools
import queue
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from asterisk.manager import Manager, ManagerMsg

from agi_lookup.domain.errors import OutsideError

TIMEOUT_S: Final = 5.0


class AmiError(OutsideError):
    """No connection, no answer in time, or a refusal; the text holds no secret."""


class Message(ManagerMsg):  # type: ignore[misc]
    """One response. `headers` by name, `output` is what a command printed, line by line."""

    def parse(self, response: list[str]) -> None:
        self.output: list[str] = []
        for line in response:
            name, colon, value = line.rstrip("\r\n").partition(":")
            if name == "Output" or not colon:
                self.output.append(value.removeprefix(" ") if colon else name)
            else:
                self.headers[name.strip()] = value.strip()


class _Flag(threading.Event):
    isSet = threading.Event.is_set  # noqa: N815 - the name that pyst2 asks for


class Ami(Manager):  # type: ignore[misc]
    """Used within `with Ami(...) as ami`; logged in there. It blocks, `TIMEOUT_S` at most an action."""

    def __init__(self, host: str, port: int, user: str, secret: str) -> None:
        """Without pyst2's own, which makes its threads with calls that warn. Raises `AmiError`."""
        self._connected, self._running = _Flag(), _Flag()
        self._message_queue: queue.Queue[list[str] | None] = queue.Queue()
        self._response_queue: queue.Queue[Message | None] = queue.Queue()
        self._ids = itertools.count(1)
        self.title = None
        try:
            self._socket = socket.create_connection((host, port), timeout=TIMEOUT_S)
        except OSError as error:
            raise AmiError(f"{host}:{port}: {error.strerror or 'no answer'}") from None
        self._socket.settimeout(None)  # our own waits have an end
        self._sock = self._socket.makefile(mode="rwb", buffering=0)
        self._connected.set()
        self._running.set()
        for work in (self._receive_data, self.message_loop):
            threading.Thread(target=work, daemon=True).start()
        try:
            self._answer("a greeting")
            self.send_action(Action="Login", Username=user, Secret=secret, Events="off")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """At once: Asterisk logs out whoever leaves."""
        if "_sock" not in self.__dict__:  # pyst2 closes what was never opened, too
            return
        self._running.clear()
        self._connected.clear()
        with suppress(OSError):  # the other side was first
            self._socket.shutdown(socket.SHUT_RDWR)  # ends the reader
        self._socket.close()
        self._message_queue.put(None)

    def message_loop(self) -> None:
        while self._running.is_set():
            lines = self._message_queue.get()
            message = Message(lines) if lines else None
            if message is None or message.has_header("Response"):
                self._response_queue.put(message)
            if message is None:
                return

    def send_action(self, cdict: dict[str, str] | None = None, **headers: str) -> Message:
        """The response of Success. Raises `AmiError`."""
        action = {**(cdict or {}), **headers, "ActionID": f"agi-lookup-{next(self._ids)}"}
        lines = [f"{name}: {value}" for name, value in action.items()]
        if any(char in line for line in lines for char in "\r\n"):
            raise AmiError(f"{action.get('Action')}: a line break would begin another action")
        try:
            self._sock.write("\r\n".join([*lines, "", ""]).encode())
        except (OSError, ValueError):  # the reader has closed the file
            raise AmiError("Asterisk closed the connection") from None
        message = self._answer(action.get("Action", ""))
        if (
            message.get_header("Response") == "Error" and not message.output
        ):  # a command that fails says why in its output
            raise AmiError(f"{action.get('Action')}: {message.get_header('Message', 'refused')}")
        return message

    def _answer(self, to: str) -> Message:
        try:
            message = self._response_queue.get(timeout=TIMEOUT_S)
        except queue.Empty:
            raise AmiError(f"{to}: no answer in {TIMEOUT_S:.0f} s") from None
        if message is None:
            raise AmiError("Asterisk closed the connection")
        return message

    def show(self, command: str) -> list[str]:
        """What a command of the console prints."""
        response: Message = self.command(command)
        return response.output

    def variable(self, channel: str | None, name: str) -> str:
        """Of a channel, or a global; empty where it is not set."""
        of = {"Channel": channel} if channel else {}
        value: Any = self.send_action(of, Action="GetVar", Variable=name).get_header("Value", "")
        return str(value)
