"""The shared server is a primary that sentinels name, or a cluster: cache, claims and leases work, and follow what changes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.crc import key_slot

from agi_lookup.cache.base import NO_HITS, Hits
from agi_lookup.cache.valkey.open import link_to
from agi_lookup.cache.valkey.options import SharedOptions
from agi_lookup.cache.valkey.tier import Limits, ValkeyTier
from agi_lookup.cluster.claims import Claim
from agi_lookup.cluster.member import Member
from agi_lookup.cluster.options import ClusterOptions
from agi_lookup.domain.errors import CacheError
from agi_lookup.domain.model import Facet
from agi_lookup.lookup.gates import Gates
from agi_lookup.lookup.line import Line
from agi_lookup.providers import loading
from agi_lookup.providers.base import SourceOptions
from agi_lookup.routing.memory import Memory
from agi_lookup.routing.options import RoutingOptions
from tests.cache.conftest import Heard, until
from tests.cache.entries import NUMBER, identity, liveness, numbers
from tests.cache.servers import Server, relay
from tests.cluster.many import Cluster, Sentinels, cluster, sentinels
from tests.cluster.test_claims import ANSWER, FREE, new_number, take
from tests.fakes import Clock
from tests.policy.test_governance import Watch
from tests.providers.servers import Certificates

PATIENT_MS = 10_000

pytestmark = pytest.mark.usefixtures("kept_long")


@pytest.fixture
def guarded() -> Iterator[Sentinels]:
    with sentinels() as running:
        yield running


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def nodes() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


def options(url: str, **more: object) -> SharedOptions:
    return SharedOptions.model_validate({"url": url, "timeout_ms": PATIENT_MS, **more})


@asynccontextmanager
async def tier(url: str, clock: Clock, heard: Heard, **more: object) -> AsyncIterator[ValkeyTier]:
    opened = await ValkeyTier.open(
        options(url, **more), clock=clock, on_alarm=heard.alarm, count=heard.count, limits=Limits(write_s=20.0)
    )
    try:
        yield opened
    finally:
        await opened.close()


@asynccontextmanager
async def member(url: str, heard: Heard, name: str) -> AsyncIterator[Member]:
    made = Member(
        options(url),
        ClusterOptions(name=name),
        4573,
        on_alarm=heard.alarm,
        count=heard.count,
        bug=lambda where: heard.alarm("bug", where),
    )
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def read(shared: ValkeyTier) -> Hits:
    try:
        return await shared.get(NUMBER)
    except CacheError:
        return NO_HITS


async def works(one: Member, other: Member) -> None:
    """A number that one asks about, the other is told."""
    await until(lambda: one._in_call._usable and other._in_call._usable)
    for number in numbers(6):  # in both halves of a cluster
        claim = await take(one, number)
        assert isinstance(claim, Claim)
        claim.dropped()
    await one.claims.close()
    claim = await take(one)
    assert isinstance(claim, Claim)
    claim.answered(ANSWER)
    assert await take(other) == FREE


@pytest.mark.timeout(300)
async def test_a_fail_over_is_followed(guarded: Sentinels, clock: Clock, heard: Heard) -> None:
    """C13: what was not written to the old primary is written to the new one.

    A Sentinel that a busy machine keeps waiting for 2 s does nothing for half a minute (TILT).
    """
    url = guarded.url
    async with tier(url, clock, heard) as shared, member(url, heard, "a") as one, member(url, heard, "b") as other:
        shared.put([identity()])
        await shared.flush()
        await works(one, other)
        await asyncio.to_thread(guarded.primary.kill)
        shared.put([liveness()])
        async with asyncio.timeout(90):
            while await take(other, new_number()) is None:
                await asyncio.sleep(0.1)
        async with asyncio.timeout(90):
            while Facet.LIVENESS not in await read(shared):
                await asyncio.sleep(0.1)
        assert (await shared.stats())["waiting"] == 0
    assert guarded.replica.ask("ROLE")[0] == b"master"


async def test_who_is_refused_by_a_primary_that_is_one_no_more_looks_for_the_new_one(
    guarded: Sentinels, clock: Clock, heard: Heard
) -> None:
    """C13: the old one is there, reads well, and nobody cut its connections."""
    async with tier(guarded.url, clock, heard) as shared:
        shared.put([identity()])
        await shared.flush()
        await asyncio.to_thread(guarded.swap)
        shared.put([liveness()])
        async with asyncio.timeout(60):
            while (await shared.stats())["waiting"]:
                await asyncio.sleep(0.05)
    assert len(guarded.replica.ask("KEYS", "*")) == 2


async def test_a_replica_is_not_taken_for_the_primary(guarded: Sentinels) -> None:
    """C13: it would answer, and be behind."""
    port = guarded.replica.port
    guarded.sentinels[0].ask("SENTINEL", "REMOVE", "main")
    guarded.sentinels[0].ask("SENTINEL", "MONITOR", "main", "127.0.0.1", port, 1)
    link = link_to(options(guarded.url))
    with pytest.raises(CacheError, match="no sentinel leads to a primary"):
        await link.open(asyncio.get_running_loop().time() + 5)


async def test_keys_go_to_the_nodes_that_have_their_slots(nodes: Cluster, clock: Clock, heard: Heard) -> None:
    async with tier(nodes.url, clock, heard) as shared:
        known = numbers(20)
        shared.put([identity(number) for number in known] + [liveness(number) for number in known])
        await shared.flush()
        assert len(nodes.keys(0)) + len(nodes.keys(1)) == 40
        assert min(len(nodes.keys(0)), len(nodes.keys(1))) > 0
        found = await asyncio.gather(*(shared.get(number) for number in known))
        assert [len(hits) for hits in found] == [2] * 20
        assert [hits[Facet.IDENTITY].number for hits in found] == known
    assert heard.alarms == []


async def test_a_cluster_over_tls_is_spoken_to_over_tls_at_each_node(
    nodes: Cluster, certificates: Certificates, clock: Clock, heard: Heard
) -> None:
    """C13: also where its nodes say that they are."""
    ends = [certificates.server(name) for name in ("one", "other")]
    async with relay(nodes.nodes[0], ends[0]) as one, relay(nodes.nodes[1], ends[1]) as other:
        nodes.announce(one.port, other.port)
        url = f"rediss+cluster://127.0.0.1:{one.port}"
        async with tier(url, clock, heard, ca_file=certificates.authority) as shared:
            known = numbers(20)
            shared.put([identity(number) for number in known])
            await shared.flush()
            assert len(nodes.keys(0)) + len(nodes.keys(1)) == 20
            assert min(len(nodes.keys(0)), len(nodes.keys(1))) > 0
            assert [len(await shared.get(number)) for number in known] == [1] * 20
    assert heard.alarms == []


async def test_instances_are_one_over_a_cluster_and_follow_slots_that_move(nodes: Cluster, heard: Heard) -> None:
    """C13, C14."""
    async with member(nodes.url, heard, "a") as one, member(nodes.url, heard, "b") as other:
        await works(one, other)
        moved = next(n for n in numbers(200) if key_slot(key(n)) > 8191)
        await asyncio.to_thread(nodes.move_all, key_slot(key(moved)))
        async with asyncio.timeout(60):
            while str(key(moved)) not in nodes.keys(0):
                await asyncio.sleep(0.05)
                claim = await take(one, moved)
        assert isinstance(claim, Claim)
        claim.answered(ANSWER)
        await one.claims.close()
        assert str(key(moved)) in nodes.keys(0)


async def test_a_cluster_that_lost_a_node_is_passed_by(nodes: Cluster, heard: Heard) -> None:
    """C13."""
    async with member(nodes.url, heard, "a") as one:
        assert isinstance(await take(one), Claim)
        await asyncio.to_thread(nodes.nodes[1].kill)
        async with asyncio.timeout(60):
            while "cluster_alone" not in heard.codes:
                await take(one, new_number())
                await asyncio.sleep(0)
        for _ in range(100):
            assert await take(one, new_number()) is None


async def test_the_rights_in_the_document_are_enough(valkey: Server, clock: Clock, heard: Heard) -> None:
    """C13: of a user who may do nothing else."""
    page = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")
    [rights] = re.findall(r"^ACL SETUSER .*$", page, re.MULTILINE)
    valkey.admin(*rights.replace(">PASSWORD", ">s3cret").split())
    url = valkey.url.replace("unix://", "unix://agi-lookup:s3cret@")
    async with tier(url, clock, heard) as shared, member(url, heard, "a") as one, member(url, heard, "b") as other:
        shared.put([identity()])
        await shared.flush()
        assert len(await shared.get(NUMBER)) == 1
        assert await shared.forget(NUMBER) == 1
        await works(one, other)
        line = Line(Gates(max_concurrency=8), 1)
        one.leases.share_line("npl", line, options_of("numberportabilitylookup"))
        await one.lend(lambda _at: [])
        assert line.gates.max_concurrency < 8, "leased"
        for instance in (one, other):
            instance.join(Memory(RoutingOptions()), Watch().governor)
        await until(lambda: one.leases.instances == 2)
    assert heard.alarms == []
    assert not [word for word in heard.counts if "failed" in word or "not_" in word]


def options_of(kind: str) -> SourceOptions:
    given = {"kind": kind, "user": "u", "password": "p"}
    return loading.find(kind).Options.model_validate(given)


async def test_a_cluster_by_the_url_of_one_server_says_what_is_wrong(
    nodes: Cluster, clock: Clock, heard: Heard
) -> None:
    url = f"redis://127.0.0.1:{nodes.nodes[0].port}"
    async with tier(url, clock, heard) as shared:
        shared.put([identity(number) for number in numbers(20)])
        await until(lambda: bool(heard.alarms))
        assert "redis+cluster" in shared.state


def key(number: str) -> bytes:
    return f"agi-lookup:cluster:claim:1:{number[1:]}:fake".encode()
