"""The answers as commented YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from agi_lookup.first_config.answers import Answers


def render(answers: Answers) -> str:
    return "\n".join([*_head(answers), *_providers(answers), *_budget(answers), *_profile(answers), ""])


def environment(text: str) -> list[str]:
    """The variables that a config of ours names."""
    return sorted(set(re.findall(r"^    [a-z_]+: env:(\w+)$", text, re.MULTILINE)))


def _head(answers: Answers) -> Iterator[str]:
    yield "# Written by `agi-lookup init`. All settings and their defaults are in config/agi-lookup.yaml; `agi-lookup check`"
    yield "# says what is wrong. Secrets are written as env:NAME (an environment variable) or file:/path (a file's content)."
    yield ""
    yield f"state_dir: {_text(answers.state_dir)}  # cache, ledger and decks; the server must be able to write it"
    yield ""


def _providers(answers: Answers) -> Iterator[str]:
    if not answers.accounts:
        yield "# Without a provider the offline numbering plan answers alone: it knows the country and who issued the number."
        yield "#providers:"
        yield ""
        return
    yield "providers:  # asked in this order"
    for account in answers.accounts:
        yield f"  {account.name}:"
        yield f"    kind: {account.kind}"
        for key, value in account.values.items():
            yield f"    {key}: {_text(value)}"
    yield ""


def _budget(answers: Answers) -> Iterator[str]:
    if not answers.caps:
        return
    yield "budget:  # a hard cap a UTC day; above it calls go on without a paid lookup. `agi-lookup spend` shows what is left"
    yield "  providers:"
    for name, (currency, amount) in answers.caps.items():
        yield f'    {name}: {{per_day: {{{currency}: "{amount:f}"}}}}'
    yield ""


def _profile(answers: Answers) -> Iterator[str]:
    yield "profiles:"
    yield "  default:"
    yield "    dial_plan:"
    yield f"      country: {answers.country}  # how numbers without + are read"
    if answers.outside_line:
        yield f"      outside_line: [{', '.join(map(_text, answers.outside_line))}]  # dialled before everything else"
    yield f"    deadline_ms: {answers.deadline_ms}  # how long a call waits for a lookup"


def _text(value: str) -> str:
    """As YAML reads it back, whatever it holds: its double-quoted form is JSON's."""
    plain = re.fullmatch(r"[A-Za-z/][A-Za-z0-9_./:-]*", value)
    return value if plain and not value.endswith(":") else json.dumps(value)
