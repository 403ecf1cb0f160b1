"""From an AGI environment to what the dialplan asks: the arguments, checked. A refusal fails open, it only is no lookup.

`NUMBER,UNIQUEID,TOKEN[,key=value...]`, as in `agi.result`: the echo of the channel's UNIQUEID and the shared token come last of the
fixed ones, behind everything that a SIP caller can influence, so that an environment forged through a SIP header cannot carry them.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, TypeAlias

from agi_lookup.agi.wire import Environment
from agi_lookup.agi.words import NEEDS, NO_TOKEN
from agi_lookup.call import CallRequest

MAX_DIALLED_CHARS: Final = 4096
TIMEOUT_MS: Final = range(10, 10_001)


class AgiRefused(Exception):
    """The session is refused. `code` is a stable word for the log and the metric."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def parse_request(environment: Environment, *, token: str, profiles: Collection[str]) -> CallRequest:
    """Raises `AgiRefused`."""
    if environment.script != "lookup":
        raise AgiRefused("unknown_script")
    values = environment.values
    return parse_arguments(
        environment.args,
        uniqueid=values["agi_uniqueid"],
        caller=values["agi_accountcode"] or endpoint(values["agi_channel"]),
        token=token,
        profiles=profiles,
    )


def endpoint(channel: str) -> str:
    """`PJSIP/alice-00000001` -> `PJSIP/alice`. A Local channel is named by what was dialled, which is no caller: its context is."""
    name = channel.rpartition("-")[0]
    return f"Local/{name.rpartition('@')[2]}" if name.startswith("Local/") else name


def parse_arguments(
    args: tuple[str, ...], *, uniqueid: str, token: str, profiles: Collection[str], caller: str = ""
) -> CallRequest:
    """Raises `AgiRefused`."""
    dialled, channel, options = authenticate(args, uniqueid=uniqueid, token=token)
    return CallRequest(dialled, channel=channel, caller=caller, **parse_options(options, profiles))


def authenticate(args: tuple[str, ...], *, uniqueid: str, token: str) -> tuple[str, str, tuple[str, ...]]:
    """What was dialled, the channel as text, the options. Raises `AgiRefused`; the token is compared in constant time."""
    if len(args) < 3:
        raise AgiRefused("missing_argument")
    dialled, echoed, given = args[:3]
    if not hmac.compare_digest(echoed.encode("utf-8", "surrogateescape"), uniqueid.encode("utf-8", "surrogateescape")):
        raise AgiRefused("wrong_uniqueid")
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), (token or NO_TOKEN).encode()):
        raise AgiRefused("wrong_token")
    if len(dialled) > MAX_DIALLED_CHARS:
        raise AgiRefused("too_long")
    return dialled, uniqueid.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"), args[3:]


def parse_options(args: Iterable[str], profiles: Collection[str]) -> dict[str, Any]:
    """`key=value` strings as `CallRequest` fields. Raises `AgiRefused`."""
    return read_options(args, _OPTIONS, profiles)


Reader: TypeAlias = Callable[[str], tuple[str, object]]
"""An option's value as the field that it stands for. Raises `AgiRefused`."""


def read_options(args: Iterable[str], readers: Mapping[str, Reader], profiles: Collection[str]) -> dict[str, Any]:
    """Fields by name; the profile is always there, and one of `profiles`. Raises `AgiRefused`."""
    options: dict[str, Any] = {"profile": "default"}
    seen: set[str] = set()
    for arg in args:
        key, equals, value = arg.partition("=")
        read = readers.get(key)
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


def read_profile(value: str) -> tuple[str, object]:
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


_OPTIONS: Final[Mapping[str, Reader]] = {
    "profile": read_profile,
    "need": _need,
    "timeout_ms": _timeout,
    "fresh": _fresh,
}
