"""`agi-lookup call` against small responders: what it prints, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.asterisk.peers import Behaviour, Session, answers, peer, silence

ROOT = Path(__file__).parents[2]
ANSWER = answers(("LOOKUP_CARRIER", "EE"), ("LOOKUP_STATUS", "OK"))


async def agi_lookup(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "AGI_LOOKUP_CONFIG": ""}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agi_lookup.cli.main", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        env=environment,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return subprocess.CompletedProcess(arguments, process.returncode, out.decode(), err.decode())


async def call(
    behave: Behaviour, *arguments: str, cwd: Path
) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """The command's result, and the arguments that the server got in each session."""
    async with peer(behave) as running:
        address = running.url.removeprefix("agi://")
        result = await agi_lookup("call", "447400123456", "--agi", address, *arguments, cwd=cwd)
    return result, [session.arguments for session in running.sessions]


async def test_the_variables_are_printed_as_aligned_lines(tmp_path: Path) -> None:
    result, _ = await call(ANSWER, cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout == "LOOKUP_CARRIER=EE\n LOOKUP_STATUS=OK\n"
    assert result.stderr == ""


async def test_json_says_what_a_script_wants_to_know(tmp_path: Path) -> None:
    result, _ = await call(ANSWER, "--json", cwd=tmp_path)
    shown = json.loads(result.stdout)
    assert shown.pop("ms") > 0
    assert shown == {
        "variables": {"LOOKUP_CARRIER": "EE", "LOOKUP_STATUS": "OK"},
        "commands": 1,
        "early_bytes": 0,
    }


async def test_arguments_are_those_of_the_dialplan(tmp_path: Path) -> None:
    given = ("--token", "secret", "--uniqueid", "17.1", "--option", "need=identity", "--option", "fresh=yes")
    _, [arguments] = await call(ANSWER, *given, cwd=tmp_path)
    assert arguments == ["447400123456", "17.1", "secret", "need=identity", "fresh=yes"]


async def test_the_uniqueid_is_echoed_and_the_token_is_a_dash_by_default(tmp_path: Path) -> None:
    async with peer(ANSWER) as running:
        await agi_lookup("call", "112", "--agi", running.url, cwd=tmp_path)
    [session] = running.sessions
    assert session.arguments == ["112", session.value("agi_uniqueid"), "-"]


async def test_an_answer_that_is_not_committed_is_a_negative_one(tmp_path: Path) -> None:
    result, _ = await call(answers(("LOOKUP_CARRIER", "EE")), cwd=tmp_path)
    assert result.returncode == 1
    assert result.stdout == "LOOKUP_CARRIER=EE\n"
    assert result.stderr.startswith("LOOKUP_STATUS was not set (AGISTATUS=SUCCESS)")


async def test_a_refusal_prints_nothing_and_names_the_agistatus(tmp_path: Path) -> None:
    async def refuse(session: Session) -> None:
        session.send(b"FAILURE\n")

    result, _ = await call(refuse, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert "AGISTATUS=FAILURE" in result.stderr


async def test_a_caller_can_hang_up(tmp_path: Path) -> None:
    async def hear(session: Session) -> None:
        assert await session.line() == "HANGUP"

    result, _ = await call(hear, "--hangup-after", "0.05", cwd=tmp_path)
    assert result.returncode == 1
    assert "AGISTATUS=HANGUP" in result.stderr


async def test_a_server_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = await agi_lookup("call", "1", "--agi", f"127.0.0.1:{port}", cwd=tmp_path)
    assert result.returncode == 3
    assert result.stdout == ""
    assert result.stderr == f"agi://127.0.0.1:{port}: Connection refused; is the server running there?\n"


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.0.0.1:x", ":4573", "127.0.0.1:65536"])
async def test_a_bad_address_is_wrong_usage(address: str, tmp_path: Path) -> None:
    assert (await agi_lookup("call", "1", "--agi", address, cwd=tmp_path)).returncode == 2


async def test_address_token_and_prefix_come_from_the_config(tmp_path: Path) -> None:
    async with peer(answers(("LCR_STATUS", "OK"))) as running:
        (tmp_path / "agi-lookup.yaml").write_text(f"""
server: {{port: {running.url.rpartition(":")[2]}, token: s3cret}}
variables: {{prefix: LCR_}}
profiles: {{default: {{dial_plan: {{country: GB}}}}}}
""")
        result = await agi_lookup("call", "447400123456", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "LCR_STATUS=OK\n")
    assert running.sessions[0].arguments[2] == "s3cret"


async def test_silence_ends_with_the_hangup(tmp_path: Path) -> None:
    result, _ = await call(silence, "--hangup-after", "0.05", "--json", cwd=tmp_path)
    assert (result.returncode, json.loads(result.stdout)["variables"]) == (1, {})
