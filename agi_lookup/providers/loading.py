"""Finds a provider kind by name, so that adding one edits no list.

A kind is a module with `Options` and `Provider`: a file of this package (`numberportabilitylookup`), an entry point of the group
`agi_lookup.providers`, or a dotted module name (`acme.provider`).
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Final, Protocol, cast

from agi_lookup import providers
from agi_lookup.domain.errors import ConfigError
from agi_lookup.providers import base
from agi_lookup.providers.base import Lookup, NumberResult, PlmnSplit, SourceOptions

ENTRY_POINT_GROUP: Final = "agi_lookup.providers"
KIND_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)


class Driver(Protocol):
    """Runs a source's steps, and has connections to close."""

    async def run(self, lookup: Lookup, *, timeout_s: float) -> Mapping[str, NumberResult]: ...
    async def close(self) -> None: ...


class Kind(Protocol):
    """What a kind's module offers. `Provider(name, options, split)` makes one configured account.

    A source that does not speak HTTP has `open_driver(options)` too, whose driver runs the steps that the provider yields.
    """

    Options: type[SourceOptions]
    Provider: Callable[[str, Any, PlmnSplit], base.Provider]


def find(kind: str) -> Kind:
    """Raises `ConfigError` that names the known kinds when there is none of this name."""
    module = _import(kind) if KIND_NAME.fullmatch(kind) else None
    if module is None:
        raise ConfigError(f"unknown provider kind {kind[:64]!r}; known: {', '.join(known())}")
    if not _is_kind(module):
        raise ConfigError(f"provider kind {kind!r}: its module must define Options and Provider")
    return cast("Kind", module)


def driver_maker(kind: str) -> Callable[[Any], Driver] | None:
    """The kind's own `open_driver`; None: it speaks HTTP. Raises `ConfigError`."""
    maker: Callable[[Any], Driver] | None = getattr(find(kind), "open_driver", None)
    return maker


def known() -> tuple[str, ...]:
    """Every kind that `find` knows without a dotted name; imports all of them."""
    own = (info.name for info in pkgutil.iter_modules(providers.__path__))
    return tuple(sorted({*filter(_is_own_kind, own), *(point.name for point in _entry_points())}))


def _import(kind: str) -> ModuleType | None:
    if "." in kind:
        return _import_module(kind)
    if _is_own_kind(kind):
        return _import_module(f"{providers.__name__}.{kind}")
    return next((_import_module(point.module) for point in _entry_points() if point.name == kind), None)


def _import_module(dotted: str) -> ModuleType | None:
    """None when there is no such module; a module that is there and cannot be imported is an error of its own."""
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError as error:
        if error.name and f"{dotted}.".startswith(f"{error.name}."):
            return None
        raise ConfigError(f"provider module {dotted}: needs {error.name}, which is not installed") from error
    except Exception as error:  # it is foreign code: whatever it raises, the config cannot be used
        raise ConfigError(f"provider module {dotted} cannot be imported: {type(error).__name__}") from error


def _is_own_kind(name: str) -> bool:
    module = _import_module(f"{providers.__name__}.{name}")
    return module is not None and _is_kind(module)


def _is_kind(module: ModuleType) -> bool:
    options = getattr(module, "Options", None)
    return isinstance(options, type) and issubclass(options, SourceOptions) and hasattr(module, "Provider")


def _entry_points() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=ENTRY_POINT_GROUP))
