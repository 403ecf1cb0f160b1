"""The benchmark of published limits counts right, and its vendors refuse what is beyond them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agi_lookup.bench import published
from agi_lookup.bench.gauged_vendor import Gauge, Meter
from agi_lookup.bench.limits import measured, shares_of
from agi_lookup.bench.published import Case
from agi_lookup.bench.report import as_text, limit_goals

pytestmark = pytest.mark.alone

NOTHING = Gauge(at=100, came_at=99, came=0, under_way_s=0, most=0, taken=0, refused=0, numbers=0)
HLR_LOOKUP, NPL, SMS_PARTNER, CHECKMOBI = published.in_short()


def test_what_is_under_way_counts_by_its_time() -> None:
    meter = Meter(5)
    meter.enter(11)  # one for 2 s
    meter.enter(13)  # two for 1 s
    meter.leave(14)  # one for 4 s
    meter.until(18)
    assert meter.under_way_s == 2 + 2 + 4
    assert (meter.came, meter.came_at, meter.most) == (2, 13, 2)


def test_the_limits_are_those_that_vendors_publish() -> None:
    hlr, npl, sms, one_by_one, checkmobi = published.as_published()
    assert (hlr.at_once, hlr.latency_s, hlr.numbers, hlr.numbers_per_s) == (210, 10, 80, 1680)
    assert (npl.at_once, npl.numbers, npl.numbers_per_s) == (5, 10, 50)
    assert (sms.per_minute, sms.numbers, sms.numbers_per_s) == (360, 500, 3000)
    assert one_by_one.per_minute == 360
    assert (checkmobi.numbers, checkmobi.numbers_per_s) == (1000, None)


def test_a_rate_is_measured_for_longer_than_the_minute_that_it_is_counted_in() -> None:
    sms = published.sms_partner()
    assert sms.warm_up_s + sms.windows * sms.window_s > 61


@pytest.mark.parametrize("case", published.as_published(), ids=lambda case: case.title)
def test_more_is_wanted_than_may_pass(case: Case) -> None:
    assert case.demand_per_s > case.passes_per_s
    assert case.line >= 2 * case.numbers


@pytest.mark.parametrize(
    ("case", "after", "shares"),
    [
        (
            published.hlr_lookup(),
            Gauge(at=110, came_at=109, came=200, under_way_s=2079, most=210, taken=200, refused=0, numbers=15_200),
            {"numbers": 0.95, "at_once": 0.99},
        ),
        (
            published.sms_partner(),
            Gauge(at=160, came_at=129, came=174, under_way_s=9, most=2, taken=174, refused=0, numbers=87_000),
            {"numbers": 1, "per_minute": 0.966667},
        ),
        (
            published.checkmobi(),
            Gauge(at=110, came_at=109, came=4, under_way_s=9, most=2, taken=4, refused=0, numbers=3_900),
            {"numbers": 0.975},
        ),
    ],
    ids=["at once", "a minute", "numbers"],
)
def test_shares_are_of_each_part_that_is_published(case: Case, after: Gauge, shares: dict[str, float]) -> None:
    assert shares_of(case, NOTHING, after) == pytest.approx(shares)


@pytest.mark.parametrize("case", published.as_published(), ids=lambda case: case.title)
def test_where_no_request_came_nothing_was_used(case: Case) -> None:
    later = Gauge(at=110, came_at=99, came=0, under_way_s=0, most=0, taken=0, refused=0, numbers=0)
    assert set(shares_of(case, NOTHING, later).values()) == {0}


@pytest.mark.parametrize("case", published.in_short(), ids=lambda case: case.title)
async def test_all_of_a_limit_is_reached_and_nobody_is_refused(case: Case, tmp_path: Path) -> None:
    """The whole of it, small: simulator, config, ledger, HTTP and webhooks. Shares are a matter of time, and are not judged."""
    used = await measured(case, tmp_path / "case")
    assert used["refused"] == 0
    assert used["results"]["answer"] > 0
    assert used["most_at_once"] == case.at_once or case.at_once is None
    assert all(share <= 100.001 for name, share in used["shares_percent"].items() if name != "per_minute")


@pytest.mark.parametrize(
    "case",
    [
        replace(HLR_LOOKUP, account={**HLR_LOOKUP.account, "max_connections": 19}),
        replace(NPL, account={**NPL.account, "max_connections": 4}),
        replace(NPL, account={**NPL.account, "max_numbers": 9}),
        replace(SMS_PARTNER, account={**SMS_PARTNER.account, "per_minute": 12}),
        replace(CHECKMOBI, account={**CHECKMOBI.account, "max_numbers": 999}),
    ],
    ids=["HLR Lookup at once", "NPL at once", "NPL numbers", "SMS Partner a minute", "CheckMobi numbers"],
)
async def test_the_vendor_refuses_one_more_than_its_limit(case: Case, tmp_path: Path) -> None:
    """Else nothing would follow from nobody being refused."""
    assert (await measured(replace(case, windows=1, window_s=2.0), tmp_path / "case"))["refused"] > 0


def found(**changes: Any) -> dict[str, Any]:
    return {
        "title": "HLR Lookup",
        "limit": {"at_once": 210, "per_minute": None, "numbers": 80, "latency_s": 10.0, "numbers_per_s": 1680.0},
        "used_percent": 95.0,
        "used_percent_by_window": {"median": 95.0, "low": 94.0, "high": 96.0},
        "numbers_per_s": 1596.0,
        "answers_per_s": 1596.0,
        "webhooks_per_s": 0.0,
        "refused": 0,
        "failed": 0,
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "met"),
    [({}, [True, True]), ({"used_percent": 94.9}, [False, True]), ({"refused": 1}, [True, False])],
    ids=["both met", "too little used", "one refused"],
)
def test_a_limit_wants_ninety_five_percent_and_no_refusal(changes: dict[str, Any], met: list[bool]) -> None:
    assert [goal.met for goal in limit_goals(found(**changes))] == met


def test_the_text_shows_what_was_used_beside_the_limit() -> None:
    minute = {"at_once": None, "per_minute": 360, "numbers": 500, "latency_s": 0.2, "numbers_per_s": 3000.0}
    numbers = {"at_once": None, "per_minute": None, "numbers": 1000, "latency_s": 2, "numbers_per_s": None}
    limits = [
        found(refused=7),
        found(title="SMS Partner", limit=minute, webhooks_per_s=5.7),
        found(title="CheckMobi", limit=numbers),
    ]
    imports = {"rows": 0, "import_rows_per_s": 0, "import_rows_per_cpu_s": 0}
    others = {"hits": {"sides": {}, "ratios": {}}, "routes": [], "imports": imports, "goals": []}
    text = as_text({**others, "limits": limits})
    hlr, sms, checkmobi = (" ".join(line.split()) for line in text.splitlines() if " x " in line)
    assert hlr == "HLR Lookup 210 x 80 95.0 % 94.0 to 96.0 1596 1680 1596 0 7 0"
    assert sms == "SMS Partner 360/min x 500 95.0 % 94.0 to 96.0 1596 3000 1596 6 0 0"
    assert checkmobi == "CheckMobi x 1000 95.0 % 94.0 to 96.0 1596 - 1596 0 0 0"
