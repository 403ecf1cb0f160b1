"""`docs/config.md`: every key of the config."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tools.docs import schema
from tools.docs.annotated import comments
from tools.docs.options_table import Row, rows, table

BEGINNING = """\
# Every key of the config

Generated from the code by `make docs`. [config/agi-lookup.yaml](../config/agi-lookup.yaml) shows the same keys as one
annotated file, to copy from; `agi-lookup check` says what is wrong in yours, with the line. Editors that know JSON Schema
complete and check it by [config/agi-lookup.schema.json](../config/agi-lookup.schema.json): put
`# yaml-language-server: $schema=PATH` into the first line.

- Every text may be `env:NAME` (an environment variable) or `file:/path` (a file's content). Keep secrets there.
- A key without a value means its default. Unknown keys, duplicate keys, aliases and tags are errors.
- `NAME` in a key stands for a name of your choice, `[]` for each item of a list.
- `SIGHUP` reloads. `state_dir`, `server` (but for `token` and `allow`), `http`, `hooks`, `cache` (but for `lifetimes`), `calls`
  and `log` need a restart; the log's line `reloaded` names what of it has changed (`needs_restart`).
- Lengths are in seconds (`_s`), milliseconds (`_ms`) or days; amounts are written as text (`"0.05"`).
"""


def text() -> str:
    return "\n".join([BEGINNING, *_sections()])


def _explained(found: list[Row]) -> Iterator[Row]:
    """In the words of the annotated file where the model has none."""
    said = {re.sub(r"^(profiles|routing\.trunks)\.[a-z]+", r"\1.NAME", key): text for key, text in comments().items()}
    for row in found:
        yield row if row.text else row._replace(text=said.get(row.key, ""))


def _sections() -> Iterator[str]:
    whole = schema.of_config()
    definitions = whole["$defs"]
    by_section: dict[str, list[Row]] = {}
    for row in _explained(rows(whole, definitions)):
        by_section.setdefault(row.key.partition(".")[0], []).append(row)
    alone = [found[0] for found in by_section.values() if len(found) == 1 and "." not in found[0].key]
    yield "## At the top\n\n" + table(row for row in alone if row.key != "providers")
    for name, found in by_section.items():
        if name == "providers":
            yield "## `providers`\n\nEach block has a `kind`, whose keys have [a page of their own](providers/README.md).\n"
        elif found[0] not in alone:
            yield f"## `{name}`\n\n{table(found)}"
