"""What a test wants the page to be told: the examples of `docs/api.md`, changed, in place of the server's answers."""

from __future__ import annotations

import copy
from typing import Any, Final

import msgspec
from playwright.sync_api import Route

from tests.console.conftest import Tab
from tests.web.test_documents import SHOWN, example

Json = dict[str, Any]

NOW: Final = 1_764_514_923.0
STEP_S: Final = 5
STEPS: Final = 12
SESSIONS: Final = (2, 3, 9, 4, 5, 6, 7, 8, 6, 5, 4, 3, 7)


def tell(tab: Tab, heading: str, **changed: Any) -> None:
    """From now on `GET /api/v1/...` is answered so. What the server could not say raises `msgspec.ValidationError`."""
    body = example(heading) | changed
    msgspec.convert(body, SHOWN[heading])

    def answer(route: Route) -> None:
        route.fulfill(json=body)

    tab.page.route(f"**{heading.removeprefix('GET ')}*", answer)


def provider(**changed: Any) -> Json:
    """The example's, changed: `health` and the like only where it is said."""
    one: Json = copy.deepcopy(example("GET /api/v1/providers")["providers"][0])
    for name, value in changed.items():
        one[name] = {**one[name], **value} if name in ("health", "latency_s") else value
    return one


def rule(**changed: Any) -> Json:
    first: Json = example("GET /api/v1/rules")["rules"][0]
    return first | changed


def tell_live(tab: Tab, history: list[Json]) -> None:
    """`history` ends with what is so now."""
    tell(tab, "GET /api/v1/live", **history[-1], alarms=[], history=history[:-1])


def minute() -> list[Json]:
    """Ten calls a second."""
    return [moment(step, step) for step in range(STEPS + 1)]


def moment(step: int, fifties: int) -> Json:
    """After `fifties` times 50 calls: 48 in time, 38 out of the cache; 20 took 1 ms, 40 10, 49 100 at most. One more was let go."""
    return {
        "now": NOW - (STEPS - step) * STEP_S,
        "started": NOW - 9000,
        "ready": True,
        "calls": {
            "total": fifties * 50,
            "in_time": fifties * 48,
            "by_status": {"OK": fifties * 50},
            "by_cache": {"fresh": fifties * 35, "stale": fifties * 3, "miss": fifties * 12},
            "by_action": {"allow": fifties * 50},
        },
        "call_seconds": {
            "le": [0.001, 0.01, 0.1, 1.0],
            "count": [fifties * count for count in (20, 40, 49, 50)],
            "total": fifties * 50,
            "sum": 0.0,
        },
        "sessions": SESSIONS[step],
        "lookups": step,
        "loop_lag_s": 0.0004,
        "would_block": 0,
        "blocked": 0,
        "refused": {"too_late": fifties},
        "sources": {"npl": {"answer": fifties * 3, "timeout": fifties * 2, "rate_limited": fifties}},
        "bugs": 0,
        "log_dropped": 0,
    }
