"""The configuration: one strict YAML file, checked whole. What a part may be told is declared beside it; this file assembles.

Secrets are written as `env:NAME` or `file:/path` and are resolved here; they live on as `SecretStr` and are never printed.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError, field_validator
from pydantic_core import ErrorDetails

from agi_lookup.agi.request import NEEDS, NO_TOKEN
from agi_lookup.domain.dial_plan import DialPlan
from agi_lookup.domain.errors import ConfigError
from agi_lookup.domain.model import NumberType
from agi_lookup.log import Level
from agi_lookup.lookup.freshness import Lifetimes
from agi_lookup.policy.rules import PolicyOptions
from agi_lookup.providers import loading
from agi_lookup.providers.base import ProviderOptions
from agi_lookup.providers.numbering_plan import NAME
from agi_lookup.strict_yaml import Document, KeyPath, load

SEARCH: Final = ("./agi-lookup.yaml", "/etc/agi-lookup/agi-lookup.yaml")
ENVIRONMENT: Final = "AGI_LOOKUP_CONFIG"

Model = TypeVar("Model", bound=BaseModel)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerOptions(Section):
    """The FastAGI listener."""

    host: str = "127.0.0.1"
    port: int = Field(default=4573, ge=0, le=65535)
    token: SecretStr | None = Field(default=None, description="what the dialplan sends as third argument")
    allow: tuple[Network, ...] = Field(default=_LOOPBACK, description="networks that may connect")
    max_connections: int = Field(default=12_000, ge=1, description="cut to the file limit")
    max_connections_per_source: int = Field(default=12_000, ge=1)
    max_lookups: int = Field(default=8_000, ge=1, description="lookups under way; above, calls are answered DEGRADED")
    environment_timeout_s: float = Field(default=2.0, gt=0, le=30)
    reply_timeout_s: float = Field(default=2.0, gt=0, le=30)
    shed_lag_s: float = Field(
        default=0.25, gt=0, le=5, description="event loop lag above which calls are answered DEGRADED"
    )
    drain_s: float = Field(default=2.5, ge=0, le=60)

    @field_validator("token")
    @classmethod
    def _token_fits_an_argument(cls, token: SecretStr | None) -> SecretStr | None:
        text = token.get_secret_value() if token else ""
        if token is not None and (
            not text.isascii() or not text.replace("_", "").replace("-", "").isalnum() or text == NO_TOKEN
        ):
            raise ValueError("use letters, digits, - and _ only: it goes through the dialplan's argument parser")
        return token


class HttpOptions(Section):
    """Health, metrics and the API for the command line."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(default=8573, ge=0, le=65535)
    token: SecretStr | None = Field(
        default=None, min_length=8, description="bearer token; required when host is not loopback"
    )


class CacheOptions(Section):
    memory_numbers: int = Field(default=100_000, ge=1, le=10_000_000)
    disk: bool = True
    disk_rows: int = Field(default=5_000_000, ge=1000)
    lifetimes: Lifetimes = Lifetimes()


class ProfileOptions(Section):
    """A named dial plan with its wants; the dialplan chooses it by `profile=NAME`."""

    dial_plan: DialPlan
    deadline_ms: int = Field(default=1000, ge=10, le=10_000)
    need: str = "identity+liveness"
    sources: tuple[str, ...] | None = Field(
        default=None, description="provider names in order; default: all, as written"
    )
    pay_for: frozenset[NumberType] | None = Field(default=None, description="number types that may cost money")
    pay_for_invalid: bool = Field(default=False, description="also pay for numbers outside the numbering plan's ranges")

    @field_validator("need")
    @classmethod
    def _need_is_known(cls, need: str) -> str:
        if need not in NEEDS:
            raise ValueError(f"use one of {', '.join(NEEDS)}")
        return need


class VariablesOptions(Section):
    prefix: str = Field(default="LOOKUP_", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,30}$")


class LogOptions(Section):
    level: Level = "info"


class Config(Section):
    """All of it. `providers` holds each block as its kind's own `Options`."""

    state_dir: Path = Path("/var/lib/agi-lookup")
    mccmnc_dir: Path | None = Field(default=None, description="folder of *.csv that override the shipped MCC/MNC table")
    server: ServerOptions = ServerOptions()
    http: HttpOptions = HttpOptions()
    cache: CacheOptions = CacheOptions()
    providers: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")], Any] = Field(default_factory=dict)
    profiles: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")], ProfileOptions]
    policy: PolicyOptions = PolicyOptions()
    variables: VariablesOptions = VariablesOptions()
    log: LogOptions = LogOptions()


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    config: Config
    path: Path


def find(path: Path | None, environ: Mapping[str, str] = os.environ) -> Path:
    """The config file: the one named, `$AGI_LOOKUP_CONFIG`, or the first of `SEARCH` that exists. Raises `ConfigError`."""
    if path is not None:
        return path
    if named := environ.get(ENVIRONMENT):
        return Path(named)
    for candidate in map(Path, SEARCH):
        if candidate.exists():
            return candidate
    raise ConfigError(f"no config found; name one with --config, set {ENVIRONMENT}, or write {SEARCH[1]}")


def read(path: Path) -> Config:
    """Raises `ConfigError`, one line a problem, each with file, line, path and what is wrong."""
    document = load(path)
    if not isinstance(document.data, dict):
        raise ConfigError(f"{path}: the config is empty or no mapping; start from config/quickstart.yaml")
    problems: list[str] = []
    data = _resolve_secrets(document.data, (), document, path, problems)
    config = _check(data, (), Config, document, path, problems)
    providers = _providers(data, document, path, problems)
    if config is not None:
        problems += _cross_check(config, document, path)
    if problems or config is None:
        raise ConfigError("\n".join(problems))
    return config.model_copy(update={"providers": providers})


def _resolve_secrets(node: Any, at: KeyPath, document: Document, path: Path, problems: list[str]) -> Any:
    if isinstance(node, dict):
        return {key: _resolve_secrets(value, (*at, key), document, path, problems) for key, value in node.items()}
    if isinstance(node, list):
        return [_resolve_secrets(value, (*at, index), document, path, problems) for index, value in enumerate(node)]
    if isinstance(node, str) and node.startswith(("env:", "file:")):
        try:
            return _secret(node)
        except ConfigError as error:
            problems.append(_problem(path, document, at, str(error)))
            return ""
    return node


def _secret(reference: str) -> str:
    kind, _, name = reference.partition(":")
    if kind == "env":
        if name not in os.environ:
            raise ConfigError(f"the environment variable {name} is not set")
        return os.environ[name]
    try:
        secret = Path(name).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"the secret file {name} cannot be read ({type(error).__name__})") from None
    return secret.strip("\r\n")


def _check(
    data: Any, at: KeyPath, model: type[Model], document: Document, path: Path, problems: list[str]
) -> Model | None:
    adapter = TypeAdapter(model)
    found = [
        item for item in _errors(adapter, data) if item["type"] == "extra_forbidden"
    ]  # also of keys without a value
    found += [item for item in _errors(adapter, _with_defaults(data)) if item["type"] != "extra_forbidden"]
    for item in found:
        location = (*at, *(part for part in item["loc"] if part != "[key]"))
        problem = _problem(path, document, location, _explain(item["type"], item["msg"]))
        where = problem[: problem.index(": ") + 2]
        if not any(said.startswith(where) for said in problems):  # a secret that could not be read is said once
            problems.append(problem)
    return None if found else adapter.validate_python(_with_defaults(data))


def _errors(adapter: TypeAdapter[Any], data: Any) -> list[ErrorDetails]:
    try:
        adapter.validate_python(data)
    except ValidationError as error:
        return error.errors(include_url=False, include_input=False, include_context=False)
    return []


def _with_defaults(node: Any) -> Any:
    """Without the keys that have no value: those mean their default."""
    if isinstance(node, dict):
        return {key: _with_defaults(value) for key, value in node.items() if value is not None}
    return [_with_defaults(item) for item in node] if isinstance(node, list) else node


def _explain(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "unknown key; remove it or check the spelling"
    if kind == "missing":
        return "missing; add it"
    return message.removeprefix("Value error, ")


def _problem(path: Path, document: Document, at: KeyPath, message: str) -> str:
    where = ".".join(str(part) for part in at)
    return f"{path}:{document.line(at)}: {where}: {message}" if where else f"{path}: {message}"


def _providers(
    data: Mapping[str, Any], document: Document, path: Path, problems: list[str]
) -> dict[str, ProviderOptions]:
    """Each block checked by its own kind's `Options`."""
    providers: dict[str, ProviderOptions] = {}
    blocks = data.get("providers") or {}
    for name, block in blocks.items() if isinstance(blocks, dict) else ():
        at: KeyPath = ("providers", name)
        if not isinstance(block, dict) or not isinstance(block.get("kind"), str):
            problems.append(_problem(path, document, at, "each provider needs a `kind`"))
            continue
        try:
            kind = loading.find(block["kind"])
        except ConfigError as error:
            problems.append(_problem(path, document, (*at, "kind"), str(error)))
            continue
        options = _check(block, at, kind.Options, document, path, problems)
        if options is not None:
            providers[name] = options
    return providers


def _cross_check(config: Config, document: Document, path: Path) -> list[str]:
    problems = []
    if "default" not in config.profiles:
        problems.append(_problem(path, document, ("profiles",), "there must be a profile named `default`"))
    if NAME in config.providers:
        problems.append(
            _problem(path, document, ("providers", NAME), "the name is the numbering plan's; choose another")
        )
    for name, profile in config.profiles.items():
        for source in profile.sources or ():
            if source not in config.providers:
                where = ("profiles", name, "sources")
                problems.append(_problem(path, document, where, f"{source!r} is not under providers"))
    if not _is_loopback(config.http.host) and config.http.enabled and config.http.token is None:
        problems.append(_problem(path, document, ("http", "token"), "needed because http.host is not loopback"))
    if not _is_loopback(config.server.host) and config.server.allow == _LOOPBACK:
        problems.append(
            _problem(
                path, document, ("server", "allow"), "server.host is not loopback: list the networks that may connect"
            )
        )
    return problems


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
