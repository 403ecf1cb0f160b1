"""What the documents promise is what the code does."""

from __future__ import annotations

import re

import pytest

from tests.processes import cli
from tools.readme_table import README, with_table

ROOT = README.parent


def test_the_readmes_variables_are_the_codes() -> None:
    text = README.read_text(encoding="utf-8")

    assert text == with_table(text), "run: python -m tools.readme_table"


@pytest.mark.parametrize("document", ["README.md", "SECURITY.md", "agi_lookup/ARCHITECTURE.md", "dialplan/README.md"])
def test_the_files_that_a_document_names_exist(document: str) -> None:
    path = ROOT / document
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    named = re.findall(r"`((?:config|dialplan|tools|agi_lookup)/[A-Za-z0-9_./-]+)`", text)

    missing = [n for n in links if not (path.parent / n).exists()] + [n for n in named if not (ROOT / n).exists()]
    assert missing == []


def shown_in_code(pattern: str) -> list[str]:
    """What the README shows in code, in a block or between backticks."""
    text = README.read_text(encoding="utf-8")
    code = re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)
    return sorted({word for piece in code for word in re.findall(pattern, piece)})


@pytest.mark.parametrize("command", shown_in_code(r"agi-lookup ([a-z]+)"))
def test_every_command_that_the_readme_shows_has_help(command: str) -> None:
    done = cli(command, "--help")

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("target", shown_in_code(r"\bmake ([a-z]+)"))
def test_each_make_target_of_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
