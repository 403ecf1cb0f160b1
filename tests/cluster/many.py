"""Several real Valkeys on 127.0.0.1: a primary with a replica and sentinels, or the nodes of a cluster."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import redis

from tests.cache.servers import DIE_WITH_US, READY_S, binary
from tests.processes import free_port, until


class Node:
    """One server process on a port of its own."""

    def __init__(self, folder: Path, *arguments: str, **settings: object) -> None:
        self.port = int(str(settings.pop("port", None) or free_port()))
        self.socket = folder / f"{self.port}.socket"
        given = {
            "port": self.port,
            "unixsocket": self.socket,
            "bind": "127.0.0.1",
            "dir": folder,
            "save": '""',
        } | settings
        config = folder / f"{self.port}.conf"
        config.write_text("".join(f"{name.replace('_', '-')} {value}\n" for name, value in given.items()))
        with (folder / f"{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*DIE_WITH_US, binary(), config, *arguments], stdout=log, stderr=subprocess.STDOUT
            )
        self._admin = redis.Redis(port=self.port, protocol=2, socket_timeout=READY_S)
        until(lambda: self.ask("PING") is True or self.ask("PING") == b"PONG")

    def ask(self, *command: object) -> Any:
        """None while it does not answer."""
        with suppress(redis.ConnectionError):
            return self._admin.execute_command(*command)  # type: ignore[no-untyped-call]
        return None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(5)
        self._admin.close()


class Sentinels:
    """One primary, one replica, and sentinels that make the replica the primary two seconds after it is gone."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.primary, self.replica = (start(Node(folder, **{"repl-diskless-sync-delay": 0}), stack) for _ in range(2))
        self.replica.ask("REPLICAOF", "127.0.0.1", self.primary.port)
        settings = {
            "sentinel monitor main 127.0.0.1": f"{self.primary.port} 1",
            "sentinel down-after-milliseconds": "main 2000",
            "sentinel failover-timeout": "main 5000",
        }
        until(lambda: b"master_link_status:up" in self.info(self.replica))
        self.sentinels = [start(Node(folder, "--sentinel", **settings), stack) for _ in range(1)]
        until(lambda: self.sentinels[0].ask("SENTINEL", "REPLICAS", "main"))

    @property
    def url(self) -> str:
        """The first of them answers nobody."""
        return f"redis+sentinel://127.0.0.1:1,127.0.0.1:{self.sentinels[0].port}/main"

    def swap(self) -> None:
        """Their roles, by hand."""
        until(lambda: len(self.replica.ask("KEYS", "*")) == 1)
        sentinel = self.sentinels[0]
        sentinel.ask("SENTINEL", "REMOVE", "main")
        self.replica.ask("REPLICAOF", "NO", "ONE")
        self.primary.ask("REPLICAOF", "127.0.0.1", self.replica.port)
        sentinel.ask("SENTINEL", "MONITOR", "main", "127.0.0.1", self.replica.port, 1)

    def info(self, node: Node) -> bytes:
        return repr(node.ask("INFO", "replication")).encode().replace(b"': '", b":")


@contextmanager
def sentinels() -> Iterator[Sentinels]:
    with tempfile.TemporaryDirectory(prefix="valkeys-") as folder, ExitStack() as stack:
        yield Sentinels(Path(folder), stack)


class Cluster:
    """Two primaries; the first has the lower half of the slots."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.nodes = []
        for _ in range(2):
            port, bus = free_port(), free_port()
            settings = {
                "port": port,
                "cluster-port": bus,
                "cluster-enabled": "yes",
                "cluster-config-file": f"{port}.nodes",
            }
            self.nodes.append(start(Node(folder, **settings), stack))
        one, other = self.nodes
        one.ask("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        other.ask("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
        one.ask("CLUSTER", "MEET", "127.0.0.1", other.port, bus)
        until(lambda: all(b"cluster_state:ok" in node.ask("CLUSTER", "INFO") for node in self.nodes))
        until(lambda: all(len(node.ask("CLUSTER", "SLOTS")) == 2 for node in self.nodes))

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:1,127.0.0.1:{self.nodes[0].port}"

    def announce(self, *ports: int) -> None:
        """Where clients are to find the nodes, instead of at their own ports."""
        for node, port in zip(self.nodes, ports, strict=True):
            node.ask("CONFIG", "SET", "cluster-announce-port", port)
        until(lambda: all(self._ports(node) == set(ports) for node in self.nodes))

    def _ports(self, node: Node) -> set[int]:
        return {row[2][1] for row in node.ask("CLUSTER", "SLOTS")}

    def keys(self, node: int) -> list[str]:
        return sorted(str(key) for key in self.nodes[node].ask("KEYS", "*"))

    def move_all(self, slot: int) -> None:
        """A slot without keys, from the second to the first."""
        identity = self.nodes[0].ask("CLUSTER", "MYID")
        for node in self.nodes:
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", identity)


@contextmanager
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="valkeys-") as folder, ExitStack() as stack:
        yield Cluster(Path(folder), stack)


def start(node: Node, stack: ExitStack) -> Node:
    stack.callback(node.kill)
    return node
