"""`GET /api/v1/openapi.json`: the API as an OpenAPI 3.1 document, its schemas made of the types in `shapes` and `figures`.

Hand-kept is only what types do not say: paths, parameters, statuses. A test holds the running server against it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web

from agi_lookup import __version__
from agi_lookup.agi.request import TIMEOUT_MS
from agi_lookup.agi.words import NEEDS
from agi_lookup.web import figures, hooks, shapes
from agi_lookup.web.answers import JSON, answer, query

PATH: Final = "/api/v1/openapi.json"

Json = dict[str, Any]


def _in_query(name: str, schema: Json, text: str) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": text}


def _in_path(name: str, text: str, example: str) -> Json:
    schema = {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": text, "example": example}


_YES: Final[Json] = {"type": "string", "enum": ["yes", "no"], "default": "no"}
_NAME: Final[Json] = {"type": "string"}
_NUMBER: Final = _in_path("number", "As dialled, or E.164 with its +", "+447400123456")
_PROFILE: Final = _in_query("profile", _NAME, "Dial plan, wants and budgets: a profile of the config")
_PROVIDER: Final = _in_query("provider", _NAME, "Ask only this one")
_ASKED: Final = (
    _NUMBER,
    _PROFILE,
    _in_query("need", {"type": "string", "enum": list(NEEDS)}, "What to find out, and pay for"),
    _in_query(
        "timeout_ms", {"type": "integer", "minimum": TIMEOUT_MS.start, "maximum": TIMEOUT_MS.stop - 1}, "Deadline"
    ),
    _in_query("fresh", _YES, "Pass by the cache"),
    _PROVIDER,
)


class Operation(NamedTuple):
    """`answers` is the type of a 200, None for plain text; `refusals` are its other statuses, beside those that all have."""

    method: str
    path: str
    tag: str
    summary: str
    answers: Any
    parameters: tuple[Json, ...] = ()
    refusals: tuple[int, ...] = ()
    open: bool = False


OPERATIONS: Final = (
    Operation("get", "/healthz", "health", "Does the process run?", shapes.Health, open=True),
    Operation("get", "/readyz", "health", "Are calls answered? 503 when not", shapes.Ready, open=True),
    Operation("get", "/metrics", "health", "Prometheus metrics", None),
    Operation("get", PATH, "health", "This document", Json, refusals=(400,)),
    Operation(
        "get", "/api/v1/live", "server", "What happens now: counters and gauges, for plots", figures.Live,
        (_in_query("history", _YES, "Add the last quarter of an hour"),), (400,),
    ),
    Operation("get", "/api/v1/providers", "server", "How the sources do", figures.Providers, (), (400,)),
    Operation(
        "get", "/api/v1/spend", "server", "What was spent, and what the caps leave", figures.Spend,
        (_in_query("days", {"type": "integer", "minimum": 1, "maximum": 366, "default": 7}, "Today and those before"),),
        (400, 503),
    ),
    Operation(
        "get", "/api/v1/calls", "server", "The last calls, the newest first, numbers masked", shapes.Calls,
        (_in_query("limit", {"type": "integer", "minimum": 1, "maximum": 500, "default": 100}, "How many at most"),),
        (400,),
    ),
    Operation(
        "get", "/api/v1/calls/{id}", "server", "One of them, and how it was decided", shapes.ExplainedCall,
        (_in_path("id", "From the list", "9f3c-1"),), (400, 404),
    ),
    Operation("get", "/api/v1/rules", "server", "The rules that block, and how they do", figures.Rules, (), (400,)),
    Operation("get", "/api/v1/decks", "server", "What calls are routed by", figures.Decks, (), (400, 503)),
    Operation(
        "get", "/api/v1/lookup/{number}", "number", "Look a number up. It may cost money", shapes.Lookup,
        (
            *_ASKED,
            _in_query("variables", _YES, "Add what the dialplan would get"),
            _in_query("wait_s", {"type": "number", "exclusiveMinimum": 0, "maximum": 3600}, "For who has time: calls go first"),
        ),
        (400,),
    ),
    Operation(
        "get", "/api/v1/explain/{number}", "number", "The same, with every step. It may cost money", shapes.Explained,
        _ASKED, (400,),
    ),
    Operation(
        "get", "/api/v1/cache/{number}", "number", "What is cached", shapes.CacheEntries, (_NUMBER, _PROFILE), (400, 503)
    ),
    Operation(
        "delete", "/api/v1/cache/{number}", "number", "Erase a number from all that is kept, and say how much that was",
        shapes.Forgotten, (_NUMBER, _PROFILE), (400, 503),
    ),
    Operation(
        "get", "/api/v1/privacy/{number}", "number", "All that is kept of a number, by where", shapes.Kept,
        (_NUMBER, _PROFILE), (400, 503),
    ),
    Operation(
        "get", "/api/v1/balance", "server", "Ask the vendors what the accounts hold", shapes.Accounts, (_PROVIDER,), (400,)
    ),
)  # fmt: skip

REFUSALS: Final = {
    400: "The number or a parameter is refused",
    401: "No token, or a wrong one",
    403: "A request of another site's, or none that names a loopback host while no token is set",
    404: "It is not there",
    429: "Too many wrong tokens from this address",
    500: "A bug",
    503: "Something that it needs cannot answer now",
}
ALWAYS: Final = (401, 403, 429, 500)
HOOK_REFUSALS: Final = {
    400: "It cannot be read",
    401: "It is not signed as the vendor signs",
    404: "An unknown provider, a wrong secret, or an address that is not let in",
    408: f"The body did not come within {hooks.BODY_S:.0f} seconds",
    413: "The body is too long",
    415: "The body is compressed",
    500: "A bug",
}


async def handle(request: web.Request) -> web.Response:
    query(request, ())
    return answer(document())


@lru_cache(maxsize=1)
def document() -> Json:
    """OpenAPI 3.1: https://spec.openapis.org/oas/v3.1.1.html"""
    types = [one.answers for one in OPERATIONS if one.answers is not None] + [shapes.Error]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    *answers, error = schemas
    made = iter(answers)
    paths: dict[str, Json] = {}
    for one in OPERATIONS:
        schema = next(made) if one.answers is not None else None
        paths.setdefault(one.path, {})[one.method] = _operation(one, schema, error)
    paths[hooks.PATH] = {"post": _hook()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "agi_lookup",
            "version": __version__,
            "description": "Where a number really is, before it is dialled: the server's own API. See docs/api.md.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "tags": [{"name": "number"}, {"name": "server"}, {"name": "health"}, {"name": "webhook"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "http.token, where one is set"}
            },
        },
    }


def _operation(one: Operation, schema: Json | None, error: Json) -> Json:
    if schema is None:
        content: Json = {"text/plain": {"schema": {"type": "string"}}}
    else:
        content = {JSON: {"schema": schema}}
    responses: dict[str, Json] = {"200": {"description": "Done", "content": content}}
    for status in sorted({*one.refusals, *(() if one.open else ALWAYS)}):
        responses[str(status)] = {"description": REFUSALS[status], "content": {JSON: {"schema": error}}}
    if one.path == "/readyz":
        responses["503"] = {"description": "Not ready", "content": content}
    found: Json = {
        "operationId": _id(one),
        "tags": [one.tag],
        "summary": one.summary,
        "responses": responses,
    }
    if one.parameters:
        found["parameters"] = list(one.parameters)
    if one.open:
        found["security"] = [{}]
    return found


def _hook() -> Json:
    """Let in by its path alone; the body is as the vendor has it, and a refusal says nothing but its status."""
    refusal = {"text/plain": {"schema": {"type": "string"}}}
    refused = {str(status): {"description": text, "content": refusal} for status, text in HOOK_REFUSALS.items()}
    return {
        "operationId": "post_hooks_by_provider_by_secret",
        "tags": ["webhook"],
        "summary": "What a vendor reports by webhook. With hooks.port, it is on that listener alone",
        "security": [{}],
        "parameters": [
            _in_path("provider", "Its name in the config", "sms"),
            _in_path("secret", "Its webhook_secret in the config", "not-the-secret"),
        ],
        "requestBody": {"required": True, "content": {JSON: {"schema": {"type": ["object", "array"]}}}},
        "responses": {"200": {"description": "Taken; the answer is empty"}, **refused},
    }


def _id(one: Operation) -> str:
    words = (
        one.path.removeprefix("/api/v1/").replace("{", "by/").replace("}", "").replace(".", "/").strip("/").split("/")
    )
    return "_".join((one.method, *words))
