"""A Valkey Cluster as one link: each command goes to the node that has its key's slot. All nodes well, or none is asked.

What moves while we speak (`MOVED`, `ASK`, a node that is gone) breaks the exchange off; to open again is to learn who has what.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final

from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError

from agi_lookup.cache.valkey.link import Command, Link, Reply, reason
from agi_lookup.domain.errors import CacheError

SLOTS: Final = 16_384
MOST_NODES: Final = 1_000
_NODES_CHANGED: Final = (MovedError, AskError, ClusterDownError)

Connect = Callable[[str, int], Link]


class ClusterLink:
    """As `link.Link`; commands have one key each. `connect` makes the link to a node, not open yet."""

    def __init__(self, seeds: Sequence[tuple[str, int]], connect: Connect) -> None:
        self._seeds = list(seeds)
        self._connect = connect
        self._nodes: list[Link] = []
        self._begins: list[int] = []  # of slots, in order; each range goes to the node at the same place
        self._ranges: list[Link] = []

    @property
    def is_open(self) -> bool:
        return bool(self._nodes) and all(node.is_open for node in self._nodes)

    async def open(self, deadline: float) -> None:
        """Learn who has which slots, and connect to all of them. `deadline` is loop seconds. Raises `CacheError`."""
        await self.drop()
        try:
            await self._take(await self._slots(deadline), deadline)
        except BaseException:
            await self.drop()
            raise

    async def ask(self, commands: Sequence[Command], deadline: float) -> list[Reply]:
        """One reply a command, in their order; a refusal is a reply. Raises `CacheError`, and then all is to be opened again."""
        if not self.is_open:
            raise CacheError("not connected")
        parts: dict[int, list[int]] = {}
        for index, command in enumerate(commands):
            parts.setdefault(self._range_of(command), []).append(index)
        by_node: dict[int, tuple[Link, list[int]]] = {}
        for place, indexes in parts.items():
            node = self._ranges[place]
            by_node.setdefault(id(node), (node, []))[1].extend(indexes)
        asking = [
            asyncio.ensure_future(node.ask([commands[index] for index in indexes], deadline))
            for node, indexes in by_node.values()
        ]
        try:
            said = await asyncio.gather(*asking)
        except BaseException:
            for one in asking:
                one.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            await self.drop()
            raise
        replies: list[Reply] = [None] * len(commands)
        for (_, indexes), some in zip(by_node.values(), said, strict=True):
            for index, reply in zip(indexes, some, strict=True):
                if isinstance(reply, _NODES_CHANGED):
                    await self.drop()
                    raise CacheError(reason(reply))
                replies[index] = reply
        return replies

    async def drop(self) -> None:
        nodes, self._nodes, self._begins, self._ranges = self._nodes, [], [], []
        for node in nodes:
            await node.drop()

    async def _slots(self, deadline: float) -> list[tuple[int, str, int]]:
        """Where ranges of slots begin, and who has them. Raises `CacheError`."""
        why = "no node of the cluster answers"
        loop = asyncio.get_running_loop()
        for host, port in tuple(self._seeds):
            seed = self._connect(host, port)
            soon = min(deadline, loop.time() + (deadline - loop.time()) / 2)  # one that hangs leaves time for others
            try:
                await seed.open(soon)
                [said] = await seed.ask([("CLUSTER", "SLOTS")], soon)
                return _ranges(said, host)
            except CacheError as error:
                why = str(error)
            finally:
                await seed.drop()
        raise CacheError(why)

    async def _take(self, ranges: list[tuple[int, str, int]], deadline: float) -> None:
        links: dict[tuple[str, int], Link] = {}
        for begin, host, port in ranges:
            node = links.get((host, port))
            if node is None:
                node = links[host, port] = self._connect(host, port)
            self._begins.append(begin)
            self._ranges.append(node)
        self._nodes = list(links.values())
        await asyncio.gather(*(node.open(deadline) for node in self._nodes))
        known = [*links, *(seed for seed in self._seeds if seed not in links)]
        self._seeds = known[:MOST_NODES]

    def _range_of(self, command: Command) -> int:
        """The place of the range that its key is in."""
        key = command[3] if command[0] == "EVAL" else command[1] if len(command) > 1 else b""
        slot = key_slot(key if isinstance(key, bytes) else str(key).encode())
        return max(0, bisect_right(self._begins, slot) - 1)


def _ranges(said: Reply, asked: str) -> list[tuple[int, str, int]]:
    """Every slot must be somebody's. Raises `CacheError`."""
    try:
        rows = sorted((int(row[0]), int(row[1]), row[2][0], int(row[2][1])) for row in said)
    except (TypeError, ValueError, IndexError):
        raise CacheError(reason(said) if isinstance(said, Exception) else "it is no cluster") from None
    if len(rows) > MOST_NODES * 16:
        raise CacheError("it is no cluster")
    following = 0
    for begin, end, _, _ in rows:
        if begin != following:
            raise CacheError("some slots are nobody's")
        following = end + 1
    if following != SLOTS:
        raise CacheError("some slots are nobody's")
    return [(begin, host.decode() if host else asked, port) for begin, _, host, port in rows]
