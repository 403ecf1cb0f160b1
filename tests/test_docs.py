"""What the documents promise is what the code does."""

from __future__ import annotations

import re
import subprocess

import pytest

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


def test_every_command_that_the_readme_shows_has_help() -> None:
    shown = set(re.findall(r"agi-lookup ([a-z]+)\b", README.read_text(encoding="utf-8"))) - {"is"}

    for command in sorted(shown):
        done = subprocess.run(
            [ROOT / ".venv/bin/agi-lookup", command, "--help"], capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_each_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    for target in re.findall(r"`?make ([a-z]+)", README.read_text(encoding="utf-8")):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
