"""How a described vendor is shown who asks: the `account` and `secret` of the block, placed as `auth` says.

A credential goes into a header or the body wherever the vendor takes it there: URLs are logged by everything in between.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, Field

from agi_lookup.providers.base import HttpRequest
from agi_lookup.providers.http_json_paths import PLACEHOLDER, STRICT

TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
"""RFC 9110 5.6.2."""
RESERVED_HEADERS: Final = frozenset({
    "accept-encoding", "connection", "content-length", "cookie", "expect", "host", "keep-alive", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
"""Ours to send, or nobody's: they would break the framing, or ask for what we do not read."""
SIGNED_FIELD: Final = re.compile(r"\{(path|timestamp|method|body)\}")


def header_name(name: str) -> str:
    if not TOKEN.fullmatch(name):
        raise ValueError("no name of an HTTP header")
    if name.lower() in RESERVED_HEADERS or name.lower().startswith("proxy-"):
        raise ValueError(f"the header {name} is not for a vendor; remove it")
    return name


def _fits_a_header(value: str) -> bool:
    return value.isascii() and value.isprintable()


def header_value(value: str) -> str:
    if not _fits_a_header(value):
        raise ValueError("an HTTP header holds printable ASCII only")
    if PLACEHOLDER.search(value):
        raise ValueError("a header takes no placeholder; put the number into path, query, form or json")
    return value


def _signed_template(template: str) -> str:
    if set(SIGNED_FIELD.sub("", template)) & {"{", "}"} or "{timestamp}" not in template or "{body}" not in template:
        raise ValueError("name {timestamp} and {body}, and {path} and {method} where the vendor signs them")
    return template


HeaderName: TypeAlias = Annotated[str, AfterValidator(header_name)]
HeaderValue: TypeAlias = Annotated[str, AfterValidator(header_value)]
FieldName: TypeAlias = Annotated[str, Field(min_length=1, max_length=64)]


class Open(BaseModel):
    """The vendor knows us by our address."""

    model_config = STRICT

    type: Literal["none"] = "none"


class Basic(BaseModel):
    model_config = STRICT

    type: Literal["basic"]


class Bearer(BaseModel):
    model_config = STRICT

    type: Literal["bearer"]


class InHeader(BaseModel):
    """`secret` and `account` are names of headers; `prefix` stands before the secret (`App `)."""

    model_config = STRICT

    type: Literal["header"]
    secret: HeaderName
    account: HeaderName | None = None
    prefix: HeaderValue = ""


class InFields(BaseModel):
    """`secret` and `account` are names of fields of the body, or of the query where the vendor leaves no choice."""

    model_config = STRICT

    type: Literal["query", "form", "json"]
    secret: FieldName
    account: FieldName | None = None


class Signed(BaseModel):
    """HMAC-SHA256 in hex under the secret, over `signs`: `{path}` is that of the request without that of `base_url`."""

    model_config = STRICT

    type: Literal["hmac"]
    account: HeaderName
    signature: HeaderName
    timestamp: HeaderName
    signs: Annotated[str, AfterValidator(_signed_template)]


Auth: TypeAlias = Annotated[Open | Basic | Bearer | InHeader | InFields | Signed, Field(discriminator="type")]


def problem(auth: Auth, account: str, secret: str) -> tuple[str, str] | None:
    """Why these credentials could not be sent: the key at fault and what to do. Repeats none of them."""
    if isinstance(auth, Open):
        return ("auth", "missing; say how the secret is sent, e.g. `{type: bearer}`") if account or secret else None
    if not secret:
        return "secret", f"missing; the vendor wants it (auth.type is {auth.type})"
    if not account and (isinstance(auth, Basic | Signed) or getattr(auth, "account", None)):
        return "account", f"missing; the vendor wants it (auth.type is {auth.type})"
    if isinstance(auth, Basic) and ":" in account:
        return "account", "must not have a colon (RFC 7617)"
    return _unfit_for_headers(auth, account, secret)


def _unfit_for_headers(auth: Auth, account: str, secret: str) -> tuple[str, str] | None:
    for key, value, kinds in (("secret", secret, Bearer | InHeader), ("account", account, InHeader | Signed)):
        if isinstance(auth, kinds) and not _fits_a_header(value):
            return key, "has characters that no HTTP header may carry"
    return None


def authorised(request: HttpRequest, path: str, auth: Auth, account: str, secret: str, now: float) -> HttpRequest:
    """The request with its credentials; `path` is what a signature covers of the URL. `now` is Unix seconds."""
    match auth:
        case Basic():
            pair = base64.b64encode(f"{account}:{secret}".encode()).decode()
            return _with_headers(request, {"Authorization": f"Basic {pair}"})
        case Bearer():
            return _with_headers(request, {"Authorization": f"Bearer {secret}"})
        case InHeader():
            named = {auth.account: account} if auth.account else {}
            return _with_headers(request, {**named, auth.secret: f"{auth.prefix}{secret}"})
        case InFields():
            return _with_fields(request, auth, account, secret)
        case Signed():
            return _with_headers(request, _signature(request, path, auth, account, secret, now))
    return request


def _with_headers(request: HttpRequest, headers: Mapping[str, str]) -> HttpRequest:
    return replace(request, headers={**request.headers, **headers})


def _with_fields(request: HttpRequest, auth: InFields, account: str, secret: str) -> HttpRequest:
    fields = (*(((auth.account, account),) if auth.account else ()), (auth.secret, secret))
    if auth.type == "query":
        return replace(request, query=(*request.query, *fields))
    if auth.type == "form":
        return replace(request, form=(*(request.form or ()), *fields))
    body = request.json if isinstance(request.json, dict) else {}
    return replace(request, json={**body, **dict(fields)})


def _signature(
    request: HttpRequest, path: str, auth: Signed, account: str, secret: str, now: float
) -> Mapping[str, str]:
    said = {"path": path, "timestamp": str(int(now)), "method": request.method, "body": (request.body or b"").decode()}
    message = SIGNED_FIELD.sub(lambda field: said[field[1]], auth.signs)
    signature = hmac.new(secret.encode(), message.encode(), "sha256").hexdigest()
    return {auth.account: account, auth.timestamp: said["timestamp"], auth.signature: signature}
