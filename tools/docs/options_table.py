"""Tables of options, from their JSON Schema: key, type, default, description."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain, takewhile
from typing import Any, Final, NamedTuple, TypeAlias

Schema: TypeAlias = dict[str, Any]
_UNSET: Final = object()
LONG: Final = 4
"""Rows that are worth a reference."""


class Row(NamedTuple):
    key: str
    form: str
    default: str
    text: str


def rows(schema: Schema, definitions: Schema) -> list[Row]:
    """Of an object and all that it holds, depth first; what comes again is said once."""
    shown: dict[tuple[Row, ...], str] = {}
    return list(_told_once(list(_rows(schema, definitions)), shown))


def _told_once(found: list[Row], shown: dict[tuple[Row, ...], str]) -> Iterator[Row]:
    """A section of the same keys with the same defaults as an earlier one refers to it."""
    while found:
        row, *rest = found
        inner = list(takewhile(partial(_is_within, row.key), rest))
        relative = tuple(other._replace(key=other.key.removeprefix(row.key)) for other in inner)
        if len(inner) > LONG and relative in shown:
            yield row._replace(text=f"{row.text.removesuffix('.')}: the same keys as `{shown[relative]}`")
            rest = rest[len(inner) :]
        else:
            shown[relative] = row.key
            yield row
        found = rest


def _is_within(section: str, row: Row) -> bool:
    return row.key.startswith(f"{section}.")


def _rows(schema: Schema, definitions: Schema, prefix: str = "", default: Any = _UNSET) -> Iterator[Row]:
    """`default` is what the parent fills in."""
    required = schema.get("required", ())
    for name, node in schema.get("properties", {}).items():
        given = default.get(name, _UNSET) if isinstance(default, dict) else node.get("default", _UNSET)
        yield from _row(f"{prefix}{name}", node, definitions, given, is_required=name in required)
    for names in [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]:
        if isinstance(names, dict) and "properties" in (inner := _resolve(names, definitions)):
            yield from _rows(inner, definitions, f"{prefix}NAME.")


def table(found: Iterable[Row]) -> str:
    lines = ["| key | type | default | |", "| --- | --- | --- | --- |"]
    lines += [f"| `{row.key}` | {row.form} | {row.default} | {_cell(row.text)} |" for row in found]
    return "\n".join(lines) + "\n"


def _row(key: str, node: Schema, definitions: Schema, default: Any, *, is_required: bool) -> Iterator[Row]:
    options = _options(node, definitions)
    objects = [option for option in options if _is_object(option)]
    inner = objects[0] if objects else None
    listed = next((option["items"] for option in options if "items" in option), None)
    text = node.get("description", "") or (inner or {}).get("description", "")
    form = _any_form(options, definitions)
    if inner is None or default in (None, _UNSET):
        yield Row(key, form, "" if default is _UNSET and inner else _default(default, is_required), text)
    elif text:
        yield Row(key, form, "", text)
    if len(objects) == 1:
        yield from _rows(objects[0], definitions, f"{key}.", default)
    else:
        yield from _either([list(_rows(option, definitions, f"{key}.")) for option in objects])
    for option in _options(listed or {}, definitions):
        if _is_object(option):
            yield from _rows(option, definitions, f"{key}[].")


def _either(sections: list[list[Row]]) -> Iterable[Row]:
    """The keys of sections of which one is chosen: each key once, with all that it may be."""
    merged: dict[str, Row] = {}
    counts = Counter(row.key for rows_ in sections for row in rows_)
    for row in chain.from_iterable(sections):
        known = merged.setdefault(row.key, row if counts[row.key] == len(sections) else row._replace(default=""))
        if row.form not in known.form:
            joint = " " if known.form.endswith("`") else " or "
            merged[row.key] = known._replace(form=f"{known.form}{joint}{row.form}", default="")
    return merged.values()


def _any_form(options: list[Schema], definitions: Schema) -> str:
    forms = list(dict.fromkeys(filter(None, (_form(option, definitions) for option in options))))
    if len(forms) == 2 and forms[0].startswith("number") and forms[1] == "text":
        return forms[0].replace("number", "amount", 1)  # a decimal, which YAML may quote
    return " or ".join(forms)


def _options(node: Schema, definitions: Schema) -> list[Schema]:
    return [_resolve(option, definitions) for option in node.get("anyOf") or node.get("oneOf") or [node]]


def _resolve(node: Schema, definitions: Schema) -> Schema:
    found: Schema = definitions[node["$ref"].removeprefix("#/$defs/")] if "$ref" in node else node
    return found


def _is_object(node: Schema) -> bool:
    return node.get("type") == "object" and (
        "properties" in node or "patternProperties" in node or "additionalProperties" in node
    )


def _form(node: Schema, definitions: Schema) -> str:
    node = _resolve(node, definitions)
    words = node.get("enum") or ([node["const"]] if "const" in node else [])
    if words:
        return " ".join(f"`{word}`" for word in words)
    if "type" not in node or node["type"] not in _FORMS:
        return ""
    return _FORMS[node["type"]](node, definitions)


def _list_form(node: Schema, definitions: Schema) -> str:
    inner = _any_form(_options(node.get("items", {}), definitions), definitions)
    return f"list of {inner}" if inner else "list"


_FORMS: Final[Mapping[str, Callable[[Schema, Schema], str]]] = {
    "array": _list_form,
    "integer": lambda node, _: f"whole number{_limits(node)}",
    "number": lambda node, _: f"number{_limits(node)}",
    "boolean": lambda _node, _: "`true` `false`",
    "object": lambda _node, _: "section",
    "string": lambda node, _: _text_form(node),
}


def _text_form(node: Schema) -> str:
    form: str = node.get("format", "")
    if node.get("writeOnly"):
        return f"secret of {node['minLength']} characters or more" if "minLength" in node else "secret"
    return {"path": "path", "file-path": "path", "ipv4network": "network", "ipv6network": "network"}.get(form, "text")


def _limits(node: Schema) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and low == high:
        return f", always {_number(low)}"
    if low is None and (above := node.get("exclusiveMinimum")) is not None:
        return f", over {_number(above)}" + (f" to {_number(high)}" if high is not None else "")
    if low is not None and high is not None:
        return f", {_number(low)} to {_number(high)}"
    return f", {_number(low)} or more" if low is not None else f", {_number(high)} or less" if high is not None else ""


def _number(value: float) -> str:
    return f"{value:,.10g}"


def _default(value: Any, is_required: bool) -> str:
    if value is _UNSET:
        return "required" if is_required else ""
    if value in (None, "", [], {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:.10g}`"
    if isinstance(value, list | dict):
        return f"`{json.dumps(value).replace(chr(34), '')}`"
    return f"`{value}`"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
