"""From an AGI environment to what the dialplan asks: the arguments, checked. A refusal fails open, it only is no lookup.

`lookup,NUMBER,UNIQUEID,TOKEN[,key=value...]`: the echo of the channel's UNIQUEID and the shared token come last of the fixed ones,
behind everything that a SIP caller can influence, so that an environment forged through a SIP header cannot carry them.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from agi_lookup.agi.wire import Environment
from agi_lookup.call import CallRequest
from agi_lookup.domain.model import Facet

NO_TOKEN: Final = "-"  # noqa: S105
"""What the dialplan sends where no token is configured."""
MAX_DIALLED_CHARS: Final = 4096
TIMEOUT_MS: Final = range(10, 10_001)

NEEDS: Final = {
    "identity": frozenset({Facet.IDENTITY}),
    "liveness": frozenset({Facet.LIVENESS}),
    "identity+liveness": frozenset({Facet.IDENTITY, Facet.LIVENESS}),
}


class AgiRefused(Exception):
    """The session is refused. `code` is a stable word for the log and the metric."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def parse_request(environment: Environment, *, token: str, profiles: Collection[str]) -> CallRequest:
    """Raises `AgiRefused`."""
    if environment.script != "lookup":
        raise AgiRefused("unknown_script")
    return parse_arguments(
        environment.args, uniqueid=environment.values["agi_uniqueid"], token=token, profiles=profiles
    )


def parse_arguments(args: tuple[str, ...], *, uniqueid: str, token: str, profiles: Collection[str]) -> CallRequest:
    """Raises `AgiRefused`; the token is compared in constant time."""
    if len(args) < 3:
        raise AgiRefused("missing_argument")
    dialled, echoed, given = args[:3]
    if not hmac.compare_digest(echoed.encode("utf-8", "surrogateescape"), uniqueid.encode("utf-8", "surrogateescape")):
        raise AgiRefused("wrong_uniqueid")
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), (token or NO_TOKEN).encode()):
        raise AgiRefused("wrong_token")
    if len(dialled) > MAX_DIALLED_CHARS:
        raise AgiRefused("too_long")
    channel = uniqueid.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return CallRequest(dialled, channel=channel, **parse_options(args[3:], profiles))


def parse_options(args: Iterable[str], profiles: Collection[str]) -> dict[str, Any]:
    """`key=value` strings as `CallRequest` fields. Raises `AgiRefused`."""
    options: dict[str, Any] = {"profile": "default"}
    seen: set[str] = set()
    for arg in args:
        key, equals, value = arg.partition("=")
        read = _OPTIONS.get(key)
        if read is None or not equals:
            raise AgiRefused("unknown_option")
        if key in seen:
            raise AgiRefused("option_twice")
        seen.add(key)
        name, parsed = read(value)
        options[name] = parsed
    if options["profile"] not in profiles:
        raise AgiRefused("unknown_profile")
    return options


def _profile(value: str) -> tuple[str, object]:
    return "profile", value


def _need(value: str) -> tuple[str, object]:
    if value not in NEEDS:
        raise AgiRefused("bad_need")
    return "facets", NEEDS[value]


def _timeout(value: str) -> tuple[str, object]:
    if not (value.isascii() and value.isdigit() and len(value) < 6 and int(value) in TIMEOUT_MS):
        raise AgiRefused("bad_timeout")
    return "timeout_s", int(value) / 1000


def _fresh(value: str) -> tuple[str, object]:
    if value not in ("yes", "no"):
        raise AgiRefused("bad_fresh")
    return "fresh", value == "yes"


_OPTIONS: Final[Mapping[str, Callable[[str], tuple[str, object]]]] = {
    "profile": _profile,
    "need": _need,
    "timeout_ms": _timeout,
    "fresh": _fresh,
}
