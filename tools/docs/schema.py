"""JSON Schema (2020-12) of the config, for editors: `config/agi-lookup.schema.json`.

The reader is more lenient than pydantic's schema says: a key without a value means its default, every text may be `env:NAME` or
`file:/path`, and numbers, texts and booleans may be written with or without quotes. The schema says so too, so that an editor
marks nothing that `agi-lookup check` takes. It knows forms; what hangs together only `check` knows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from agi_lookup.config import Config
from agi_lookup.providers import loading
from agi_lookup.providers.base import ProviderOptions

Schema: TypeAlias = dict[str, Any]

REFERENCE: Final = {"$ref": "#/$defs/reference"}
LISTS_OF_ONE: Final = ("When", "Reachability")
"""Where a single item may stand for a list of it."""
_DEFS: Final = "#/$defs/"
FORMS: Final = {
    "reference": {"type": "string", "pattern": "^(env|file):"},
    "quoted_number": {"type": "string", "pattern": "^(env:|file:|inf$|-?[0-9])"},
    "quoted_boolean": {"enum": ["true", "false", "yes", "no", "on", "off"]},
    "unquoted": {"type": ["integer", "number", "boolean"]},
}


def own_kinds() -> tuple[str, ...]:
    """Those of this package, whatever else is installed."""
    return tuple(kind for kind in loading.known() if loading.find(kind).Options.__module__.startswith("agi_lookup."))


def of_config() -> Schema:
    """As the models have it: `providers` holds anything."""
    found: Schema = _plain(Config.model_json_schema())
    return found


def of_kind(kind: str) -> Schema:
    """As the kind's `Options` have it; what they define bears the kind's name, as others may define the same."""
    schema = _plain(loading.find(kind).Options.model_json_schema(ref_template=f"{_DEFS}{kind}.{{model}}"))
    schema["$defs"] = {f"{kind}.{name}": definition for name, definition in schema.get("$defs", {}).items()}
    found: Schema = schema
    return found


def of_any_vendor() -> Schema:
    """What every block of a vendor that speaks HTTP may say."""
    return _plain(ProviderOptions.model_json_schema())


def for_editors() -> str:
    schema = of_config()
    definitions = schema.pop("$defs")
    definitions["Provider"] = provider = {"type": "object", "required": ["kind"], "allOf": []}
    for kind in own_kinds():
        options = of_kind(kind)
        definitions |= options.pop("$defs")
        definitions[f"provider_{kind}"] = options
        if "preset" in options["properties"]:  # what is required may stand in the preset
            options["required"] = ["kind"]
        condition = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
        provider["allOf"].append({"if": condition, "then": {"$ref": f"{_DEFS}provider_{kind}"}})  # type: ignore[attr-defined]
    pattern, _ = schema["properties"]["providers"].pop("patternProperties").popitem()
    schema["properties"]["providers"]["patternProperties"] = {pattern: {"$ref": f"{_DEFS}Provider"}}
    lenient = {
        name: definition if name == "Provider" else _lenient(definition, of_one=name.rpartition(".")[2] in LISTS_OF_ONE)
        for name, definition in sorted(definitions.items())
    }
    lenient |= FORMS
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "agi-lookup's config",
        **_lenient(schema, of_one=False),
        "$defs": lenient,
    }
    return json.dumps(whole, indent=1, allow_nan=False) + "\n"


def _plain(schema: Schema) -> Schema:
    """Without titles, with the words of sets in order, and with infinity as it is written in YAML."""
    definitions: Schema = schema.get("$defs", {})
    found: Schema = _cleaned(schema, definitions)
    return found


def _cleaned(node: Any, definitions: Schema) -> Any:
    if isinstance(node, list):
        return [_cleaned(item, definitions) for item in node]
    if not isinstance(node, dict):
        return "inf" if isinstance(node, float) and math.isinf(node) else node
    if "default" in node:
        node = {**node, "default": _in_order(node["default"], node, definitions)}
    return {key: _cleaned(item, definitions) for key, item in node.items() if key != "title" or isinstance(item, dict)}


def _in_order(default: Any, node: Schema, definitions: Schema) -> Any:
    """Sets have no order of their own: theirs would be another one each time."""
    if "$ref" in node:
        node = definitions[node["$ref"].rpartition("/")[2].rpartition(".")[2]]
    if isinstance(default, list):
        return sorted(default) if node.get("uniqueItems") else default
    if isinstance(default, dict):
        inner = node.get("properties", {})
        return {key: _in_order(value, inner.get(key, {}), definitions) for key, value in default.items()}
    return default


def _lenient(node: Schema, *, of_one: bool) -> Schema:
    """A definition, or a mapping in place; it may be left empty."""
    found = dict(node)
    if "enum" in found:
        return {**{key: value for key, value in found.items() if key != "type"}, "enum": [*found["enum"], None]}
    if found.get("type") == "object":
        found["type"] = ["object", "null"]
    required = found.get("required", ())
    for group in ("properties", "patternProperties"):
        if group in found:
            found[group] = {
                key: _value(value, of_one=of_one, may_be_empty=key not in required)
                for key, value in found[group].items()
            }
    if isinstance(found.get("additionalProperties"), dict):
        found["additionalProperties"] = _value(found["additionalProperties"], of_one=of_one)
    return found


def _value(node: Schema, *, of_one: bool, may_be_empty: bool = False) -> Schema:
    """One value with all the ways to write it."""
    said: Schema = {key: node[key] for key in ("description", "default") if key in node}
    rest = {key: value for key, value in node.items() if key not in said}
    ways = [*_ways(rest, of_one=of_one), *([{"type": "null"}] if may_be_empty and "$ref" not in rest else [])]
    ways = [way for place, way in enumerate(ways) if way not in ways[:place]]
    if any(
        way.get("type") == ["object", "null"] or way.get("$ref", "").removeprefix(_DEFS) not in ("", *FORMS)
        for way in ways
    ):
        ways = [way for way in ways if way != {"type": "null"}]  # it may be empty already
    return {**said, **(ways[0] if len(ways) == 1 else {"anyOf": ways})}


def _ways(node: Schema, *, of_one: bool) -> Iterable[Schema]:
    kind = node.get("type")
    if options := node.get("anyOf") or node.get("oneOf"):
        for option in options:
            yield from _ways(option, of_one=of_one)
    elif kind in ("integer", "number"):
        yield from (node, {"$ref": "#/$defs/quoted_number"})
    elif kind == "boolean":
        yield from (node, {"$ref": "#/$defs/quoted_boolean"})
    elif kind == "string":
        yield from (node, {"$ref": "#/$defs/unquoted"}, REFERENCE)
    elif kind == "array":
        items = _value(node["items"], of_one=of_one) if "items" in node else {}
        yield {**node, **({"items": items} if items else {})}
        yield from [items] if of_one else []
    elif kind == "object":
        yield _lenient(node, of_one=of_one)
    else:
        yield node
