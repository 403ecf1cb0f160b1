"""The shared tier on a real server: what it keeps, for how long, under which keys, and what it makes of bodies that are none."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from msgspec import structs
from pydantic import ValidationError

from agi_lookup.cache.base import CacheEntry, Outcome
from agi_lookup.cache.codec import MAX_BODY_BYTES, pack
from agi_lookup.cache.valkey.options import SharedOptions
from agi_lookup.cache.valkey.reader import MAX_WAITING
from agi_lookup.domain.errors import CacheError
from agi_lookup.domain.model import Facet, Identity
from tests.cache.conftest import Heard, OpenShared, until
from tests.cache.entries import NOW, NUMBER, identity, liveness, numbers
from tests.cache.servers import Server, relay
from tests.fakes import KNOWN, UNSAID
from tests.providers.servers import Certificates

KEY = f"agi-lookup:1:{NUMBER[1:]}:"
OTHER = "+447400123457"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


def unsaid(number: str = NUMBER, *, observed_at: float = NOW) -> CacheEntry:
    """Asked, and not told."""
    entry = liveness(number, observed_at=observed_at, body=UNSAID)
    return structs.replace(
        entry, outcome=Outcome.INCONCLUSIVE, fresh_until=observed_at + 60, stale_until=observed_at + 60
    )


async def test_what_one_writes_another_reads(open_shared: OpenShared) -> None:
    one, other = await open_shared(), await open_shared()
    one.put([identity(), liveness(), identity(OTHER)])
    await one.flush()

    assert dict(await other.get(NUMBER)) == {Facet.IDENTITY: identity(), Facet.LIVENESS: liveness()}
    assert dict(await other.get(OTHER)) == {Facet.IDENTITY: identity(OTHER)}


async def test_what_is_put_is_written_without_being_asked_to(open_shared: OpenShared, valkey: Server) -> None:
    tier = await open_shared()
    tier.put([identity(), liveness()])

    await until(lambda: valkey.keys() == [f"{KEY}identity", f"{KEY}liveness"])
    assert (await tier.stats())["waiting"] == 0


async def test_a_key_goes_when_its_entry_is_of_no_more_use(open_shared: OpenShared, valkey: Server) -> None:
    tier = await open_shared()
    tier.put([identity(), structs.replace(liveness(), fresh_until=NOW + 0.05, stale_until=NOW + 0.05)])
    await tier.flush()

    eight_days_ms = 8 * 86_400_000
    assert eight_days_ms - 60_000 < valkey.admin("PTTL", f"{KEY}identity") <= eight_days_ms
    await until(lambda: valkey.keys() == [f"{KEY}identity"])


async def test_the_servers_clock_does_not_matter(open_shared: OpenShared, valkey: Server) -> None:
    """C16: the injected clock is years behind the server's; lifetimes are lengths to it."""
    tier = await open_shared()
    tier.put([structs.replace(identity(), fresh_until=NOW - 1, stale_until=NOW - 1, observed_at=NOW - 9), liveness()])
    await tier.flush()

    await until(lambda: valkey.keys() == [f"{KEY}liveness"])


async def test_what_was_not_told_never_takes_the_place_of_an_answer(open_shared: OpenShared) -> None:
    """C5: not even another instance's, which this one did not know of."""
    one, other = await open_shared(), await open_shared()
    one.put([liveness()])
    await one.flush()
    other.put([unsaid(observed_at=NOW + 5), unsaid(OTHER)])
    await other.flush()

    assert dict(await other.get(NUMBER)) == {Facet.LIVENESS: liveness()}
    assert dict(await other.get(OTHER)) == {Facet.LIVENESS: unsaid(OTHER)}
    one.put([liveness(OTHER)])
    await one.flush()
    assert dict(await other.get(OTHER)) == {Facet.LIVENESS: liveness(OTHER)}


async def test_many_numbers_are_written_and_read_at_once(open_shared: OpenShared) -> None:
    tier, many = await open_shared(), numbers(MAX_WAITING)
    tier.put([identity(number) for number in many])
    await tier.flush()

    found = await asyncio.gather(*(tier.get(number) for number in many))

    assert [hits[Facet.IDENTITY].number for hits in found] == many


async def test_instances_with_another_prefix_are_apart(open_shared: OpenShared, valkey: Server) -> None:
    tier, apart = await open_shared(), await open_shared(prefix="test")
    tier.put([identity()])
    await tier.flush()

    assert dict(await apart.get(NUMBER)) == {}
    assert await apart.forget(NUMBER) == 0
    assert valkey.keys() == [f"{KEY}identity"]


POISON = {
    "no body": b"\x01 what is this",
    "a newline": b"\n",
    "another version": b"\x02" + pack(identity())[1:],
    "a flipped bit": pack(identity())[:-1] + bytes([pack(identity())[-1] ^ 1]),
    "another number's": pack(identity(OTHER)),
    "another facet's": pack(liveness()),
    "10 MB": b"\x01" * 10_000_000,
    "one byte more than fits": b"\x01" * (MAX_BODY_BYTES + 1),
}


@pytest.mark.parametrize("poison", POISON)
async def test_a_poisoned_value_is_a_miss_and_deleted(
    open_shared: OpenShared, heard: Heard, valkey: Server, poison: str
) -> None:
    """C15."""
    tier = await open_shared()
    valkey.admin("SET", f"{KEY}identity", POISON[poison])
    tier.put([liveness()])
    await tier.flush()

    assert dict(await tier.get(NUMBER)) == {Facet.LIVENESS: liveness()}

    await until(lambda: valkey.keys() == [f"{KEY}liveness"])
    assert heard.counts == {"valkey_bad_entry": 1}
    assert tier.state == "ok"


async def test_a_key_of_another_type_is_a_miss_and_deleted(
    open_shared: OpenShared, heard: Heard, valkey: Server
) -> None:
    """C13."""
    tier = await open_shared()
    valkey.admin("RPUSH", f"{KEY}identity", "a", "b")

    assert dict(await tier.get(NUMBER)) == {}

    await until(lambda: valkey.keys() == [])
    assert heard.counts == {"valkey_bad_entry": 1}
    assert tier.state == "ok"


async def test_nothing_huge_is_loaded(open_shared: OpenShared, valkey: Server) -> None:
    """C15."""
    tier = await open_shared()
    valkey.admin("SET", f"{KEY}identity", b"\x01" * 10_000_000)
    assert await tier.get(NUMBER) == {}

    stats = valkey.admin("INFO", "stats")
    assert stats["total_net_output_bytes"] < 1_000_000


async def test_what_came_while_a_poisoned_value_was_read_is_not_deleted_with_it(
    open_shared: OpenShared, valkey: Server
) -> None:
    tier = await open_shared()
    valkey.admin("SET", f"{KEY}identity", "poison")
    valkey.admin("ACL", "SETUSER", "default", "-set")
    reading = asyncio.create_task(tier.get(NUMBER))
    await asyncio.sleep(0)
    tier.put([identity()])
    assert await reading == {Facet.IDENTITY: identity()}
    valkey.admin("ACL", "SETUSER", "default", "+set")
    await tier.flush()

    assert dict(await (await open_shared()).get(NUMBER)) == {Facet.IDENTITY: identity()}


async def test_a_body_that_may_not_be_kept_holds_up_no_other(open_shared: OpenShared, heard: Heard) -> None:
    tier = await open_shared()
    tier.put([identity(body=Identity(carrier="x" * 10_000)), liveness()])
    await tier.flush()

    assert dict(await tier.get(NUMBER)) == {Facet.LIVENESS: liveness()}
    assert heard.counts == {"valkey_bad_entry": 1}


async def test_what_is_no_number_is_no_key(open_shared: OpenShared) -> None:
    tier = await open_shared()
    for text in ("", "+", "+44\n7400", "*", "+4474001234561:identity"):
        with pytest.raises(CacheError):
            await tier.get(text)
        with pytest.raises(CacheError):
            await tier.forget(text)


async def test_a_user_with_the_rights_that_the_config_names_is_enough(
    open_shared: OpenShared, heard: Heard, valkey: Server
) -> None:
    """And a password may hold every character, written with % codes."""
    valkey.admin("ACL", "SETUSER", "lookup", "on", ">p@ss/w#rd%:", "~agi-lookup:*", "+getrange", "+set", "+unlink")
    tier = await open_shared(f"unix://lookup:p%40ss%2Fw%23rd%25%3A@{valkey.socket}")
    tier.put([identity(), liveness()])
    await tier.flush()

    assert len(await tier.get(NUMBER)) == 2
    assert await tier.forget(NUMBER) == 2
    assert not heard.counts


async def test_a_database_of_its_own(open_shared: OpenShared, valkey: Server) -> None:
    async with relay(valkey) as network:
        tier = await open_shared(f"redis://127.0.0.1:{network.port}/3")
        tier.put([identity()])
        await tier.flush()
        await tier.close()

    assert valkey.keys() == []
    assert dict(await (await open_shared(f"{valkey.url}?db=3")).get(NUMBER)) == {Facet.IDENTITY: identity()}


async def test_over_tls_to_a_server_that_proves_who_it_is(
    open_shared: OpenShared, heard: Heard, valkey: Server, certificates: Certificates
) -> None:
    async with relay(valkey, certificates.server("valkey")) as network:
        tier = await open_shared(f"rediss://127.0.0.1:{network.port}", ca_file=certificates.authority)
        tier.put([identity()])
        await tier.flush()

        assert len(await tier.get(NUMBER)) == 1
        await tier.close()
    assert not heard.counts


async def test_a_server_that_cannot_prove_who_it_is_is_told_nothing(
    open_shared: OpenShared, heard: Heard, valkey: Server, certificates: Certificates
) -> None:
    async with relay(valkey, certificates.self_signed()) as network:
        tier = await open_shared(f"rediss://user:s3cret@127.0.0.1:{network.port}", ca_file=certificates.authority)
        tier.put([identity()])
        await until(lambda: bool(heard.alarms))

        assert "certificate is not accepted" in tier.state
        assert "s3cret" not in repr(heard.alarms)
        await tier.close()
    assert valkey.keys() == []


async def test_its_own_certificate_where_the_server_asks_for_one(
    open_shared: OpenShared, valkey: Server, certificates: Certificates
) -> None:
    tls = certificates.server("asking")
    tls.load_verify_locations(certificates.authority)
    tls.verify_mode = tls.verify_mode.CERT_REQUIRED
    certificates.server("client")
    async with relay(valkey, tls) as network:
        tier = await open_shared(
            f"rediss://127.0.0.1:{network.port}",
            ca_file=certificates.authority,
            cert_file=certificates.folder / "client.pem",
            key_file=certificates.folder / "client.key",
        )
        tier.put([identity()])
        await tier.flush()
        await tier.close()
    assert valkey.keys() == [f"{KEY}identity"]


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379",
        "redis://127.0.0.1:6379/0",
        "rediss://user:pass@valkey.example.net",
        "redis://:pass@[::1]:6379/15",
        "unix:///run/valkey.sock",
        "unix://user:pass@/run/valkey.sock?db=2",
    ],
)
def test_urls_that_are_understood(url: str) -> None:
    assert SharedOptions.model_validate({"url": url}).url.get_secret_value() == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3cret",
        "127.0.0.1:6379",
        "http://s3cret@127.0.0.1",
        "redis://",
        "redis://:s3cret@",
        "redis://:s3cret/word@127.0.0.1",
        "redis://:s3cret#word@127.0.0.1",
        "redis://:s3cret?word@127.0.0.1",
        "redis://127.0.0.1:s3cret",
        "redis://127.0.0.1:0",
        "redis://127.0.0.1/name",
        "rediss://127.0.0.1?ssl_cert_reqs=none",
        "unix://run/valkey.sock?db=x",
        "unix:valkey.sock",
        "redis+sentinel://127.0.0.1:26379/s3cret/word",
        "redis+sentinel://127.0.0.1:26379",
        "redis+sentinel://127.0.0.1:26379,/primary",
        "redis+cluster://127.0.0.1:6379/s3cret",
        "redis+cluster://:s3cret@127.0.0.1:6379,:0",
        "redis+s3cret://127.0.0.1:6379",
        "redis://[s3cret/",
    ],
)
def test_urls_that_are_not_understood_are_refused_without_being_repeated(url: str) -> None:
    """A3."""
    with pytest.raises(ValidationError) as refused:
        SharedOptions.model_validate({"url": url})

    assert "use redis://USER:PASSWORD@HOST" in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_the_url_is_a_secret() -> None:
    """A3."""
    assert "s3cret" not in repr(SharedOptions.model_validate({"url": "redis://:s3cret@127.0.0.1"}))


def test_the_known_body_is_small() -> None:
    assert len(pack(identity(body=replace(KNOWN, carrier="Example Mobile Network")))) < MAX_BODY_BYTES / 10
