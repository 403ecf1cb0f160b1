"""The document at /api/v1/openapi.json holds what the server does: schemathesis asks a running server all that it describes.

Both ways: what the document allows is answered as it says, what it does not is refused; and nothing at all makes the server fail.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case, CheckFunction
from schemathesis.specs.openapi.checks import positive_data_acceptance
from schemathesis.specs.openapi.definitions import OPENAPI_31

from agi_lookup.web.openapi import document
from tests.processes import make_site
from tests.test_daemon import fetch, simulator

EXAMPLES = 12
DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
PLAIN = ("/live", "/spend", "/calls", "/providers", "/rules", "/decks", "/healthz", "/metrics", ".json")
"""Elsewhere a number or a name of the config is asked for: other text is refused, with a 400 that the document names."""
schema = schemathesis.openapi.from_dict(document())


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a simulated provider."""
    folder: Path = tmp_path_factory.mktemp("served")
    with simulator(folder) as npl:
        site = make_site(folder, provider=npl)
        site.data["calls"] = {"enabled": True}
        site.write()
        with site.serve() as server:
            site.call("447400123401")
            yield f"http://127.0.0.1:{site.http_port}"
            assert not server.lines("a bug while answering over http"), server.log.read_text()[-3000:]


@schema.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_the_server_does_what_its_document_says(case: Case[Any], base: str) -> None:
    """A6, A7, G9: no status, type or body that the document does not name; nothing invalid is taken; never a 5xx."""
    excluded: list[CheckFunction] | None = None if case.path.endswith(PLAIN) else [positive_data_acceptance]
    case.call_and_validate(base_url=base, excluded_checks=excluded)


def test_the_server_serves_the_document(base: str) -> None:
    assert fetch(f"{base}/api/v1/openapi.json") == document()


def faults(served: dict[str, Any]) -> list[str]:
    """By the schemas that the OpenAPI Initiative publishes for 3.1, and by JSON Schema 2020-12 for what these leave open."""
    found = [str(error) for error in jsonschema_rs.Draft202012Validator(OPENAPI_31).iter_errors(served)]
    for part in parts(served):
        if "schema" in part and not jsonschema_rs.meta.is_valid({"$schema": DRAFT, **part["schema"]}):
            found.append(f"no JSON Schema: {part['schema']}")
        if "$ref" in part and not is_there(served, part["$ref"]):
            found.append(f"leads nowhere: {part['$ref']}")
    for name, one in served["components"]["schemas"].items():
        if not jsonschema_rs.meta.is_valid({"$schema": DRAFT, **one}):
            found.append(f"no JSON Schema: {name}")
    for path, operations in served["paths"].items():
        named = sorted(re.findall(r"{(\w+)}", path))
        for method, one in operations.items():
            given = [(parameter["in"], parameter["name"]) for parameter in one.get("parameters", ())]
            if named != sorted(name for where, name in given if where == "path") or len(given) != len(set(given)):
                found.append(f"parameters of {method} {path}: {given}")
    ids = [one["operationId"] for operations in served["paths"].values() for one in operations.values()]
    return found + [f"operationId twice: {one}" for one in set(ids) if ids.count(one) > 1]


def parts(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts(one)


def is_there(served: dict[str, Any], reference: str) -> bool:
    place: Any = served
    for name in reference.removeprefix("#/").split("/"):
        place = place.get(name) if isinstance(place, dict) else None
    return reference.startswith("#/") and place is not None


def test_it_is_openapi_3_1(base: str) -> None:
    assert faults(fetch(f"{base}/api/v1/openapi.json")) == []


LOOKUP: Final = "/api/v1/lookup/{number}"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda d: d.update(openapi="3.0.3"), "3.0.3"),
        (lambda d: d["info"].pop("version"), "version"),
        (lambda d: d["paths"].update({"no-slash": {}}), "no-slash"),
        (lambda d: d["paths"][LOOKUP]["get"]["responses"]["400"].pop("description"), "description"),
        (lambda d: d["paths"][LOOKUP]["get"]["parameters"].pop(0), "parameters of get"),
        (lambda d: d["paths"][LOOKUP]["get"]["parameters"][1]["schema"].update(type="text"), "no JSON Schema"),
        (lambda d: d["components"]["schemas"]["Live"].update(type="text"), "no JSON Schema: Live"),
        (lambda d: d["components"]["schemas"].pop("Error"), "leads nowhere: #/components/schemas/Error"),
        (lambda d: d["paths"]["/healthz"]["get"].update(operationId="get_readyz"), "operationId twice"),
    ],
    ids=["version", "info", "path", "response", "parameter", "schema", "component", "reference", "id"],
)
def test_what_is_wrong_with_it_would_be_found(spoil: Callable[[dict[str, Any]], object], told: str) -> None:
    spoiled = copy.deepcopy(document())
    spoil(spoiled)

    assert any(told in fault for fault in faults(spoiled))
