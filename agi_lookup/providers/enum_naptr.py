"""What a NAPTR record of ENUM says: its rule applied to the number (RFC 6116, RFC 3402), and the URI that comes of it read.

A vendor's regular expression is never run: it could take for ever. The few forms that vendors use are recognised; others do not
apply. URIs come as tel: (RFC 3966, RFC 4694), as sip:, or as mere parameters without a scheme.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agi_lookup.domain.errors import ProviderProtocolError
from agi_lookup.providers.dns_message import Naptr

MAX_URI: Final = 1024
MAX_PARAMETERS: Final = 64
SCHEMES: Final = frozenset({"tel", "sip", "sips"})

# A literal beginning, then all the rest, either or both; one group around all, or around the rest.
_PATTERN: Final = re.compile(r"(\()?\^?(\()?((?:\\?[+0-9])*)(\()?(\.[*+])?\)?\$?\)?")
_ESCAPED: Final = re.compile(r"\\+(.)", re.DOTALL)
_SEPARATORS: Final = str.maketrans("", "", "-.() ")
_SHORTEST_NUMBER: Final = 7


@dataclass(frozen=True, slots=True, repr=False)
class Uri:
    """`number` is the one that the URI is of, as E.164 with `+`; None where it names none. Parameter names are lower case."""

    number: str | None
    host: str
    parameters: Mapping[str, str]


def in_order(records: Sequence[Naptr]) -> list[Naptr]:
    """The rules that may be used, the best first: ENUM's, terminal, of the lowest order."""
    ours = [r for r in records if r.flags.lower() == "u" and r.service.lower().startswith("e2u")]
    lowest = min((record.order for record in ours), default=0)
    return sorted((record for record in ours if record.order == lowest), key=lambda record: record.preference)


def apply(regexp: str, number: str) -> str | None:
    """The URI that a rule makes of a number (E.164 with `+`); None where the rule does not apply to it."""
    parts = _parts(regexp)
    if parts is None:
        return None
    pattern, replacement = parts
    group = _match(pattern, number)
    if group is None:
        return None
    made = _ESCAPED.sub(lambda escaped: group if escaped[1] == "1" else escaped[1], replacement)
    return made if len(made) <= MAX_URI else None


def read(uri: str) -> Uri:
    """Raises `ProviderProtocolError` when parameters contradict each other."""
    scheme, colon, rest = uri.strip().strip("<>").partition(":")
    if not colon or scheme.strip().lower() not in SCHEMES:
        return Uri(None, "", _parameters(uri.split(";")))
    user, _, location = rest.partition("@")
    subject, *of_user = user.split(";")
    host, *of_host = location.split(";")
    return Uri(_number(subject), host.strip().lower(), _parameters([*of_user, *of_host]))


def _parts(regexp: str) -> tuple[str, str] | None:
    """`!pattern!replacement!` -> both, with their escapes. The delimiter is the first character; a flag may follow the last one."""
    if not regexp or regexp[0] in "\\0123456789i":
        return None
    parts, current, escaped = [], "", False
    for character in regexp[1:]:
        if character == regexp[0] and not escaped:
            parts.append(current)
            current = ""
        else:
            current += character
        escaped = character == "\\" and not escaped
    return (parts[0], parts[1]) if len(parts) == 2 and current in {"", "i"} else None


def _match(pattern: str, number: str) -> str | None:
    """What `\\1` stands for; empty where the pattern has no group. None: no match, or no form that is known."""
    form = _PATTERN.fullmatch(pattern)
    if form is None or pattern.count("(") != pattern.count(")") or pattern.count("(") > 1:
        return None
    outside, around_all, literal, around_rest, rest = form.groups()
    start = literal.replace("\\", "")
    matches = number.startswith(start) if rest else start == number
    if not matches:
        return None
    if outside or around_all:
        return number
    return number[len(start) :] if around_rest else ""


def _parameters(pieces: Sequence[str]) -> dict[str, str]:
    if len(pieces) > MAX_PARAMETERS:
        raise ProviderProtocolError("too many parameters")
    found: dict[str, str] = {}
    for piece in pieces:
        name, _, value = (part.strip() for part in piece.partition("="))
        if name and found.setdefault(name.lower(), value) != value:
            raise ProviderProtocolError("parameters that contradict each other")
    return found


def _number(subject: str) -> str | None:
    """Short ones are extensions of somebody's PBX, words are users: neither names a number."""
    digits = subject.translate(_SEPARATORS).removeprefix("+")
    return f"+{digits}" if digits.isascii() and digits.isdigit() and len(digits) >= _SHORTEST_NUMBER else None
