"""What is told of the server: every name, with labels that no stranger makes grow; and alerts and plots that know these names."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from agi_lookup.alarms import ALARMS
from agi_lookup.bench.load import Open, Planned, run
from agi_lookup.domain.model import LookupAnswer, Method
from agi_lookup.metrics import Metrics
from agi_lookup.sim.asterisk_wire import Call, environment
from tests.calls import UNIQUEID, call_of, reachable, site_of, vendors
from tests.test_daemon import request
from tools.docs.annotated import ROOT
from tools.docs.metrics_table import Described, described

RULES: Final = ROOT / "config" / "prometheus" / "agi-lookup.rules.yml"
DASHBOARD: Final = ROOT / "config" / "grafana" / "agi-lookup.json"
ALERT_TESTS: Final = ROOT / "tests" / "prometheus" / "alerts.test.yml"
CAPS: Final = {"per_day": {"credits": "100"}, "burst": {"credits": "50", "seconds": 60}}
RULE: Final = {"name": "irsf", "when": {"prefix": ["+4470"]}, "action": "block"}
TRUNK: Final = {"vendor": "acme", "dial": "PJSIP/{number}@acme"}
BY_PROMETHEUS: Final = {"job", "instance", "le", "alertname"}
WORDS: Final = {"status", "result", "error", "event", "cache", "code", "where"}


@pytest.mark.parametrize("cost", ["-0.01", "0", "NaN", "sNaN", "Infinity", "-Infinity"])
def test_a_cost_that_cannot_be_counted_breaks_no_call(cost: str) -> None:
    """P8: a source that states nonsense for a price."""
    metrics = Metrics()
    for stated in ("0.5", cost):
        answer = LookupAnswer("+447700900123", "npl", Method.MNP, 0.0, cost=Decimal(stated), currency="EUR")
        metrics.source_asked("npl", "answer", 0.1, answer)

    assert b'agi_lookup_source_cost_total{currency="EUR",provider="npl"} 0.5\n' in metrics.exposition()
    assert b'agi_lookup_source_requests_total{provider="npl",result="answer"} 2.0\n' in metrics.exposition()


def test_a_vendors_own_word_for_its_currency_is_no_label() -> None:
    """A8."""
    metrics = Metrics()
    for currency in ("EUR", "+447700900123", "XAU"):
        answer = LookupAnswer("+447700900123", "npl", Method.MNP, 0.0, cost=Decimal(1), currency=currency)
        metrics.source_asked("npl", "answer", 0.1, answer)
        metrics.balance("npl", currency, Decimal(1))

    labels = {s.labels["currency"] for m in metrics.registry.collect() for s in m.samples if "currency" in s.labels}
    assert labels == {"EUR", "other"}


def test_an_alarm_that_lasts_is_told_once_in_five_minutes_and_its_time_moves_on() -> None:
    """S18: a vendor that is out fails with each probe."""
    told: list[tuple[str, str]] = []
    metrics = Metrics(lambda code, detail: told.append((code, detail)))
    for _ in range(3):
        metrics.alarm("provider_tls", "npl")
        first = metrics.alarms["provider_tls"][0]
    metrics.alarm("provider_tls", "hlr")

    assert told == [("provider_tls", "npl"), ("provider_tls", "hlr")]
    assert metrics.alarms["provider_tls"][0] >= first


class Scraped:
    """A server that was called by everybody and everything, and what it says then."""

    def __init__(self, before: str, after: str, page: str) -> None:
        self.before = families(before)
        self.after = families(after)
        self.page = page

    @property
    def all_labels(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for family in self.after.values():
            for sample in family.samples:
                for name, value in sample.labels.items():
                    found.setdefault(name, set()).add(value)
        return found


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    folder = tmp_path_factory.mktemp("metrics")
    with vendors(folder) as simulated:
        site = site_of(folder, simulated.blocks("npl"), budget={"providers": {"npl": CAPS}})
        site.data["policy"] = {"rules": [RULE]}
        site.data["routing"] = {"currency": "EUR", "trunks": {"acme": TRUNK}}
        site.data["calls"] = {"enabled": True}
        site.write()
        with site.serve():
            url = f"http://127.0.0.1:{site.http_port}/metrics"
            attack(site.agi_port, 150, seed=1)
            _, before = request(url)
            attack(site.agi_port, 300, seed=2)
            _, after = request(url)
            yield Scraped(before, after, after)


def attack(port: int, count: int, seed: int) -> None:
    """Random dialling: numbers, callers, channels, arguments and scripts that nobody has seen before."""
    chance = random.Random(seed)

    def number() -> str:
        return f"447{chance.randrange(10**9):09d}"

    def calls() -> Iterator[Planned]:
        for index in range(count):
            odd = [
                call_of(reachable(index, seed), caller=number()),
                call_of(number(), number()),
                call_of(number(), "alice", f"profile={number()}"),
                call_of(number(), "alice", f"{number()}=yes"),
                Call((number(), number(), "-"), uniqueid=number()),
                Call((number(), UNIQUEID, number()), script=number(), uniqueid=UNIQUEID),
                Call(
                    (number(), UNIQUEID, "-", f"trunk={number()}", f"dialstatus={number()}"),
                    "result",
                    uniqueid=UNIQUEID,
                ),
                Call((number(), UNIQUEID, "-", f"trunk={number()}", "dialstatus=ANSWER"), "result", uniqueid=UNIQUEID),
                call_of(chance.randbytes(8).decode("latin-1").replace("\n", "").replace("\0", "")),
            ]
            yield Planned(environment(odd[index % len(odd)]), lambda _lines: True)

    run(calls(), port, Open(150), 60.0)


def families(page: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(page)}


def series(metrics: dict[str, Metric]) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {(s.name, tuple(sorted(s.labels.items()))) for m in metrics.values() for s in m.samples}


def test_random_dialling_makes_no_label_grow(scraped: Scraped) -> None:
    """A8: twice as many strangers make (nearly) no new series, and no number is in any."""
    new = series(scraped.after) - series(scraped.before)
    grown = {name for name, labels in new if not WORDS & dict(labels).keys()}
    assert grown == set(), "only a stable word that was not seen before may be new"
    assert len(series(scraped.after)) < 400

    numbers = [value for values in scraped.all_labels.values() for value in values if re.search(r"\d{7}", value)]
    assert numbers == []
    assert scraped.after["agi_lookup_calls"].samples
    assert {s.labels["why"] for s in scraped.after["agi_lookup_sessions_refused"].samples} >= {
        "unknown_profile", "unknown_option", "wrong_uniqueid", "unknown_script", "bad_dialstatus",
    }  # fmt: skip


def table() -> dict[str, Described]:
    return {one.name: one for one in described()}


def test_a_live_server_tells_what_the_table_lists_and_nothing_else(scraped: Scraped) -> None:
    """The table is `docs/metrics.md`'s, which another test compares with the code."""
    listed = table()
    live = {f"{name}_total" if family.type == "counter" else name: family for name, family in scraped.after.items()}
    ours = {name: family for name, family in live.items() if name.startswith("agi_lookup_")}

    assert ours.keys() == listed.keys()
    for name, family in ours.items():
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels in (set(), set(listed[name].labels)), name
    assert {"process_resident_memory_bytes", "process_open_fds", "process_max_fds", "python_info"} <= live.keys()


@pytest.mark.parametrize(
    "name",
    [
        "budget_cap", "budget_spent", "cache_numbers", "cache_reads", "cache_tier_up", "file_bytes", "ledger_up",
        "loop_delay_seconds", "ready", "rule_mode", "sessions_limit", "source_requests_limit", "source_up",
        "spent_today", "state_dir_free_bytes", "trunk_calls",
    ],
)  # fmt: skip
def test_what_an_operator_needs_has_a_value(scraped: Scraped, name: str) -> None:
    assert scraped.after[f"agi_lookup_{name}"].samples


def test_what_is_spent_is_told_beside_its_cap(scraped: Scraped) -> None:
    def of(metric: str, **labels: str) -> float:
        (value,) = (s.value for s in scraped.after[metric].samples if labels.items() <= s.labels.items())
        return value

    spent = of("agi_lookup_budget_spent", name="npl", seconds="86400", currency="credits")
    assert of("agi_lookup_budget_cap", name="npl", seconds="86400", currency="credits") == 100
    assert 0 < spent <= 100
    assert of("agi_lookup_spent_today", provider="npl") == spent


# Alerts and plots


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> list[str]:
    """Of the alerts, and of every panel and variable of the dashboard."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    plots = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    plots += [note["expr"] for note in dashboard["annotations"]["list"]]
    return [rule["expr"] for rule in alerts()] + plots


def test_alerts_and_plots_ask_for_metrics_and_labels_that_exist(scraped: Scraped) -> None:
    """A name that is not told makes an alert that never fires."""
    known: dict[str, set[str]] = {"up": set()}
    for name, one in table().items():
        for suffix in ("_bucket", "_sum", "_count") if one.kind == "histogram" else ("",):
            known[f"{name}{suffix}"] = set(one.labels)
    for family in scraped.after.values():
        if family.name.startswith("process_"):
            known |= {sample.name: set() for sample in family.samples}

    assert [problem for query in queries() for problem in unknown(query, known)] == []


def unknown(query: str, known: dict[str, set[str]]) -> Iterator[str]:
    """Names and labels of a query that nothing tells."""
    bare = re.sub(r'"[^"]*"', '""', query)
    names = set(re.findall(r"\b(?:agi_lookup|process)_\w+|\bup\b", bare))
    matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"\"", bare)
    grouped = [label.strip() for found in re.findall(r"\bby \(([^)]*)\)", bare) for label in found.split(",")]
    labels = set.union(BY_PROMETHEUS, *(known.get(name, set()) for name in names))
    yield from (f"{query}: {name}" for name in names - known.keys())
    yield from (f"{query}: {label}" for label in {*matched, *grouped} - labels)
    if not names:
        yield f"{query}: asks for nothing of ours"


def test_values_that_alerts_look_for_are_told(scraped: Scraped) -> None:
    """The words in matchers are the code's."""
    sought = {(label, word) for query in queries() for label, word in re.findall(r'(\w+)="(\w+)"', query)}

    known = {
        "status": {"OK", "PARTIAL", "TIMEOUT", "DEGRADED", "EMERGENCY", "BADNUMBER"},
        "cache": {"miss", "fresh", "stale"},
        "mode": {"shadow", "enforce", "returned"},
        "seconds": {"86400"},
        "why": scraped.all_labels["why"],
        "result": {"answer"},
    }
    assert {(label, word) for label, word in sought if word not in known.get(label, ())} == set()


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["alert"]))
def test_each_alert_says_what_it_means_and_what_to_do(rule: dict[str, Any]) -> None:
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    page, _, anchor = notes["runbook"].partition("#")
    codes = sorted(ALARMS) if "{{" in anchor else [""]
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [code for code in codes if f'id="{anchor.split("{{")[0].strip()}{code}"' not in text] == []


def test_promtool_finds_nothing_wrong(scraped: Scraped, tmp_path: Path) -> None:
    """Rules, their tests, and the page itself. With CI=true it is a failure that promtool is missing."""
    promtool = shutil.which("promtool")
    if promtool is None:
        missing = "no promtool (in Debian's package prometheus): the alert rules are not tested"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    page = tmp_path / "page"
    page.write_text(scraped.page)
    for args, given in (
        (["check", "rules", str(RULES)], None),
        (["test", "rules", str(ALERT_TESTS)], None),
        (["check", "metrics"], page),
    ):
        with given.open("rb") if given else open("/dev/null", "rb") as stdin:
            done = subprocess.run(
                [promtool, *args], stdin=stdin, capture_output=True, text=True, check=False, timeout=60
            )
        assert done.returncode == 0, done.stdout + done.stderr
