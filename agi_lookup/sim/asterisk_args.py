"""How Asterisk takes text apart: AGI command lines, application arguments, and what setting a variable makes of them. Pure.

Modelled on res_agi.c `parse_args`, app.c `__ast_app_separate_args`, func_strings.c `array` and pbx_variables.c
`pbx_builtin_setvar_helper` of Asterisk 22, and compared with a running one. Where Asterisk surprises, this does too: it is what an
encoder has to be tested against.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final

MAX_WORDS: Final = 128
"""res_agi.c MAX_ARGS: 127 words and the end mark."""
MAX_APP_ARGS: Final = 128
"""app.h: 127 arguments; the text behind them stays one piece."""
MAX_ARRAY: Final = 100
"""func_strings.c `array`: 99 names or values; the text behind them stays one piece."""


class StackSmashed(Exception):
    """Over 127 quoted words: an Asterisk without the fix of asterisk/asterisk#2069 dies here, with all its calls."""


def agi_words(line: str) -> list[str]:
    """The words of an AGI command line. Plain words beyond 127 are dropped, quoted ones raise `StackSmashed`."""
    words: list[str] = []
    quoted = escaped = in_word = False
    for char in line:
        if escaped or char not in '" \t\\' or (quoted and char in " \t"):
            if not in_word and len(words) == MAX_WORDS - 1:
                continue  # "Too many arguments, truncating"; an escape stays pending
            if not in_word:
                words.append("")
            words[-1] += char
            in_word, escaped = True, False
        elif char == '"':
            quoted = not quoted
            if quoted and not in_word:
                words.append("")
                in_word = True
        elif char == "\\":
            escaped = True
        else:
            in_word = False
    if len(words) >= MAX_WORDS:
        raise StackSmashed
    return words


def app_args(text: str, *, limit: int = MAX_APP_ARGS, delimiter: str = ",") -> list[str]:
    """Split as `AGI(...)`, `MSet(...)` and `ARRAY(...)` do: quotes and backslashes go, parentheses and brackets hold together.

    Nothing is reset at a delimiter, so that one open parenthesis or quote holds all the rest together.
    """
    args: list[str] = []
    at = 0
    parens = brackets = 0
    quoted = ended_by_delimiter = False
    while at < len(text) and len(args) < limit - 1:
        args.append("")
        ended_by_delimiter = False
        while at < len(text):
            char = text[at]
            at += 1
            if char == '"':
                quoted = not quoted
                continue
            if char == "\\":
                char = text[at : at + 1]
                at += 1
            elif char == delimiter and not (parens or brackets or quoted):
                ended_by_delimiter = True
                break
            else:
                parens = max(0, parens + (char == "(") - (char == ")"))
                brackets = max(0, brackets + (char == "[") - (char == "]"))
            args[-1] += char
    if at < len(text) or ended_by_delimiter:
        args.append(text[at:])
    return args


def set_variable(variables: MutableMapping[str, str], name: str, value: str) -> None:
    """What `SET VARIABLE name value` does. A name that ends with `)` is a function: `ARRAY` is known, others do nothing here."""
    if name.endswith(")"):
        function, _, inside = name.partition("(")
        if function == "ARRAY":
            _set_array(variables, inside.rpartition(")")[0], value)
    elif name:  # Asterisk reads the byte before an empty name
        variables[_without_inheritance(name)] = value


def _set_array(variables: MutableMapping[str, str], names: str, value: str) -> None:
    """Missing values become empty, surplus ones are dropped."""
    values = app_args(value, limit=MAX_ARRAY)
    for index, name in enumerate(app_args(names, limit=MAX_ARRAY)):
        set_variable(variables, name, values[index] if index < len(values) else "")


def _without_inheritance(name: str) -> str:
    """`_X` and `__X` are `X`, inherited by one or by all later channels."""
    return name.removeprefix("_").removeprefix("_")
