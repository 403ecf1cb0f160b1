"""What is asked, and how answers are read. Readers raise `ValueError` with one line for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, get_args

from pydantic import SecretStr

from agi_lookup.domain.dial_plan import known_country
from agi_lookup.domain.errors import ConfigError
from agi_lookup.providers import loading

CAPS: Final = {"credits": Decimal(1000), "EUR": Decimal(10), "USD": Decimal(10)}
"""A day's, until somebody knows better: enough to try things, and no month's salary."""
NO_CAP: Final = "none"
TYPE: Final = "type"
DESCRIBED: Final = ("preset", "account", "secret")
"""What a kind that vendors are described to (`http_json`) is told of an account."""


@dataclass(frozen=True, slots=True)
class Question:
    """One key of a provider's block."""

    key: str
    secret: bool
    about: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """One provider block: `values` by key, secrets as `env:NAME` or `file:/path`."""

    name: str
    kind: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answers:
    country: str
    state_dir: str
    outside_line: tuple[str, ...] = ()
    deadline_ms: int = 1000
    accounts: tuple[Account, ...] = ()
    caps: Mapping[str, tuple[str, Decimal]] = field(default_factory=dict)  # by account: currency and amount a day


def questions(kind: str) -> list[Question]:
    """What a provider of this kind cannot do without. Raises `ConfigError` for an unknown one."""
    fields = loading.find(kind).Options.model_fields
    wanted = [name for name, info in fields.items() if name != "kind" and info.is_required()]
    if "preset" in fields:
        wanted = list(DESCRIBED)
    return [
        Question(name, is_secret(kind, name), fields[name].description or "", _presets() if name == "preset" else ())
        for name in wanted
    ]


def is_secret(kind: str, key: str) -> bool:
    """A key that does not exist is none: the config's check names it."""
    info = loading.find(kind).Options.model_fields.get(key)
    return info is not None and SecretStr in (info.annotation, *get_args(info.annotation))


def _presets() -> tuple[str, ...]:
    from agi_lookup.providers.http_json import presets  # noqa: PLC0415 - one kind's

    return presets()


def variable(name: str, key: str) -> str:
    """The environment variable that a key is looked for in, unless told otherwise."""
    return re.sub(r"[^A-Z0-9]", "_", f"{name}_{key}".upper())


def country(text: str) -> str:
    return known_country(text.strip().upper())


def digits(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,8}", text):
        raise ValueError("an outside line is 1 to 8 digits")
    return text


def digits_or_none(text: str) -> str:
    return digits(text) if text else ""


def deadline_ms(text: str) -> int:
    if not (re.fullmatch(r"[0-9]{2,5}", text) and 10 <= int(text) <= 10_000):
        raise ValueError("use 10 to 10000 milliseconds")
    return int(text)


def kind(text: str) -> str:
    """Empty: none."""
    try:
        if text:
            loading.find(text)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return text


def name(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", text):
        raise ValueError("a name is lower-case letters, digits, - and _, 32 at most")
    return text


def filled(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("it may not be empty")
    return text


def reference(text: str) -> str:
    """What is refused is not repeated: it may be the secret."""
    if not re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*|file:/.+", text):
        raise ValueError("a secret is written as env:NAME or file:/path")
    return text


def reference_or_type(text: str) -> str:
    return text if text == TYPE else reference(text)


def cap(text: str) -> Decimal | None:
    if text == NO_CAP:
        return None
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
        raise ValueError(f"use an amount such as 500 or 12.50, or {NO_CAP}")
    return Decimal(text)
