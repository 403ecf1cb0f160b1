"""`agi-lookup bulk` and `cache warm` against simulated vendors: what they pay for, whatever ends them."""

from __future__ import annotations

import csv
import http.client
import json
import os
import pty
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.processes import CLI, Site, make_site
from tests.test_daemon import bought, fetch, simulator

pytestmark = pytest.mark.usefixtures("untraced")

UNDER_WAY = 4 * 10
"""Requests at once, and numbers in each: what the default options of the vendor allow."""


@pytest.fixture
def npl(tmp_path: Path) -> Iterator[str]:
    with simulator(tmp_path, "--latency-ms", "50") as base:
        yield base


@pytest.fixture
def site(tmp_path: Path, npl: str) -> Site:
    return make_site(tmp_path, provider=npl)


def phones(count: int) -> list[str]:
    """Every one of them reachable, by the simulator's rules."""
    return [f"447400{n:04d}00" for n in range(count)]


def write(site: Site, rows: list[str], header: str = "number") -> Path:
    path = site.folder / "in.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def bulk(site: Site, *args: str) -> subprocess.CompletedProcess[str]:
    return site.cli("bulk", str(site.folder / "in.csv"), "-o", str(site.folder / "out.csv"), *args)


def out(site: Site) -> list[dict[str, str]]:
    with (site.folder / "out.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def asks(npl: str) -> Counter[str]:
    """How often the vendor was asked about each number."""
    requests = fetch(npl.removesuffix("/npl") + "/_sim/journal")
    return Counter(number for request in requests for number in request["numbers"])


def kept(site: Site) -> dict[int, str]:
    """The number of each row that the journal calls done."""
    path = site.folder / "out.csv.part"
    lines = path.read_bytes().split(b"\n")[1:-1] if path.exists() else []
    return {line["row"]: line["cells"][0] for line in map(json.loads, lines) if line["done"]}


def until(reached: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 60
    while not reached() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def started(site: Site, *args: str) -> subprocess.Popen[str]:
    command = [*CLI, "--config", str(site.config), "bulk", str(site.folder / "in.csv"), "-o"]
    return subprocess.Popen(
        [*command, str(site.folder / "out.csv"), *args], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_each_number_is_paid_for_once_and_batches_are_full(site: Site, npl: str) -> None:
    numbers = phones(2000)
    rows = [f"{number},row {n}" for n, number in enumerate(numbers)]
    write(site, [*rows, "letters,bad", "999,emergency", "07400 000100,again", "1471,short"], "number,name")

    done = bulk(site, "--json")

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "rows": 2004, "earlier": 0, "done": 2003, "bad": 2, "duplicates": 1, "open": 0, "left": 0, "asked": 2001,
        "spent": {"credits": "2000.00"}, "stopped": None, "output": str(site.folder / "out.csv"),
    }  # fmt: skip
    bill = fetch(npl.removesuffix("/npl") + "/_sim/bill")["npl"]
    assert bill["numbers"] == 2000
    assert bill["requests"] < 2000 / 10 * 2  # on a busy machine not every batch is full
    found = out(site)
    assert [row["number"] for row in found[:2000]] == [f"+{number}" for number in numbers]
    assert [row["name"] for row in found[2000:]] == ["bad", "emergency", "again", "short"]
    assert [row["status"] for row in found[2000:]] == ["BADNUMBER", "EMERGENCY", "OK", "PARTIAL"]
    first = found[0]
    assert (first["status"], first["type"], first["reachable"], first["cost"]) == ("OK", "mobile", "yes", "1.00")
    assert not (site.folder / "out.csv.part").exists()
    assert "999" not in asks(npl)


def test_killed_at_any_moment_it_never_pays_again_for_a_row_that_it_has(site: Site, npl: str) -> None:
    """C6: ten kills, and no cache to help. Paid twice is at most what was under way at a kill: nobody here knows its outcome."""
    numbers = phones(1500)
    write(site, numbers)
    dice = random.Random(7)
    kills = []
    for _ in range(10):
        before = len(kept(site))
        with started(site, "--fresh") as process:
            until(lambda before=before: len(kept(site)) > before, process)  # type: ignore[misc]
            time.sleep(dice.uniform(0, 0.3))
            process.kill()
        kills.append((set(kept(site).values()), asks(npl)))

    done = bulk(site, "--fresh", "--json")

    assert done.returncode == 0, done.stderr
    asked = asks(npl)
    assert set(asked) == set(numbers)
    assert asked.total() - len(numbers) <= len(kills) * UNDER_WAY
    for rows, at_the_kill in kills:
        assert all(asked[number[1:]] == at_the_kill[number[1:]] for number in rows)
    assert json.loads(done.stdout)["earlier"] == len(kills[-1][0])
    assert [(row["number"], row["status"]) for row in out(site)] == [(f"+{number}", "OK") for number in numbers]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_keeps_all_that_was_paid_for(site: Site, npl: str, how: signal.Signals) -> None:
    write(site, phones(600))
    with started(site, "--fresh", "--json", "--concurrency", "4") as process:
        until(lambda: len(kept(site)) > 50, process)
        process.send_signal(how)
        told, said = process.communicate(timeout=60)

    assert process.returncode == 1
    assert said.startswith("interrupted:")
    assert len(said.splitlines()) == 1
    summary = json.loads(told)
    assert (summary["stopped"], summary["output"]) == ("interrupted", None)
    assert summary["done"] == bought(npl) < 600
    assert not (site.folder / "out.csv").exists()

    done = bulk(site, "--fresh", "--json")

    assert (done.returncode, json.loads(done.stdout)["earlier"]) == (0, summary["done"])
    assert bought(npl) == 600
    assert len(out(site)) == 600


def test_over_budget_it_stops_and_goes_on_with_more(site: Site, npl: str) -> None:
    write(site, phones(300))
    site.data["budget"] = {"providers": {"npl": {"per_day": {"credits": "100"}}}}
    site.write()

    done = bulk(site)

    assert done.returncode == 1
    assert done.stderr.startswith("a spending cap is reached (see `agi-lookup spend`): 200 rows are open")
    assert "run the same command again" in done.stderr
    assert bought(npl) == 100

    site.data["budget"]["providers"]["npl"]["per_day"]["credits"] = "1000"
    site.write()
    again = bulk(site, "--json")

    assert (again.returncode, json.loads(again.stdout)["earlier"]) == (0, 100)
    assert bought(npl) == 300


def test_what_failed_for_now_is_in_the_output_and_open_for_another_run(site: Site, npl: str) -> None:
    """P5: replies that are lost may have been charged, so nothing asks for them again by itself."""
    site.data["providers"]["npl"] |= {"timeout_s": 5.0}
    site.write()
    numbers = [*phones(20), "447400999921"]  # the last one never gets an answer, nor does who shares its request
    write(site, numbers)

    done = bulk(site, "--json", "--concurrency", "1")

    assert done.returncode == 1
    summary = json.loads(done.stdout)
    assert (summary["done"], summary["open"], summary["left"]) == (20, 1, 0)
    assert "1 rows are open" in done.stderr
    assert [(row["status"], row["error"]) for row in out(site)[-2:]] == [("OK", ""), ("PARTIAL", "timeout")]

    assert asks(npl)[numbers[-1]] == 1
    assert set(asks(npl).values()) == {1}


def test_a_provider_that_is_down_ends_it_with_one_line(site: Site, npl: str) -> None:
    site.data["providers"]["npl"]["password"] = "wrong"
    site.write()
    write(site, phones(500))

    done = bulk(site, "--json", "--retry-s", "0")

    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert bought(npl) == 0
    assert len(asks(npl)) <= 50, "as many as are asked at a time"


def test_another_input_or_other_wants_are_refused_in_one_line(site: Site) -> None:
    write(site, phones(2000))
    with started(site, "--concurrency", "4") as process:
        until(lambda: len(kept(site)) > 10, process)
        process.kill()

    wants = bulk(site, "--need", "identity")
    write(site, phones(1999))
    other = bulk(site)

    for refused, says in ((wants, "another need"), (other, "another input")):
        assert (refused.returncode, refused.stdout) == (2, "")
        assert says in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


def test_two_runs_never_share_an_output(site: Site) -> None:
    write(site, phones(2000))
    with started(site, "--concurrency", "2") as process:
        until(lambda: len(kept(site)) > 0, process)
        second = bulk(site)
        process.kill()

    assert second.returncode == 3
    assert "another run" in second.stderr


@pytest.mark.parametrize(
    ("rows", "args", "says"),
    [
        (["447700900123"], ["--profile", "sales"], "profiles"),
        (["447700900123"], ["--column", "tel"], "there are number"),
        (["447700900123"], ["--delimiter", "||"], "--delimiter"),
        (["447700900123,x"], [], "2 cells"),
    ],
)
def test_wrong_usage_is_one_line_and_leaves_nothing(
    tmp_path: Path, rows: list[str], args: list[str], says: str
) -> None:
    site = make_site(tmp_path)
    write(site, rows)

    done = bulk(site, *args)

    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("out.csv*"))


def test_the_input_is_never_the_output(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    path = write(site, ["447700900123"])

    done = site.cli("bulk", str(path), "-o", str(path))

    assert done.returncode == 2
    assert path.read_text() == "number\n447700900123\n"


def test_a_source_that_reports_by_webhook_needs_the_server(tmp_path: Path) -> None:
    """Nobody would hear what was paid for."""
    site = make_site(tmp_path)
    site.data["providers"] = {
        "sms": {
            "kind": "smspartner", "base_url": "http://127.0.0.1:9", "allow_private": True, "api_key": "key",
            "public_url": "http://127.0.0.1:9", "webhook_secret": "0123456789abcdef",
        }
    }  # fmt: skip
    site.write()
    write(site, ["447700900123"])

    done = bulk(site)

    assert done.returncode == 2
    assert "webhook" in done.stderr


def test_beside_a_server_the_server_is_asked_and_remembers(site: Site, npl: str) -> None:
    write(site, [*phones(60), "letters", "999"])
    with site.serve():
        done = bulk(site, "--json", "--concurrency", "20")
        assert (done.returncode, done.stderr) == (0, "")
        assert bought(npl) == 60
        assert site.call("447400000100")["LOOKUP_CACHE"] == "fresh"
        again = bulk(site, "--json")

    assert json.loads(again.stdout)["spent"] == {}
    assert bought(npl) == 60
    assert Counter(row["status"] for row in out(site)) == {"OK": 60, "BADNUMBER": 1, "EMERGENCY": 1}


def test_beside_a_server_its_calls_go_first(tmp_path: Path) -> None:
    """Whatever is read, a call finds a connection free: it would not have the time to wait for one."""
    with simulator(tmp_path, "--latency-ms", "2000") as npl:
        site = make_site(tmp_path, provider=npl)
        write(site, phones(5000))
        with site.serve(), started(site) as process:
            until(lambda: len(kept(site)) > 10, process)
            told = [site.call(f"44741000{n:02}00")["LOOKUP_STATUS"] for n in range(5)]
            read = len(kept(site))
            process.kill()

    assert told == ["OK"] * 5
    assert read > 30, "batches are full all the same"


@pytest.mark.parametrize("served", [False, True])
def test_what_is_stale_is_asked_for_once_and_waited_for(site: Site, npl: str, served: bool) -> None:
    """A call takes the stale identity and leaves; a file of numbers has time."""
    write(site, phones(30))
    site.cli("cache", "warm", str(site.folder / "in.csv"))
    _age_cache(site, days=3)

    with site.serve() if served else nullcontext():
        done = bulk(site, "--need", "identity", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["spent"] == {"credits": "30.00"}
    assert bought(npl) == 60
    assert all(int(row["age_s"]) < 3600 for row in out(site))


def _age_cache(site: Site, *, days: int) -> None:
    """As if all of it had been looked up so long ago."""
    file = site.folder / "cache.jsonl"
    site.cli("cache", "export", str(file))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        line |= {name: line[name] - days * 86400 for name in ("observed_at", "fresh_until", "stale_until")}
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    site.data["state_dir"] = str(site.folder / "aged")
    site.write()
    assert site.json("cache", "import", str(file))["kept"] == len(lines)


def test_a_server_that_restarts_is_waited_for(site: Site, npl: str) -> None:
    """A server that drains finishes what it was asked, so nothing is paid for twice."""
    write(site, phones(60))
    with site.serve() as server, started(site, "--json", "--concurrency", "2") as process:
        until(lambda: len(kept(site)) > 5, process)
        server.end()
        with site.serve():
            told, said = process.communicate(timeout=60)

    assert (process.returncode, said) == (0, "")
    assert json.loads(told)["done"] == 60
    assert bought(npl) == 60


def test_a_server_that_comes_up_meanwhile_finds_the_ledger_free_soon(tmp_path: Path) -> None:
    """B8: its calls could not be looked up until the last row, hours later perhaps."""
    with simulator(tmp_path, "--latency-ms", "1000") as npl:
        site = make_site(tmp_path, provider=npl)
        write(site, phones(5000))
        with started(site, "--json") as process:
            until(lambda: len(kept(site)) > 10, process)
            with site.serve():
                told, said = process.communicate(timeout=60)
                first = json.loads(told)
                deadline = time.monotonic() + 40
                while (status := site.call("447410000000")["LOOKUP_STATUS"]) != "OK" and time.monotonic() < deadline:
                    time.sleep(0.5)
        npl_asked = asks(npl)

    assert (process.returncode, first["stopped"]) == (1, "server_started")
    assert said.startswith("a server has started")
    assert len(kept(site)) == first["done"] == npl_asked.total() - 1 < 5000
    assert status == "OK"


def test_fresh_lookups_that_a_killed_server_was_asked_for_are_left_open(site: Site, npl: str) -> None:
    """O1, P5: it may have paid for them, and no cache knows."""
    write(site, phones(60))
    with site.serve() as server, started(site, "--fresh", "--json", "--concurrency", "2") as process:
        until(lambda: len(kept(site)) > 5, process)
        server.end(signal.SIGKILL)
        with site.serve():
            told, _ = process.communicate(timeout=60)

    assert process.returncode in (1, 3), "rows are open"
    summary = json.loads(told)
    assert summary["open"] > 0
    assert set(asks(npl).values()) == {1}


def test_the_server_says_what_it_does_not_understand(site: Site) -> None:
    with site.serve():
        answers = [_lookup(site, f"wait_s={text}") for text in ("x", "0", "-1", "99999", "1e3", "5")]

    assert [status for status, _ in answers] == [400, 400, 400, 400, 400, 200]
    assert json.loads(answers[0][1]) == {"error": "bad_wait"}


def _lookup(site: Site, query: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", site.http_port, timeout=10)
    connection.request("GET", f"/api/v1/lookup/447400000000?{query}")
    reply = connection.getresponse()
    answer = reply.status, reply.read().decode()
    connection.close()
    return answer


def test_a_server_without_http_is_one_clear_line(site: Site, npl: str) -> None:
    site.data["http"]["enabled"] = False
    site.write()
    write(site, phones(5))
    with site.serve():
        done = bulk(site)

    assert done.returncode == 3
    assert "http listener is off" in done.stderr
    assert bought(npl) == 0


def test_warming_the_cache_pays_only_for_what_it_lacks(site: Site, npl: str) -> None:
    path = str(write(site, phones(100)))
    site.cli("lookup", "447400000000", "447400000100")
    assert bought(npl) == 2

    first = site.json("cache", "warm", path)
    second = site.json("cache", "warm", path)

    assert (first["done"], first["spent"], second["spent"]) == (100, {"credits": "98.00"}, {})
    assert bought(npl) == 100
    assert site.json("cache", "stats")["identities"] == 100
    assert not list(site.folder.glob("*.part"))


def test_killed_while_warming_the_cache_keeps_what_was_answered(site: Site, npl: str) -> None:
    """C6: but for the last half second, and what was under way."""
    path = str(write(site, phones(1500)))
    with subprocess.Popen([*CLI, "--config", str(site.config), "cache", "warm", path]) as process:
        until(lambda: bought(npl) > 400, process)
        process.kill()

    at_the_kill, held = bought(npl), site.json("cache", "stats")["identities"]
    site.json("cache", "warm", path)

    assert held > 50
    assert bought(npl) - at_the_kill == 1500 - held


def test_the_progress_is_shown_to_people_only(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    write(site, phones(30))
    assert bulk(site).stderr == ""

    theirs, ours = pty.openpty()
    command = [*CLI, "--config", str(site.config), "bulk", str(site.folder / "in.csv"), "-o"]
    with subprocess.Popen([*command, str(site.folder / "out.csv")], stdout=subprocess.PIPE, stderr=ours) as process:
        os.close(ours)
        shown = b""
        while chunk := _read(theirs):
            shown += chunk
        process.communicate()
    os.close(theirs)

    assert b"30/30" in shown


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # the other end is closed
        return b""


def test_memory_does_not_grow_with_the_input(tmp_path: Path) -> None:
    """Rows without a number pass through all of it, but for the phone library."""
    site = make_site(tmp_path)
    peaks = []
    for count in (500, 20_000):
        with (site.folder / "in.csv").open(
            "w"
        ) as file:  # not in the memory of this process, which the other one begins with
            file.write("number,text\n")
            file.writelines(f"row {n}, {'x' * 400}\n" for n in range(count))
        process = subprocess.Popen(
            [*CLI, "--config", str(site.config), "bulk", str(site.folder / "in.csv"), "-o", str(tmp_path / "out.csv")],
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        peaks.append(usage.ru_maxrss)

    assert (site.folder / "out.csv").stat().st_size > 8 * 2**20
    assert peaks[1] - peaks[0] < 5 * 1024
