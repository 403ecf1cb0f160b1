"""`docs/api.md` shows what the server answers: each example is held against the types that the OpenAPI document is made of."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from agi_lookup.web import figures, shapes
from agi_lookup.web.openapi import HOOK_REFUSALS, OPERATIONS, REFUSALS

TEXT: Final = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
SHOWN: Final[dict[str, Any]] = {
    "GET /api/v1/live": figures.Live,
    "GET /api/v1/providers": figures.Providers,
    "GET /api/v1/spend": figures.Spend,
    "GET /api/v1/calls": shapes.Calls,
    "GET /api/v1/calls/{id}": shapes.ExplainedCall,
    "GET /api/v1/rules": figures.Rules,
    "GET /api/v1/decks": figures.Decks,
    "GET /api/v1/lookup/{number}": shapes.Lookup,
    "GET /api/v1/explain/{number}": shapes.Explained,
    "GET, DELETE /api/v1/cache/{number}": shapes.CacheEntries,
    "GET /api/v1/balance": shapes.Accounts,
}


def sections() -> dict[str, str]:
    """By heading."""
    parts = re.split(r"^## (.+)$", TEXT, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def example(heading: str) -> dict[str, Any]:
    """The first of a section."""
    shown: dict[str, Any] = json.loads(re.findall(r"```json\n(.*?)```", sections()[heading], re.DOTALL)[0])
    return shown


@pytest.mark.parametrize("heading", SHOWN)
def test_each_example_is_an_answer(heading: str) -> None:
    converted = msgspec.convert(example(heading), SHOWN[heading])
    assert json.loads(msgspec.json.encode(converted)) == example(heading), "nothing is missing from it either"


def test_every_path_and_parameter_is_in_the_text() -> None:
    for operation in OPERATIONS:
        assert operation.path in TEXT
        for parameter in operation.parameters:
            assert parameter["in"] == "path" or f"{parameter['name']}=" in TEXT, parameter["name"]


def test_every_status_is_in_the_text() -> None:
    table = sections()["What comes back"]
    assert set(map(int, re.findall(r"^\| ([0-9]{3}) \|", table, re.MULTILINE))) >= REFUSALS.keys()


def test_every_status_of_a_webhook_is_in_the_text() -> None:
    table = re.findall(r"^\| ([0-9, ]+) \|", sections()["POST /hooks/{provider}/{secret}"], re.MULTILINE)
    assert set(map(int, ", ".join(table).split(", "))) == HOOK_REFUSALS.keys()


def test_the_words_for_refusals_are_those_of_the_source() -> None:
    """Whatever the web side refuses with is documented."""
    folder = Path(__file__).parents[2] / "agi_lookup"
    source = "".join(path.read_text() for path in [*folder.glob("web/*.py"), folder / "agi" / "request.py"])
    words = set(re.findall(r'(?:failed\([0-9]{3}, |_denied\(request, [0-9]{3}, |NumberError\()"([a-z_]+)"', source))
    words |= {
        word for word in re.findall(r'"((?:bad|unknown)_[a-z]+|option_twice)"', source) if word != "unknown_script"
    }
    missing = {word for word in words if f"`{word}`" not in sections()["What comes back"]}
    assert not missing
