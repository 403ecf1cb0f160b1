"""Routes from a vendor's file to the dialplan: imported, made live under calls, told, and learned from."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from agi_lookup.sim.asterisk import play
from agi_lookup.sim.asterisk_wire import Call, environment
from tests.processes import Site, make_site

pytestmark = pytest.mark.usefixtures("untraced")

NUMBER = "447400123456"
FIRST = {"447": "0.010", "44": "0.008"}
SECOND = {"447": "0.030"}


def trunk(vendor: str, **more: Any) -> dict[str, Any]:
    return {"vendor": vendor, "dial": f"PJSIP/{{number}}@{vendor}", **more}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = make_site(tmp_path)
    site.data["routing"] = {"currency": "EUR", "trunks": {"one": trunk("acme"), "two": trunk("bell")}}
    site.write()
    return site


def import_deck(site: Site, vendor: str, rates: dict[str, str]) -> None:
    """And make it live."""
    path = site.folder / f"{vendor}.csv"
    path.write_text("prefix,rate\n" + "".join(f"{prefix},{rate}\n" for prefix, rate in rates.items()))
    done = site.cli("rates", "import", "--vendor", vendor, "--currency", "EUR", str(path))
    assert done.returncode == 0, done.stderr
    done = site.cli("rates", "activate", vendor)
    assert done.returncode == 0, done.stderr


def trunks(told: dict[str, str]) -> list[str]:
    return [told[f"LCR_{n}_TRUNK"] for n in range(1, int(told["LCR_COUNT"]) + 1)]


def until_told(site: Site, wanted: list[str], within_s: float = 20.0) -> dict[str, str]:
    """A newer book is looked for every other second."""
    deadline = time.monotonic() + within_s
    while trunks(told := site.call(NUMBER)) != wanted:
        assert time.monotonic() < deadline, told
        time.sleep(0.1)
    return told


def test_a_deck_that_is_made_live_routes_the_next_calls_without_a_restart(site: Site) -> None:
    with site.serve():
        assert site.call(NUMBER)["LCR_COUNT"] == "0"
        import_deck(site, "acme", FIRST)
        told = until_told(site, ["one"])
        import_deck(site, "bell", SECOND)
        both = until_told(site, ["one", "two"])
        import_deck(site, "acme", {"447": "0.050"})
        dearer = until_told(site, ["two", "one"])
        assert site.cli("rates", "rollback", "acme").returncode == 0
        until_told(site, ["one", "two"])

    assert told["LCR_1_DIAL"] == f"PJSIP/{NUMBER}@acme"
    assert (told["LCR_1_RATE"], told["LCR_1_CURRENCY"]) == ("0.010000", "EUR")
    assert both["LCR_2_RATE"] == "0.030000"
    assert dearer["LCR_2_RATE"] == "0.050000"


def test_a_damaged_book_leaves_the_calls_their_routes_and_says_so(site: Site) -> None:
    import_deck(site, "acme", FIRST)
    with site.serve() as process:
        until_told(site, ["one"])
        process.popen.send_signal(signal.SIGSTOP)  # else it may take the book over before we damage it
        import_deck(site, "bell", SECOND)
        live = site.folder / "state" / "decks" / json.loads((site.folder / "state/decks/live.json").read_text())["book"]
        content = bytearray(live.read_bytes())
        content[len(content) // 2] ^= 0xFF
        live.write_bytes(content)
        process.popen.send_signal(signal.SIGCONT)
        alarms = process.wait_for("alarm")
        told = site.call(NUMBER)

    assert [alarm["code"] for alarm in alarms] == ["book_unusable"]
    assert trunks(told) == ["one"]


def test_a_reload_takes_over_other_trunks(site: Site) -> None:
    import_deck(site, "acme", FIRST)
    with site.serve() as process:
        until_told(site, ["one"])
        site.data["routing"]["trunks"] = {"other": trunk("acme", tech_prefix="77", dial="PJSIP/{prefix}{number}@x")}
        site.write()
        process.popen.send_signal(signal.SIGHUP)
        process.wait_for("reloaded")
        told = site.call(NUMBER)

    assert (trunks(told), told["LCR_1_DIAL"]) == (["other"], f"PJSIP/77{NUMBER}@x")


def test_explain_shows_every_candidate_and_why_it_won_or_lost(site: Site) -> None:
    import_deck(site, "acme", FIRST)
    import_deck(site, "bell", SECOND)
    site.data["routing"]["profiles"] = {"default": {"max_cost": "0.02"}}
    site.write()
    shown = site.json("explain", NUMBER)

    assert [(one["trunk"], one["fate"], one["key"], one["cost"]) for one in shown["candidates"]] == [
        ("one", "chosen", "447", "0.010000"),
        ("two", "too_dear", "447", "0.030000"),
    ]
    assert [route["trunk"] for route in shown["routes"]] == ["one"]
    assert [(rule["rule"], rule["matches"]) for rule in shown["rules"]] == [("allow_list", "no"), ("dead_number", "no")]
    assert "routes" in [step["step"] for step in shown["steps"]]


async def report(site: Site, channel: str, *, trunk: str, dialstatus: str, **more: int) -> dict[str, str]:
    details = [f"{name}={value}" for name, value in {"trunk": trunk, "dialstatus": dialstatus, **more}.items()]
    call = Call((NUMBER, channel, "-", *details), uniqueid=channel, script="result")
    return (await play(call, "127.0.0.1", site.agi_port)).variables


async def test_a_trunk_whose_calls_fail_rests_and_is_known_to_after_a_restart(site: Site) -> None:
    import_deck(site, "acme", FIRST)
    import_deck(site, "bell", SECOND)
    site.data["routing"] |= {"strategy": "quality", "quality": {"min_samples": 5}}
    site.write()
    with site.serve() as process:
        for n in range(8):
            channel = f"1763742000.{n}"
            call = Call((NUMBER, channel, "-"), uniqueid=channel)
            told = (await play(call, "127.0.0.1", site.agi_port)).variables
            said = await report(site, channel, trunk=told["LCR_1_TRUNK"], dialstatus="CONGESTION", cause=34, tech=503)
            assert said == {"LOOKUP_RESULT_STATUS": "OK"}
            if told["LCR_1_TRUNK"] == "two":
                break
        assert process.end() == 0
    learned = json.loads((site.folder / "state" / "learned.json").read_text())

    assert told["LCR_1_TRUNK"] == "two"
    assert learned["routing"]["quality"]


def test_without_trunks_nothing_is_routed(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    with site.serve():
        told = site.call(NUMBER)

    assert told["LCR_COUNT"] == "0"
    assert not [name for name in told if name.startswith("LCR_1")]


async def test_what_calls_were_told_is_logged_masked_replayed_and_forgotten(site: Site) -> None:
    """S16: a call and its result are one row each; the replay asks nobody."""
    import_deck(site, "acme", FIRST)
    site.data["calls"] = {"enabled": True}
    site.write()
    with site.serve() as process:
        channel = "1763742000.7"
        told = (await play(Call((NUMBER, channel, "-"), uniqueid=channel), "127.0.0.1", site.agi_port)).variables
        await report(site, channel, trunk="one", dialstatus="ANSWER", billsec=60, pdd_ms=900)
        assert process.end() == 0
    kept = b"".join(path.read_bytes() for path in (site.folder / "state").glob("calls.sqlite*"))
    import_deck(site, "acme", {"447": "0.020"})
    replayed = site.json("replay", "--log", "--before", "logged")
    forgotten = site.json("cache", "forget", NUMBER)
    again = site.json("cache", "forget", NUMBER)

    assert told["LCR_1_TRUNK"] == "one"
    assert NUMBER.encode() not in kept
    assert b"+44740012****" in kept
    assert replayed["calls"] == 1
    assert (forgotten["calls"], again["calls"]) == (1, 0)


def test_without_being_told_to_nothing_is_logged(site: Site) -> None:
    with site.serve():
        site.call(NUMBER)

    assert not list((site.folder / "state").glob("calls*"))


def test_when_it_cannot_be_read_which_rates_are_live_calls_keep_theirs(site: Site) -> None:
    import_deck(site, "acme", FIRST)
    live = site.folder / "state" / "decks" / "live.json"
    with site.serve() as process:
        until_told(site, ["one"])
        content = live.read_bytes()
        live.write_bytes(content[:-5])
        alarms = process.wait_for("alarm")
        kept = site.call(NUMBER)
        live.write_bytes(content)

    assert {alarm["code"] for alarm in alarms} == {"book_unusable"}
    assert trunks(kept) == ["one"]


async def test_a_call_that_never_took_its_routes_holds_no_place_on_a_trunk(site: Site) -> None:
    """Who hangs up, or does not reply, has not dialled."""
    import_deck(site, "acme", FIRST)
    site.data["routing"]["trunks"] = {"one": trunk("acme", max_calls=1)}
    site.write()
    with site.serve():
        for n in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", site.agi_port)
            call = Call((NUMBER, f"1763742000.{n}", "-"), uniqueid=f"1763742000.{n}")
            writer.write(b"".join(environment(call)))
            assert (await reader.readline()).startswith(b"SET VARIABLE")
            writer.close()
        taken = Call((NUMBER, "1763742000.8", "-"), uniqueid="1763742000.8")
        first = (await play(taken, "127.0.0.1", site.agi_port)).variables
        then = Call((NUMBER, "1763742000.9", "-"), uniqueid="1763742000.9")
        second = (await play(then, "127.0.0.1", site.agi_port)).variables

    assert (first["LCR_COUNT"], second["LCR_COUNT"]) == ("1", "0")


def test_check_names_trunks_that_will_get_no_calls(site: Site) -> None:
    before = site.json("check")["notes"]
    path = site.folder / "acme.csv"
    path.write_text("prefix,rate\n44,0.01\n")
    for vendor in ("acme", "carol"):
        assert site.cli("rates", "import", "--vendor", vendor, "--currency", "USD", str(path)).returncode == 0
        assert site.cli("rates", "activate", vendor).returncode == 0
    after = site.json("check")["notes"]

    assert [note.partition(":")[0] for note in before] == ["routing.trunks.one", "routing.trunks.two"]
    assert [note.partition(":")[0] for note in after] == [
        "routing.trunks.two",
        "vendor 'acme'",
        "vendor 'carol' has a live deck, and no trunk of routing.trunks is its",
    ]
