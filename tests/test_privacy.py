"""What is kept of a number can be shown and erased: nothing of it is left in any file, in the shared server or on any page."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import pytest

from agi_lookup.domain.errors import NoticeRefused
from agi_lookup.domain.model import LookupAnswer
from agi_lookup.lookup.ledger_file import LEDGER_FILE, read
from agi_lookup.providers.base import Notice, Notified, NumberResult
from agi_lookup.sim import recordings
from agi_lookup.sim.asterisk import play
from agi_lookup.sim.asterisk_wire import Call
from tests import calls
from tests.cache.servers import Server, valkey_server
from tests.processes import Process, Site, make_site, until
from tests.providers.replay import NOW, make, outcomes, posted, recorded_replies
from tests.test_daemon import fetch, request, simulator
from tests.test_routes import import_deck, trunk, trunks

pytestmark = pytest.mark.usefixtures("untraced")

CANARY: Final = "447400987600"
"""Reachable in the simulator."""
OTHER: Final = "447400123401"
TRACES: Final = (CANARY[-9:].encode(), int(CANARY).to_bytes(6))
"""Its digits however they are written, and as the integer that SQLite stores."""


def dial(site: Site, number: str) -> dict[str, str]:
    told = asyncio.run(calls.dial(site, number))
    assert told is not None
    assert told["LOOKUP_STATUS"] == "OK", told
    return told


def report(site: Site, number: str, dialstatus: str, cause: int) -> None:
    """How the call went, as the dialplan does."""
    args = (number, calls.UNIQUEID, "-", "trunk=one", f"dialstatus={dialstatus}", f"cause={cause}")
    played = asyncio.run(play(Call(args, "result", calls.UNIQUEID), "127.0.0.1", site.agi_port))
    assert played.variables == {"LOOKUP_RESULT_STATUS": "OK"}


@pytest.fixture
def shared() -> Iterator[Server]:
    with valkey_server() as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, shared: Server) -> Iterator[Site]:
    """With everything switched on that remembers something."""
    with simulator(tmp_path) as npl:
        folder = tmp_path / "site"
        folder.mkdir()
        site = make_site(folder, provider=npl)
        site.data |= {
            "cache": {"shared": {"url": shared.url, "timeout_ms": 5000}},
            "calls": {"enabled": True, "numbers": "full"},
            "log": {"level": "debug"},
            "routing": {"currency": "EUR", "trunks": {"one": trunk("acme")}, "sticky": {"by": "number", "for_s": 3600}},
            "policy": {"dead_numbers": {"mode": "shadow"}},
        }
        site.write()
        import_deck(site, "acme", {"447": "0.010"})
        yield site


@pytest.fixture
def plain(tmp_path: Path) -> Site:
    return make_site(tmp_path)


def use_up(site: Site) -> None:
    """Calls, results, questions: all that leaves traces."""
    for number in (OTHER, CANARY, f"00{CANARY}", CANARY):
        assert trunks(dial(site, number)) == ["one"]
    report(site, CANARY, "CHANUNAVAIL", 1)
    report(site, CANARY, "ANSWER", 16)
    fetch(api(site, "explain", CANARY))
    http_get(site, f"/api/v1/lookup/{CANARY}?fresh=yes")


def exported(site: Site) -> dict[str, Any]:
    """As the command does while a server runs."""
    kept: dict[str, Any] = fetch(api(site, "privacy", CANARY))
    return kept


def pages(site: Site) -> bytes:
    """What a reader of the server sees who does not name the number."""
    paths = (
        "metrics",
        "api/v1/calls",
        "api/v1/live?history=yes",
        "api/v1/providers",
        "api/v1/spend",
        "api/v1/rules",
        "",
    )
    texts = [http_get(site, f"/{path}") for path in paths]
    ids = [call["id"] for call in json.loads(http_get(site, "/api/v1/calls"))["calls"]]
    return b"".join([*texts, *(http_get(site, f"/api/v1/calls/{id_}") for id_ in ids)])


def http_get(site: Site, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", site.http_port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def where_found(site: Site, shared: Server) -> list[str]:
    """Files with a trace of the number, and keys."""
    files = [path for path in site.folder.rglob("*") if path.is_file()]
    found = [str(path.relative_to(site.folder)) for path in files if any(t in path.read_bytes() for t in TRACES)]
    keys = shared.keys()
    return found + [key for key in keys if CANARY[-9:] in key or TRACES[0] in shared.admin("GET", key)]


def is_written(site: Site, shared: Server) -> bool:
    """What is written behind: both facets to the disk and to the shared tier, all calls with their results."""
    held = {name.removesuffix("-wal") for name in where_found(site, shared)}
    shown = exported(site)
    return (
        {"state/cache.sqlite", "state/calls.sqlite"} <= held
        and len([name for name in held if ":" in name]) == 2
        and len(shown["calls"]) == 3
        and len(shown["calls"][-1]["results"]) == 2
    )


def test_of_a_number_that_was_forgotten_nothing_is_left_anywhere(site: Site, shared: Server) -> None:
    """S16: cache, shared tier, call log in full, histories, sticky trunk, recent calls; the ledger keeps the money alone."""
    with site.serve() as server:
        use_up(site)
        until(lambda: is_written(site, shared))
        before = exported(site)
        held = where_found(site, shared)
        told = pages(site)
        gone = site.json("privacy", "forget", CANARY)
        after = exported(site)
        left = where_found(site, shared)
        assert any(entry["number"] == f"+{OTHER}" for entry in fetch(api(site, "cache", OTHER))["entries"])
        assert server.lines("number forgotten")
    left_after_the_stop = where_found(site, shared)

    assert {"state/cache.sqlite", "state/calls.sqlite"} <= {name.removesuffix("-wal") for name in held}
    assert len([name for name in held if ":" in name]) == 2
    assert len(before["cache"]) == 2
    assert len(before["calls"]) == len(before["recent"]) == 3
    assert [result["dialstatus"] for result in before["calls"][-1]["results"]] == ["CHANUNAVAIL", "ANSWER"]
    assert before["learned"]["heard"]["answered_at"] > 0
    assert before["learned"]["sticky_trunk"] == "one"
    assert len(before["lookups"]) == len(before["ledger"]) == 2
    assert TRACES[0] not in told, "shown to whoever looks, with or without being forgotten"
    assert (gone["forgotten"], gone["calls"], gone["recent"], gone["put_aside"]) == (2, 3, 3, [])
    assert gone["learned"] > 0

    assert left == left_after_the_stop == []
    assert not any(after["learned"].values())
    assert [after[part] for part in ("cache", "recent", "calls", "lookups")] == [[], [], [], []]
    assert after["ledger"] == before["ledger"], "money that was spent stays spent"


def test_without_a_server_the_files_are_asked(site: Site, shared: Server) -> None:
    """S16. A file that was put aside is named, as it cannot be erased number by number."""
    with site.serve() as server:
        use_up(site)
        server.end()
    (site.folder / "state" / "cache.sqlite.corrupt-20260101T000000Z").write_bytes(b"who knows")
    before = site.json("privacy", "export", CANARY)
    gone = site.json("privacy", "forget", CANARY)
    after = site.json("privacy", "export", CANARY)

    assert len(before["cache"]) == 2
    assert len(before["calls"]) == 3
    assert (gone["forgotten"], gone["calls"]) == (2, 3)
    assert before["put_aside"] == gone["put_aside"] == ["cache.sqlite.corrupt-20260101T000000Z"]
    assert [after[part] for part in ("cache", "calls", "lookups")] == [[], [], []]
    assert where_found(site, shared) == []
    _, lines = read(site.folder / "state" / LEDGER_FILE, 0, 0.0)
    assert sum(line.numbers for line in lines) == 3


def test_a_call_log_that_is_switched_off_is_still_searched(site: Site, shared: Server) -> None:
    """S16."""
    with site.serve() as server:
        use_up(site)
        server.end()
    site.data["calls"] = {"enabled": False}
    site.write()
    with site.serve():
        assert len(site.json("privacy", "export", CANARY)["calls"]) == 3
        assert site.json("privacy", "forget", CANARY)["calls"] == 3
        assert exported(site)["calls"] == []
        assert where_found(site, shared) == []


def test_lines_of_one_number_are_joined_by_their_id(plain: Site) -> None:
    """S15: in the log, in the API and over a restart; with another key the id is another."""
    ids: list[str] = []
    for _ in range(2):
        with plain.serve() as server:
            asyncio.run(calls.dial(plain, CANARY))
            ids.append(line_of(server)["number_id"])
            assert fetch(api(plain, "calls"))["calls"][0]["number_id"] == ids[-1]
    (plain.folder / "state" / "log.key").unlink()
    with plain.serve() as server:
        asyncio.run(calls.dial(plain, CANARY))
        ids.append(line_of(server)["number_id"])

    assert ids[0] == ids[1] != ids[2]
    assert all(len(one) == 12 for one in ids)


def line_of(server: Process) -> dict[str, Any]:
    return server.wait_for("call")[-1]


def api(site: Site, *path: str) -> str:
    return f"http://127.0.0.1:{site.http_port}/api/v1/{'/'.join(path)}"


def test_nothing_is_said_of_a_number_that_nobody_knows(plain: Site) -> None:
    with plain.serve():
        assert plain.cli("privacy", "export", CANARY).returncode == 1
        assert plain.cli("privacy", "forget", CANARY).returncode == 1
        assert request(api(plain, "privacy", "12"))[0] == 400


# What vendors say beside the network and the reachability

IMSI, PERSON = "234150998877665", "Erika Mustermann"
UNASKED: Final = {
    "imsi": IMSI,
    "IMSI": IMSI,
    "hlr": f"4477{IMSI}",
    "vlr": f"4477{IMSI}",
    "smsc": f"4477{IMSI}",
    "subscriber_name": PERSON,
    "caller_name": {"caller_name": PERSON, "caller_type": PERSON},
    "owner": {"name": PERSON, "address": PERSON},
    "sms_email": f"{IMSI}@example.net",
}
RECORDED: Final = [
    (kind, name, recording)
    for kind in recordings.kinds()
    for name, recording in recordings.load(kind).items()
    if recording.is_lookup or recording.notice
]


def with_more(said: Any) -> Any:
    """The same with what nobody asked for in every object."""
    if isinstance(said, list):
        return [with_more(item) for item in said]
    if not isinstance(said, dict):
        return said
    return {name: with_more(value) for name, value in said.items() if name not in UNASKED} | UNASKED


def json_with_more(body: bytes) -> bytes:
    try:
        return json.dumps(with_more(json.loads(body))).encode()
    except ValueError:
        return body  # what is no JSON has no such fields either


def test_imsi_and_names_get_no_further_than_the_reply() -> None:
    """S16: of every recorded reply and webhook of every vendor. What an answer does not hold, no cache, ledger, log or page can."""
    answers = 0
    for kind, name, recording in RECORDED:
        provider = make(kind, **recording.options)
        results: Mapping[str, NumberResult]
        if recording.notice is not None:
            notice = msgspec.structs.replace(recording.notice, signed={})
            body = json_with_more(notice.body)
            try:
                results = dict(cast("Notified", provider).notice(Notice(posted(notice).headers, body), NOW))
            except NoticeRefused:  # says a stable word alone
                results = {}
        else:
            replies = [replace(r, body=json_with_more(r.body)) for r in recorded_replies(recording)]
            results = outcomes(provider, list(recording.expected), replies)
        for result in results.values():
            assert not leaks(result), (kind, name)
            answers += isinstance(result, LookupAnswer)
    assert answers > 100, "most still answer with more in the reply than they read"


def leaks(result: object) -> bool:
    told = f"{result!r} {result}" if isinstance(result, Exception) else f"{asdict(result)}"  # type: ignore[call-overload]
    return IMSI in told or PERSON in told
