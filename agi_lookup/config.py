"""The configuration: one strict YAML file, checked whole. What a part may be told is declared beside it; this file assembles.

Secrets are written as `env:NAME` or `file:/path` and are resolved here; they live on as `SecretStr` and are never printed.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
)
from pydantic_core import ErrorDetails

from agi_lookup.agi.words import NEEDS, NO_TOKEN
from agi_lookup.cache.valkey.options import SharedOptions
from agi_lookup.calls.options import CallLogOptions
from agi_lookup.cluster.options import ClusterOptions
from agi_lookup.domain.dial_plan import DialPlan, known_country
from agi_lookup.domain.errors import ConfigError
from agi_lookup.domain.model import Facet, NumberType
from agi_lookup.lookup.caps import BudgetOptions
from agi_lookup.lookup.freshness import Lifetimes
from agi_lookup.lookup.hedge import BUDGET_SUFFIX, HedgeOptions
from agi_lookup.policy.rules import PolicyOptions
from agi_lookup.providers import loading
from agi_lookup.providers.base import PLAN, SourceOptions
from agi_lookup.providers.notices import LATE_S
from agi_lookup.routing.options import RoutingOptions
from agi_lookup.strict_yaml import Document, KeyPath, load

SEARCH: Final = ("./agi-lookup.yaml", "/etc/agi-lookup/agi-lookup.yaml")
ENVIRONMENT: Final = "AGI_LOOKUP_CONFIG"

Level = Literal["debug", "info", "warning", "error"]
Model = TypeVar("Model", bound=BaseModel)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerOptions(Section):
    """The FastAGI listener."""

    host: str = Field(default="127.0.0.1", description="where Asterisk connects to: loopback, or a private link")
    port: int = Field(default=4573, ge=0, le=65535, description="0: a free one")
    token: SecretStr | None = Field(default=None, description="what the dialplan sends as third argument")
    allow: tuple[Network, ...] = Field(default=_LOOPBACK, description="networks that may connect")
    max_connections: int = Field(default=12_000, ge=1, description="cut to the file limit")
    max_connections_per_source: int = Field(default=12_000, ge=1, description="of one address")
    max_lookups: int = Field(default=8_000, ge=1, description="lookups under way; above, calls are answered DEGRADED")
    environment_timeout_s: float = Field(default=2.0, gt=0, le=30, description="in which Asterisk has to say who calls")
    reply_timeout_s: float = Field(default=2.0, gt=0, le=30, description="in which Asterisk has to take the answer")
    shed_lag_s: float = Field(
        default=0.25, gt=0, le=5, description="event loop lag above which calls are answered DEGRADED"
    )
    drain_s: float = Field(default=2.5, ge=0, le=60, description="how long a stop waits for calls under way")

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

    enabled: bool = Field(default=True, description="without it there is no console, and no command can ask the server")
    host: str = Field(default="127.0.0.1", description="anything but loopback needs a token")
    port: int = Field(default=8573, ge=0, le=65535, description="0: a free one")
    token: SecretStr | None = Field(
        default=None, min_length=8, description="bearer token; required when host is not loopback"
    )
    recent_calls: int = Field(default=500, ge=0, le=10_000, description="kept in memory to be looked at")


class HooksOptions(Section):
    """Webhooks: `POST /hooks/{provider}/{webhook_secret}`."""

    host: str = Field(default="127.0.0.1", description="of that listener")
    port: int | None = Field(
        default=None, ge=0, le=65535, description="a listener on which nothing else is served; default: the one of http"
    )
    late_s: float = Field(
        default=LATE_S, ge=60, le=86_400, description="how long after its request a webhook is still taken"
    )


class CacheOptions(Section):
    memory_numbers: int = Field(default=100_000, ge=1, le=10_000_000)
    disk: bool = True
    disk_rows: int = Field(default=5_000_000, ge=1000)
    shared: SharedOptions | None = Field(default=None, description="a Valkey or Redis for several instances")
    lifetimes: Lifetimes = Lifetimes()


Country = Annotated[str, AfterValidator(known_country)]


class SourceUse(Section):
    """A provider at its place in a profile's order, and for which numbers and facts. Left out: for all."""

    provider: str = Field(description="its name under `providers`")
    countries: frozenset[Country] | None = Field(default=None, min_length=1, description="ISO 3166: only for these")
    except_countries: frozenset[Country] = Field(default=frozenset(), description="not for these")
    types: frozenset[NumberType] | None = Field(default=None, min_length=1, description="only for these")
    facets: frozenset[Facet] | None = Field(default=None, min_length=1, description="only to learn these")


class ProfileOptions(Section):
    """A named dial plan with its wants; the dialplan chooses it by `profile=NAME`."""

    dial_plan: DialPlan
    deadline_ms: int = Field(default=1000, ge=10, le=10_000)
    need: str = "identity+liveness"
    sources: tuple[str | SourceUse, ...] | None = Field(
        default=None, description="providers in order, by name or with conditions; default: all, as written"
    )
    hedge: HedgeOptions | None = Field(
        default=None, description="ask the next source too when one is slow; needs budget.profiles.NAME/hedge"
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
    prefix: str = Field(
        default="LOOKUP_",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,30}$",
        description="of the channel variables, but for LCR_",
    )


class LogOptions(Section):
    level: Level = Field(default="info", description="the least that is written; a line a call is `info`")


class Config(Section):
    """All of it. `providers` holds each block as its kind's own `Options`."""

    state_dir: Path = Path("/var/lib/agi-lookup")
    mccmnc_dir: Path | None = Field(default=None, description="folder of *.csv that override the shipped MCC/MNC table")
    server: ServerOptions = ServerOptions()
    http: HttpOptions = HttpOptions()
    hooks: HooksOptions = HooksOptions()
    cache: CacheOptions = CacheOptions()
    cluster: ClusterOptions = ClusterOptions()
    budget: BudgetOptions = BudgetOptions()
    providers: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")], Any] = Field(default_factory=dict)
    profiles: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")], ProfileOptions]
    policy: PolicyOptions = PolicyOptions()
    routing: RoutingOptions = RoutingOptions()
    calls: CallLogOptions = CallLogOptions()
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


def read_config(named: Path | None) -> Config:
    """The one named, else the one that is found. Raises `ConfigError`."""
    return read(find(named))


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
            return secret(node)
        except ConfigError as error:
            problems.append(_problem(path, document, at, str(error)))
            return ""
    return node


def secret(reference: str) -> str:
    """What `env:NAME` or `file:/path` stands for. Raises `ConfigError`."""
    kind, _, name = reference.partition(":")
    if kind == "env":
        if name not in os.environ:
            raise ConfigError(f"the environment variable {name} is not set")
        return os.environ[name]
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"the secret file {name} cannot be read ({type(error).__name__})") from None
    return text.strip("\r\n")


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
) -> dict[str, SourceOptions]:
    """Each block checked by its own kind's `Options`."""
    providers: dict[str, SourceOptions] = {}
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
    if PLAN in config.providers:
        problems.append(
            _problem(path, document, ("providers", PLAN), "the name is the numbering plan's; choose another")
        )
    for name, profile in config.profiles.items():
        for source in profile.sources or ():
            provider = source.provider if isinstance(source, SourceUse) else source
            if provider not in config.providers:
                where = ("profiles", name, "sources")
                problems.append(_problem(path, document, where, f"{provider!r} is not under providers"))
        purse = f"{name}{BUDGET_SUFFIX}"
        if profile.hedge is not None and purse not in config.budget.profiles:
            what = f'needs a cap of its own: budget.profiles."{purse}"'
            problems.append(_problem(path, document, ("profiles", name, "hedge"), what))
    if config.cluster.enabled and config.cluster.server is None and config.cache.shared is None:
        problems.append(
            _problem(path, document, ("cluster",), "say where: cluster.server.url, or cache.shared.url for both")
        )
    problems += _check_budget(config, document, path)
    problems += [
        _problem(path, document, ("routing", "profiles", name), f"{name!r} is not under profiles")
        for name in config.routing.profiles
        if name not in config.profiles
    ]
    hooked = any(isinstance(block, dict) and block.get("webhook_secret") for block in config.providers.values())
    if hooked and not config.http.enabled and config.hooks.port is None:
        problems.append(
            _problem(path, document, ("hooks", "port"), "needed for webhooks, because http.enabled is false")
        )
    if not is_loopback(config.http.host) and config.http.enabled and config.http.token is None:
        problems.append(_problem(path, document, ("http", "token"), "needed because http.host is not loopback"))
    if not is_loopback(config.server.host) and config.server.allow == _LOOPBACK:
        problems.append(
            _problem(
                path, document, ("server", "allow"), "server.host is not loopback: list the networks that may connect"
            )
        )
    return problems


def _check_budget(config: Config, document: Document, path: Path) -> list[str]:
    """A cap for a name that does not exist would cap nothing."""
    known = {
        "providers": set(config.providers),
        "profiles": {n + s for n in config.profiles for s in ("", BUDGET_SUFFIX)},
    }
    return [
        _problem(path, document, ("budget", kind, name), f"{name!r} is not under {kind}")
        for kind, names in known.items()
        for name in getattr(config.budget, kind)
        if name not in names
    ]


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def reachable(host: str) -> str:
    """Where to reach what listens on `host`, which may be everywhere."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"
