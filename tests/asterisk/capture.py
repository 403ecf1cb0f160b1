"""Record the AGI environments that a real Asterisk sends, for the wire parser's tests.

`python -m tests.asterisk.capture [ROOT]` writes tests/corpora/agi_env; ROOT is another Asterisk's (see root.py).
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.asterisk.hostile import CALLER, DIALLED, NUMBER
from tests.asterisk.invite import Invite
from tests.asterisk.lab import Asterisk, running
from tests.asterisk.peers import Session, peer

CORPUS: Final = Path(__file__).parents[1] / "corpora/agi_env"

ORDINARY: Final = {
    "sip": Invite(NUMBER),
    "sip_national": Invite("07400123456"),
    "sip_name": Invite(NUMBER, display='"Alice Example" '),
    "sip_name_utf8": Invite(NUMBER, display="Zoé ", from_user="zoe"),
    "sip_name_punctuation": Invite(NUMBER, display='"O\'Brien (Sales), Ltd: x" '),
    "sip_anonymous": Invite(NUMBER, from_user="anonymous", display='"Anonymous" '),
    "sip_diverted": Invite(NUMBER, headers={"Diversion": "<sip:+4421@127.0.0.1>;reason=user-busy"}),
}
LOCAL: Final[dict[str, dict[str, str]]] = {
    "local": {},
    "local_token_and_options": {"AGI_LOOKUP_TOKEN": "s3cret", "AGI_LOOKUP_OPTIONS": "profile=uk,need=identity"},
    "local_no_script": {"LAB_CONTEXT": "no-script"},
}
NO_SCRIPT: Final = """
[no-script]
exten => s,1,AGI(${AGI_LOOKUP_URL},${ARG1},${UNIQUEID},-)
 same => n,Return()
"""


async def everything(session: Session) -> None:
    """Read on behind a forged blank line: what comes after it counts."""
    while chunk := await _more(session):
        session.environment += chunk


async def _more(session: Session) -> bytes:
    try:
        return await asyncio.wait_for(session.reader.read(65536), 0.2)
    except TimeoutError:
        return b""


async def sip(asterisk: Asterisk, invite: Invite) -> bytes:
    async with peer(everything) as server:
        await asterisk.sip_call(invite, server.url)
    return server.sessions[0].environment


async def local(asterisk: Asterisk, settings: dict[str, str]) -> bytes:
    async with peer(everything) as server:
        context = settings.get("LAB_CONTEXT", "agi-lookup")
        rest = {name: value for name, value in settings.items() if name != "LAB_CONTEXT"}
        await asterisk.call(NUMBER, context=context, **{"AGI_LOOKUP_URL": server.url} | rest)  # type: ignore[arg-type]
    return server.sessions[0].environment


def kind(ordinary: bytes, environment: bytes) -> str:
    """`hostile` when lines are forged, `odd` when only the values are."""
    keys = [line.partition(b": ")[0] for line in environment.split(b"\n")]
    fixed = [line.partition(b": ")[0] for line in ordinary.split(b"\n") if not line.startswith(b"agi_arg_")][:-2]
    arguments = [b"agi_arg_%d" % n for n in range(1, len(keys) - len(fixed) - 1)]
    return "odd" if keys == [*fixed, *arguments, b"", b""] else "hostile"


async def capture(asterisk: Asterisk) -> dict[str, bytes]:
    asterisk.load_dialplan(NO_SCRIPT)
    found = {f"valid/{name}": await sip(asterisk, invite) for name, invite in ORDINARY.items()}
    found |= {f"valid/{name}": await local(asterisk, settings) for name, settings in LOCAL.items()}
    for name, invite in (DIALLED | CALLER).items():
        environment = await sip(asterisk, replace(invite, source="127.0.0.2"))
        found[f"{kind(found['valid/sip'], environment)}/{name}"] = environment
    return found


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with running(root) as asterisk:
        major = asterisk.cli("core show version").split()[1].split(".")[0]
        for name, environment in asyncio.run(capture(asterisk)).items():
            folder, _, stem = name.partition("/")
            path = CORPUS / folder / f"asterisk{major}_{stem}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(environment)


if __name__ == "__main__":
    main()
