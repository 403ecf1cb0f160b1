"""`docs/providers/`: one page a kind, from its module, its options, its recordings and the annotated config."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

from agi_lookup import strict_yaml
from agi_lookup.providers import http_json, loading
from agi_lookup.providers.base import Accountable, Notified, Provider
from agi_lookup.sim import recordings
from agi_lookup.sim.recordings import Recording
from tools.docs import schema
from tools.docs.annotated import provider_block
from tools.docs.options_table import rows, table

PLACEHOLDER: Final = "0123456789abcdef0123456789abcdef"
_READ_ON: Final = re.compile(r"^(.*?read )([0-9]{4}-[0-9]{2}-[0-9]{2})(.*)$")
_GENERATED: Final = "Generated from the code by `make docs`."
LIMITS: Final = (
    ("max_batch", "number", "a request"),
    ("max_concurrency", "request", "at once"),
    ("max_per_minute", "request", "a minute"),
    ("timeout_s", "second", "at most"),
)


def pages() -> dict[str, str]:
    """By file name."""
    kinds = schema.own_kinds()
    found = {f"{kind}.md": _page(kind) for kind in kinds}
    found["README.md"] = _index(kinds)
    return found


def _index(kinds: tuple[str, ...]) -> str:
    lines = [
        "# Providers\n",
        f"{_GENERATED} What each kind of source asks, costs, tells and gets wrong. How to choose between them is told in the",
        "[README](../../README.md#which-providers), how to add one in",
        "[agi_lookup/providers/README.md](../../agi_lookup/providers/README.md).\n",
        "| kind | in short | can tell | paid in |",
        "| --- | --- | --- | --- |",
    ]
    for kind in kinds:
        title, _ = _docstring(kind)
        provider = _provider(kind)
        lines.append(
            f"| [`{kind}`]({kind}.md) | {title.rstrip('.')} | {_can_tell(kind, provider)} | {_currency(kind, provider)} |"
        )
    lines.append(
        f"\nReady descriptions for `http_json`: {', '.join(f'[`{p}`](http_json.md#{p})' for p in http_json.presets())}."
    )
    return "\n".join(lines) + "\n"


def _page(kind: str) -> str:
    return "\n".join(part.rstrip("\n") + "\n" for part in _parts(kind))


def _parts(kind: str) -> Iterator[str]:
    title, notes = _docstring(kind)
    provider = _provider(kind)
    recorded = recordings.load(kind) if kind in recordings.kinds() else {}
    yield f"# `{kind}`\n\n{_GENERATED}\n\n{title}"
    yield _glance(kind, provider, recorded)
    yield f"## In the config\n\n```yaml\n{provider_block(kind)}\n```"
    if notes:
        yield "## What to know\n\n" + _list(notes)
    if kind == "http_json":
        yield from _presets(recorded)
    else:
        yield from _errors("## What its errors become", recorded)
    options = schema.of_kind(kind)
    common = {row.key: row.text for row in rows(schema.of_any_vendor(), {})}
    told = (row._replace(text=row.text or common.get(row.key, "")) for row in rows(options, options["$defs"]))
    yield f"## Options\n\n{table(row for row in told if row.key != 'kind')}"
    if recorded:
        yield "## Sources\n\n" + _list(_sources(recorded))


def _glance(kind: str, provider: Provider, recorded: Mapping[str, Recording]) -> str:
    told = {
        fact
        for recording in recorded.values()
        for expected in recording.expected.values()
        for fact, value in (*expected.identity.items(), *expected.liveness.items())
        if value not in (None, "unknown")
    }
    options = schema.of_kind(kind)["properties"]
    limits = [_limit(options[name]["default"], *words) for name, *words in LIMITS if options[name].get("default")]
    found = {
        "can tell": _can_tell(kind, provider),
        "facts in recorded replies": _words(told),
        "paid in": _currency(kind, provider),
        "limits, unless configured otherwise": ", ".join(limits),
        "answers": _answers(provider),
        "tells its balance": "yes, for nothing" if isinstance(provider, Accountable) else "no",
    }
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in found.items() if value)])


def _limit(value: float, one: str, rest: str) -> str:
    return f"{value:g} {one if value == 1 else f'{one}s'} {rest}"


def _words(words: Iterable[str]) -> str:
    return " ".join(f"`{word}`" for word in sorted(words))


def _answers(provider: Provider) -> str:
    if not isinstance(provider, Notified):
        return "in the reply"
    return "by webhook" if provider.always else "in the reply; several numbers at once by webhook"


def _can_tell(kind: str, provider: Provider) -> str:
    return "what `answer` says" if kind == "http_json" else _facts(provider)


def _facts(provider: Provider) -> str:
    return " and ".join(sorted(provider.provides))


def _currency(kind: str, provider: Provider) -> str:
    if "currency" in schema.of_kind(kind)["properties"]:
        return "what `currency` says"
    return provider.currency or "nothing"


def _errors(title: str, recorded: Mapping[str, Recording]) -> Iterator[str]:
    """What the vendor says when it fails, and the word that is in `LOOKUP_ERROR` and in the metrics."""
    lines = []
    for recording in recorded.values():
        words = {expected.error for expected in recording.expected.values() if expected.error}
        words |= {recording.balance.error} if recording.balance is not None and recording.balance.error else set()
        status = recording.exchange[-1].response.status if recording.exchange else None
        if words:
            lines.append(f"| {_cell(recording.about)} | {status or 'webhook'} | {_words(words)} |")
    if lines:
        yield f"{title}\n\n| what comes | HTTP status | our word |\n| --- | --- | --- |\n" + "\n".join(sorted(lines))


def _presets(recorded: Mapping[str, Recording]) -> Iterator[str]:
    yield (
        "What each key means, and how to describe another vendor: "
        "[agi_lookup/providers/README.md](../../agi_lookup/providers/README.md#describing-a-vendor-in-config)."
    )
    for name in http_json.presets():
        title, notes = _head(name)
        provider = _provider("http_json", {"kind": "http_json", "preset": name, "account": "x", "secret": PLACEHOLDER})
        own = {key: one for key, one in recorded.items() if one.options.get("preset") == name}
        yield f"## {name}\n\n{title}\n\nCan tell {_facts(provider)}; paid in {provider.currency}, unless configured otherwise."
        account = (
            f"    account: env:{name.upper()}_ACCOUNT\n" if any(note.startswith("account:") for note in notes) else ""
        )
        block = f"providers:\n  {name}:\n    kind: http_json\n    preset: {name}\n{account}    secret: env:{name.upper()}_SECRET"
        yield f"```yaml\n{block}\n```\n\n{_list(notes)}"
        yield from _errors("What its errors become:", own)


def _head(preset: str) -> tuple[str, list[str]]:
    """The comment that a preset begins with."""
    text = (http_json.PRESETS / f"{preset}.yaml").read_text("utf-8")
    lines = [line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#")]
    return lines[0], [_note(line) for line in lines[1:]]


def _docstring(kind: str) -> tuple[str, list[str]]:
    """A kind's title, and what its module says under `API:`, `Quirk:` and their like."""
    text = inspect.getdoc(_module(kind)) or ""
    title, _, rest = text.partition("\n\n")
    notes: list[str] = []
    for line in rest.splitlines():
        if re.match(r"[A-Z][a-z A-Z]+: ", line) and not line.startswith("http"):
            notes.append(line)
        elif notes:
            notes[-1] += f" {line}"
    return " ".join(title.split()), [_note(note) for note in notes]


def _note(line: str) -> str:
    """A quirk as a sentence of its own; a word of the vendor's stays as it is written."""
    text = line.removeprefix("Quirk: ")
    return text if "_" in text.partition(" ")[0] or text == line else text[0].upper() + text[1:]


def _module(kind: str) -> object:
    return cast("object", loading.find(kind))


def _provider(kind: str, block: dict[str, Any] | None = None) -> Provider:
    """As the annotated config has it, with made-up secrets."""
    module = loading.find(kind)
    if block is None:
        (block,) = strict_yaml.loads(provider_block(kind), kind).data["providers"].values()
    filled = {key: PLACEHOLDER if str(value).startswith("env:") else value for key, value in block.items()}
    return module.Provider(kind, module.Options(**filled), lambda _plmn: None)


def _sources(recorded: Mapping[str, Recording]) -> list[str]:
    """Pages that the recordings were made from, with the day of the last reading."""
    days: dict[str, str] = {}
    for recording in recorded.values():
        for page in re.findall(r"https://[^\s,;()]+", recording.source):
            if read := _READ_ON.match(recording.source):
                days[page] = max(days.get(page, ""), read[2])
    return [f"{page}, read {day}" for page, day in sorted(days.items())]


def _list(items: list[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
