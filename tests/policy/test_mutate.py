"""`tools/mutate.py`: that it changes what it says, and (long) that what it changes is noticed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest

from tools import mutate

SAMPLE = 60


@pytest.mark.parametrize("module", mutate.TESTS)
def test_a_mutant_differs_from_the_module(module: str) -> None:
    real = ast.unparse(mutate.changed(mutate.unchanged(module)))
    assert real == ast.unparse(ast.parse(mutate.source(module).read_text("utf-8")))

    made = [ast.unparse(mutate.changed(mutant)) for mutant in mutate.chosen([module], 8, seed=1)]

    assert real not in made
    assert len(made) == 8


def test_a_sample_is_the_same_each_time() -> None:
    assert mutate.chosen(mutate.TESTS, 20, seed=3) == mutate.chosen(mutate.TESTS, 20, seed=3)
    assert len(mutate.chosen(["wilson"], 5, seed=1)) == 5


@pytest.mark.soak
@pytest.mark.skipif("SOAK" not in os.environ, reason="long: SOAK=1")
def test_errors_in_what_decides_about_blocks_do_not_go_unnoticed() -> None:
    """B3, B5, G15: drawn from all; the whole is `python -m tools.mutate`."""
    command = [sys.executable, "-m", "tools.mutate", "--sample", str(SAMPLE)]

    done = subprocess.run(command, cwd=mutate.ROOT, capture_output=True, text=True, check=False, timeout=3600)

    assert done.returncode == 0, done.stdout + done.stderr
