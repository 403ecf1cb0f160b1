"""What is asked of a described vendor: one request, with the number in its places."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from agi_lookup.providers.base import HttpRequest
from agi_lookup.providers.http_json_auth import Auth, HeaderName, HeaderValue, InFields, Signed
from agi_lookup.providers.http_json_paths import STRICT, Template, checked_template, fill

URL_PATH: Final = re.compile(r"(/[A-Za-z0-9._~+,;=:@{}-]+)*/?")
DOTS_ONLY: Final = re.compile(r"/\.+(/|$)")
JSON_TYPE: Final = "application/json"


def _url_path(path: str) -> str:
    if not URL_PATH.fullmatch(path) or DOTS_ONLY.search(path):
        raise ValueError("no path; begin with /, and put what would follow a ? under `query`")
    return checked_template(path)


def _json_template(value: object) -> object:
    """A text is taken as JSON: every YAML value of a config is text, so it is the way to send numbers and booleans."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("no JSON; write a mapping, or JSON in quotes") from None
    return _texts(value, checked_template)


def _texts(value: Any, change: Callable[[str], str]) -> Any:
    """`value` with each text in it changed; keys are kept."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_texts(item, change) for item in value]
    return {key: _texts(item, change) for key, item in value.items()} if isinstance(value, dict) else value


class Request(BaseModel):
    """The number goes where `{e164}`, `{digits}` or `{national}` stands."""

    model_config = STRICT

    method: Literal["GET", "POST"] = "GET"
    path: Annotated[str, AfterValidator(_url_path)] = Field(default="", description="added to base_url")
    query: dict[str, Template] = Field(default_factory=dict)
    form: dict[str, Template] | None = None
    json_: Annotated[Any, BeforeValidator(_json_template)] = Field(default=None, alias="json")
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.form is not None and self.json_ is not None:
            raise ValueError("a request has a form or json, not both")
        if self.method == "GET" and (self.form is not None or self.json_ is not None):
            raise ValueError("a GET has no form and no json; use query, or `method: POST`")
        if any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("headers: credentials belong under account, secret and auth, where nothing shows them")
        return self

    def for_number(self, e164: str, base_url: str, *, raw: bool) -> tuple[HttpRequest, str]:
        """The request, and its path as a signature covers it; `raw`: its JSON as the bytes that will be signed."""
        path = fill(self.path, e164)
        body = _texts(self.json_, lambda text: fill(text, e164))
        as_bytes = raw and body is not None
        request = HttpRequest(
            self.method,
            base_url.rstrip("/") + path,
            query=_fields(self.query, e164),
            form=None if self.form is None else _fields(self.form, e164),
            json=None if as_bytes else body,
            body=json.dumps(body, separators=(",", ":")).encode() if as_bytes else None,
            headers={**self.headers, **({"Content-Type": JSON_TYPE} if as_bytes else {})},
        )
        return request, path


def misplaced(auth: Auth, request: Request) -> str | None:
    """Why this request has no place for credentials of this kind, and what to do."""
    in_body = isinstance(auth, InFields) and auth.type != "query"
    if in_body and request.method != "POST":
        return f"type {auth.type} needs `request.method: POST`"
    if in_body and auth.type == "form" and request.json_ is not None:
        return "the request is json; use type json"
    if in_body and auth.type == "json" and (request.form is not None or not isinstance(request.json_, dict | None)):
        return "type json needs a json mapping in the request"
    if isinstance(auth, Signed) and request.form is not None:
        return "type hmac signs a json body, or none; not a form"
    return None


def _fields(templates: dict[str, str], e164: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, fill(template, e164)) for name, template in templates.items())
