"""What the API says of a server that has worked: a process of its own, a simulated vendor, calls, money, rules, rates."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
import pytest

from agi_lookup.web import figures, shapes
from tests.calls import dial
from tests.processes import Process, Site, make_site
from tests.test_daemon import request, simulator

ALIVE, PORTED, DEAD = "447400123400", "447400123401", "447400123403"
DECK = "prefix,rate,currency\n44,0.02,EUR\n4474,0.012,EUR\n"
Shaped = TypeVar("Shaped")


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Process]]:
    """A server that three numbers were called through, one of them twice."""
    folder: Path = tmp_path_factory.mktemp("worked")
    with simulator(folder) as npl:
        site = make_site(folder, provider=npl)
        site.data["http"]["recent_calls"] = 50
        site.data["budget"] = {"providers": {"npl": {"per_day": {"credits": "500"}}}}
        site.data["providers"]["npl"] |= {"max_concurrency": 3, "max_per_minute": 600, "low_balance": "1"}
        site.data["profiles"]["other"] = {"dial_plan": {"country": "GB"}, "sources": []}
        site.data["routing"] = {
            "trunks": {
                "acme": {"vendor": "acme", "dial": "PJSIP/{prefix}{number}@acme", "tech_prefix": "77"},
                "none": {"vendor": "none", "dial": "PJSIP/{number}@none"},
            }
        }
        site.write()
        (folder / "deck.csv").write_text(DECK)
        for command in (("import", str(folder / "deck.csv"), "--vendor", "acme"), ("activate", "acme")):
            done = site.cli("rates", *command)
            assert done.returncode == 0, done.stderr
        with site.serve() as server:
            for number in (ALIVE, ALIVE, PORTED, DEAD, "112"):
                assert asyncio.run(dial(site, number))
            yield site, server


def shown(worked: tuple[Site, Process], path: str, shape: type[Shaped]) -> Shaped:
    """As it is sent, and nothing else than its shape."""
    status, body = request(f"http://127.0.0.1:{worked[0].http_port}/api/v1/{path}")
    assert status == 200, body
    return msgspec.json.decode(body, type=shape)


def asked(worked: tuple[Site, Process], target: str, method: str = "GET") -> tuple[int, Any]:
    """With the query, as it is written."""
    (told,) = all_asked(worked, [(method, target)])
    return told


def all_asked(worked: tuple[Site, Process], requests: Iterable[tuple[str, str]]) -> list[tuple[int, Any]]:
    """Over one connection."""
    with closing(http.client.HTTPConnection("127.0.0.1", worked[0].http_port, timeout=10)) as connection:
        told = []
        for method, target in requests:
            connection.request(method, target)
            reply = connection.getresponse()
            told.append((reply.status, json.loads(reply.read())))
    return told


def test_live_counts_calls_and_sources(worked: tuple[Site, Process]) -> None:
    live = shown(worked, "live", figures.Live)
    assert (live.calls.total, live.calls.in_time, live.ready) == (5, 5, True)
    assert live.calls.by_status == {"OK": 3, "PARTIAL": 1, "EMERGENCY": 1}
    assert live.calls.by_cache["fresh"] == 1
    assert live.sources == {"npl": {"answer": 3}}
    assert live.would_block == 1
    assert live.call_seconds.total == 5
    assert live.call_seconds.count == sorted(live.call_seconds.count)
    assert live.started < live.now <= time.time()


def test_live_history_is_there_from_the_start(worked: tuple[Site, Process]) -> None:
    history = shown(worked, "live", figures.Live).history
    assert history is msgspec.UNSET
    status, body = asked(worked, "/api/v1/live?history=yes")
    assert status == 200
    history = msgspec.convert(body, figures.Live).history
    assert history is not msgspec.UNSET
    assert history
    assert history[0].calls.total <= body["calls"]["total"]


def test_calls_are_listed_and_explained_with_the_number_masked(worked: tuple[Site, Process]) -> None:
    """S13, S15."""
    calls = shown(worked, "calls", shapes.Calls).calls
    assert [call.number for call in calls] == [None, "+4474******03", "+4474******01", "+4474******00", "+4474******00"]
    assert calls[1].rule == "shadow:dead_number"
    assert (calls[3].cache, calls[4].cache, calls[3].number_id) == ("fresh", "miss", calls[4].number_id)
    assert calls[2].number_id != calls[3].number_id
    assert calls[4].trunk == "acme"
    assert calls[4].id != calls[3].id
    bought = shown(worked, f"calls/{calls[4].id}", shapes.ExplainedCall)
    assert [(a.provider, a.result, a.currency) for a in bought.attempts] == [("npl", "answer", "credits")]
    (route,) = bought.routes
    assert re.fullmatch(r"PJSIP/77\d*\*+\d\d@acme", route.dial)
    assert asked(worked, "/api/v1/calls?limit=2")[1]["calls"] == json.loads(msgspec.json.encode(calls[:2]))
    whole = json.dumps([msgspec.to_builtins(calls), msgspec.to_builtins(bought)])
    assert ALIVE[2:] not in whole
    assert asked(worked, "/api/v1/calls/nonsense") == (404, {"error": "no_such_call"})


def test_the_logs_line_of_a_call_has_the_same_id(worked: tuple[Site, Process]) -> None:
    line = worked[1].lines("call")[0]
    assert line["number_id"] == shown(worked, "calls", shapes.Calls).calls[-1].number_id


def test_how_a_source_does(worked: tuple[Site, Process]) -> None:
    (npl,) = shown(worked, "providers", figures.Providers).providers
    assert (npl.name, npl.kind, npl.currency) == ("npl", "numberportabilitylookup", "credits")
    assert npl.profiles == {"default": 1}, "the other profile asks nobody"
    assert (npl.health.state, npl.health.last_error) == ("ok", None)
    assert (npl.connections.in_use, npl.connections.limit) == (0, 3)
    assert npl.rate is not None
    assert npl.rate.per_minute == 600
    assert npl.requests == {"answer": 3}
    assert npl.latency_s.count == 3
    assert npl.latency_s.p50 is not None
    assert npl.spent_today == "3"
    assert [(cap.cap, cap.spent, cap.left) for cap in npl.caps] == [("500", "3", "497")]
    assert npl.balance is not None
    assert (npl.balance.currency, npl.balance.low_balance) == ("credits", "1")


def test_spend_is_what_the_command_prints(worked: tuple[Site, Process]) -> None:
    time.sleep(0.3)  # what was charged is written behind
    served = shown(worked, "spend", figures.Spend)
    assert json.loads(msgspec.json.encode(served)) == worked[0].json("spend")
    assert [(day.provider, day.numbers, day.charged) for day in served.days] == [("npl", 3, "3")]
    assert len(asked(worked, "/api/v1/spend?days=1")[1]["days"]) == 1


def test_rules_say_what_they_would_block(worked: tuple[Site, Process]) -> None:
    (rule,) = shown(worked, "rules", figures.Rules).rules
    assert (rule.rule, rule.mode, rule.would_block, rule.blocked) == ("dead_number", "shadow", 1, 0)


def test_decks_say_what_is_live_and_what_is_missing(worked: tuple[Site, Process]) -> None:
    decks = shown(worked, "decks", figures.Decks)
    assert decks.book is not None
    assert (decks.book.rates, decks.book.vendors, decks.trunks) == (2, 1, ["acme", "none"])
    ((version,),) = [vendor.versions for vendor in decks.vendors]
    assert (version.live, version.rows, version.currencies) == (True, 2, ["EUR"])
    assert ["none" in gap for gap in decks.gaps] == [True]


HOSTILE = (
    "*", "%", "+44*", "..%2F..%2Fetc%2Fpasswd", "' OR 1=1 --", '"; DROP TABLE entry; --', "\r\nDEL *", "\x00", "%00", "${jndi:x}",
    "<script>", "447400123400' UNION SELECT", "447400123400*", "٤٤٧٤", "+" * 1000, "447400123400\n", "{number}", "\u2028",
)  # fmt: skip
PATHS = ("live", "providers", "spend", "calls", "rules", "decks", f"lookup/{ALIVE}", f"cache/{ALIVE}", "balance")
PARAMETERS = (
    "profile", "need", "timeout_ms", "fresh", "provider", "variables", "wait_s", "days", "limit", "history",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_erase_nothing_and_look_nothing_up(worked: tuple[Site, Process], text: str) -> None:
    """A7: in the path, and in every parameter of every path."""
    word = quote(text, safe="")
    before = shown(worked, "providers", figures.Providers).providers[0].requests
    requests = [("GET", f"/api/v1/cache/{word}"), ("DELETE", f"/api/v1/cache/{word}"), ("GET", f"/api/v1/calls/{word}")]
    requests += [("GET", f"/api/v1/{path}?{name}={word}") for path in PATHS for name in (*PARAMETERS, word)]
    refused = all_asked(worked, requests)
    assert {status for status, _ in refused} <= {400, 404}
    assert all(set(body) == {"error"} and re.fullmatch(r"[a-z_]+", body["error"]) for _, body in refused), "no echo"
    status, body = asked(worked, f"/api/v1/lookup/{word}")
    assert status == 404 or (body["status"], body["number"]) == ("BADNUMBER", None)
    assert shown(worked, "providers", figures.Providers).providers[0].requests == before
    assert len(asked(worked, f"/api/v1/cache/{ALIVE}")[1]["entries"]) == 2, "nothing was erased"


def test_the_same_parameter_twice_is_refused(worked: tuple[Site, Process]) -> None:
    assert asked(worked, "/api/v1/calls?limit=1&limit=500") == (400, {"error": "option_twice"})


def test_a_number_is_forgotten_everywhere_and_the_log_says_who_asked(worked: tuple[Site, Process]) -> None:
    """A7, S15: audited, with the number masked."""
    _, server = worked
    status, gone = asked(worked, f"/api/v1/cache/{PORTED}", "DELETE")
    assert (status, gone["forgotten"], gone["recent"]) == (200, 2, 1)
    assert msgspec.convert(gone, shapes.Forgotten)
    assert asked(worked, f"/api/v1/cache/{PORTED}") == (200, {"entries": []})
    assert "+4474******01" not in [call.number for call in shown(worked, "calls", shapes.Calls).calls]
    (line,) = server.wait_for("number forgotten")
    assert (line["peer"], line["number"], line["forgotten"], line["recent"]) == ("127.0.0.1", "+4474******01", 2, 1)
    assert PORTED not in server.log.read_text()
