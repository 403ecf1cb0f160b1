"""The Dockerfile and its compose file, as far as they can be tested without a Docker: what they name is there and works."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.packages.building import REPOSITORY
from tests.processes import cli, make_site

COMPOSE = REPOSITORY / "packaging/docker/docker-compose.yml"


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """Instructions and what they say, each in one line."""
    text = re.sub(r"\\\n\s*", "", (REPOSITORY / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def last(steps: list[tuple[str, str]], word: str) -> str:
    return [rest for found, rest in steps if found == word][-1]


def copied(steps: list[tuple[str, str]]) -> set[str]:
    lists = (rest.split() for word, rest in steps if word == "COPY" and not rest.startswith("--from="))
    return {source for names in lists for source in names[:-1]}


def test_what_is_copied_is_there_and_not_ignored(steps: list[tuple[str, str]]) -> None:
    kept = set(re.findall(r"^!(.+)$", (REPOSITORY / ".dockerignore").read_text(), re.MULTILINE))

    assert copied(steps) == kept
    assert [name for name in kept if not (REPOSITORY / name).exists()] == []


def test_it_runs_as_a_user_without_rights_whose_state_is_a_volume(steps: list[tuple[str, str]]) -> None:
    """S24."""
    user = last(steps, "USER")

    assert user != "root"
    assert any(
        word == "RUN" and f"useradd --system --uid 990 --home-dir {last(steps, 'VOLUME')}" in rest
        for word, rest in steps
    )


def test_the_health_check_tells_a_server_that_answers_from_none(steps: list[tuple[str, str]], tmp_path: Path) -> None:
    command: list[str] = json.loads(last(steps, "HEALTHCHECK").partition("CMD ")[2])
    site = make_site(tmp_path)
    command[-1] = command[-1].replace(":8573/", f":{site.http_port}/")

    with site.serve():
        well = subprocess.run(command, check=False, capture_output=True)
    gone = subprocess.run(command, check=False, capture_output=True)

    assert well.returncode == 0, well.stderr
    assert gone.returncode == 1


def test_what_is_started_is_a_command(steps: list[tuple[str, str]]) -> None:
    assert json.loads(last(steps, "ENTRYPOINT")) == ["agi-lookup"]
    assert cli(*json.loads(last(steps, "CMD")), "--help").returncode == 0


def test_the_compose_file_names_files_that_are_there_and_a_good_config(tmp_path: Path) -> None:
    compose: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    ours = compose["services"]["agi-lookup"]
    files = [volume.split(":") for volume in ours["volumes"] if volume.startswith(".")]

    assert (COMPOSE.parent / ours["build"] / "Dockerfile").exists()
    assert [inside for _, inside, _ in files] == ["/etc/agi-lookup/agi-lookup.yaml"]
    for name, _, _ in files:
        done = cli("--config", str(COMPOSE.parent / name), "check")
        assert done.returncode == 0, done.stderr
