"""The small languages of a vendor described in config: paths, templates and words.

A *path* is keys and list indexes with dots: `data.carrier.name`, `results.0.to` (or `results[0].to`). A *template* is text with
`{e164}` (+447700900123), `{digits}` (447700900123) or `{national}` (7700900123); a step of a path may be one. A *word* is what a
vendor says as a value, whatever its type and case: `CONNECTED`, `true`, `1`.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator, ConfigDict

from agi_lookup.domain.errors import ProviderNotCovered
from agi_lookup.providers.replies import Json

STRICT: Final = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
MAX_STEPS: Final = 8

PLACEHOLDER: Final = re.compile(r"\{(e164|digits|national)\}")
INDEX: Final = re.compile(r"\[([0-9]{1,4})\]")


def checked_template(text: str) -> str:
    """`text` itself. Raises `ValueError` for a brace that belongs to no placeholder."""
    if set(PLACEHOLDER.sub("", text)) & {"{", "}"}:
        raise ValueError("unknown placeholder; use {e164}, {digits} or {national}")
    return text


def fill(template: str, e164: str) -> str:
    """`e164` is `+` and digits. Raises `ProviderNotCovered` where a national form is wanted of a number of no country."""
    text = template.replace("{e164}", e164).replace("{digits}", e164.removeprefix("+"))
    return text.replace("{national}", national(e164)) if "{national}" in text else text


def national(e164: str) -> str:
    import phonenumbers  # noqa: PLC0415 - slow to import, and most vendors need no national form

    try:
        return phonenumbers.national_significant_number(phonenumbers.parse(e164))
    except phonenumbers.NumberParseException:
        pass
    raise ProviderNotCovered("a number of no country has no national form")


def _steps(value: object) -> object:
    if not isinstance(value, str):
        return value
    steps = tuple(INDEX.sub(r".\1", value).split("."))
    if not all(step.strip() and step.isprintable() for step in steps) or set("".join(steps)) & {"[", "]"}:
        raise ValueError("no path; write keys and list indexes with dots, e.g. results.0.carrier.name")
    if len(steps) > MAX_STEPS:
        raise ValueError(f"a path has at most {MAX_STEPS} steps")
    return tuple(checked_template(step) for step in steps)


Path: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_steps)]
"""Where a value stands in a reply."""
Template: TypeAlias = Annotated[str, AfterValidator(checked_template)]


def stands(found: Json, path: Path, e164: str) -> bool:
    """Is there something, if only a null?"""
    return bool(_walk(found, path, e164))


def value_at(found: Json, path: Path | None, e164: str) -> Json:
    """None where nothing stands."""
    return next(iter(_walk(found, path, e164)), None) if path is not None else None


def _walk(found: Json, path: Path, e164: str) -> tuple[Json, ...]:
    """The value in a tuple of one, or the empty tuple."""
    for step in path:
        key = fill(step, e164)
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isascii() and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            return ()
    return (found,)


def word_of(value: object) -> str:
    """What a value says, in lower case; "" for null, lists and objects."""
    if isinstance(value, bool | int | str):
        return str(value).strip().lower()
    return f"{value:f}" if isinstance(value, Decimal) else ""


def _words(value: object) -> object:
    said = [word_of(item) for item in (value if isinstance(value, list | tuple | frozenset) else [value])]
    if not said or not all(said):
        raise ValueError("write a word, or a list of words")
    return frozenset(said)


def _lowered(value: object) -> object:
    if not isinstance(value, dict):
        return value
    lowered = {word_of(word): meaning for word, meaning in value.items()}
    if len(lowered) != len(value) or not all(lowered):
        raise ValueError("a word is empty or stands twice; case does not count")
    return lowered


Words: TypeAlias = Annotated[frozenset[str], BeforeValidator(_words)]
Lowered: Final = BeforeValidator(_lowered)
"""For a mapping from a vendor's words."""
