"""Would the tests notice? Makes each small error in what decides about blocks, one at a time, and runs the tests of that module.

Each mutant is a process forked before the product is imported, with one node of one module's syntax tree changed on import. A test
that fails, or hangs, kills it; what survives is shown with its line. `python -m tools.mutate [MODULE ...] [--sample N --seed S]`;
exit status 1: something survives that is not known to change nothing.

2026-11-30: evidence 55 of 55, interest 16 of 16, governance 182 of 184, circuit 87 of 88, history 84 of 87, peers 34 of 46,
wilson 37 of 39; all that survive change nothing (`KNOWN`). Of rules and conditions, `tests/policy/test_mutants.py` makes all in
each test run.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.abc
import importlib.machinery
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
TESTS: Final = {
    "rules": ("rules", "never_block", "options"),
    "conditions": ("conditions", "never_block", "rules", "options"),
    "evidence": ("evidence", "never_block"),
    "governance": ("governance", "followed"),
    "circuit": ("circuit",),
    "peers": ("followed",),
    "history": ("history", "evidence"),
    "wilson": ("wilson",),
    "interest": ("interest",),
}
"""Modules of `agi_lookup.policy`, and which of `tests/policy` speak of them."""
MUTANT_S: Final = 60.0
"""One that needs longer hangs."""

KNOWN: Final = {
    "conditions.predicate: If never": "a single condition is only asked faster than one of several",
    "circuit.Circuit._jump: 1.0 is 2.0": "no share is above either",
    "history.Silence: 0.0 is 1.0": "where nothing was tried, nobody asks when",
    "history.Silence: 0.0 is -1.0": "where nothing was tried, nobody asks when",
    "history.Histories._in_vain: 0 is -1": "the first try is more than an hour after 1970 anyway",
    "governance.Governor._is_suspect: False is True": "what looks at a source's word never holds where there is none",
    **{
        f"peers.{where}: 0.0 is {other}": "no time that counts is so long ago"
        for where in ("Tally.add", "Peers.heard", "Peers.returns", "Peers.returned", "Peers.distrusts")
        for other in (1.0, -1.0)
    },
    "wilson.wilson: 0.0 is -1.0": "only rounding could pass the end",
    "wilson.wilson: 1.0 is 2.0": "only rounding could pass the end",
    "governance.Governor._probe_share: 0.0 is -1.0": "no draw and no comparison with 0 tells them apart",
}
"""What changes nothing, with the reason."""

SWAPPED: Final[dict[type[ast.AST], type[ast.AST]]] = {
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
}  # fmt: skip
Change = Callable[[], None]


class Mutant(NamedTuple):
    """The `which`-th change at the `place`-th node; a place before the first changes nothing."""

    module: str
    place: int
    which: int
    line: int
    what: str  # MODULE.FUNCTION: change

    def __str__(self) -> str:
        return f"agi_lookup/policy/{self.module}.py:{self.line}: {self.what}"


def source(module: str) -> Path:
    return ROOT / "agi_lookup" / "policy" / f"{module}.py"


def mutants(module: str) -> list[Mutant]:
    tree = ast.parse(source(module).read_text("utf-8"))
    return [
        Mutant(module, place, which, getattr(node, "lineno", 0), f"{module}.{where}: {words}")
        for place, (where, node) in enumerate(_nodes(tree))
        for which, (words, _) in enumerate(_changes(node))
    ]


def unchanged(module: str) -> Mutant:
    """To show that it is the changes that fail the tests."""
    return Mutant(module, -1, 0, 0, f"{module}: nothing")


def changed(mutant: Mutant) -> ast.Module:
    tree = ast.parse(source(mutant.module).read_text("utf-8"))
    if mutant.place < 0:
        return tree
    _, node = list(_nodes(tree))[mutant.place]
    _, change = list(_changes(node))[mutant.which]
    change()
    return ast.fix_missing_locations(tree)


def _nodes(tree: ast.AST, where: str = "") -> Iterator[tuple[str, ast.AST]]:
    """All that runs, with the function that it stands in: no annotations, no docstrings, no decorators.

    Nor named figures and the limits of options: tests go by the names of the ones, and the others decide nothing.
    """
    if isinstance(tree, ast.Call) and ast.unparse(tree.func) in ("Field", "ConfigDict", "msgspec.Meta"):
        return
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "keywords") and not isinstance(tree, ast.Call):
            continue
        for node in value if isinstance(value, list) else [value]:
            if not isinstance(node, ast.AST) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
                continue
            if not where and isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant | ast.BinOp):
                continue
            inside = node.name if isinstance(node, ast.FunctionDef | ast.ClassDef) else ""
            within = ".".join(filter(None, (where, inside)))
            yield within, node
            yield from _nodes(node, within)


def _changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    match node:
        case ast.Compare(ops=ops):
            for index, op in enumerate(ops):
                yield _swap(op, lambda other, i=index: ops.__setitem__(i, other))  # type: ignore[misc]
        case ast.BoolOp(op=op):
            yield _swap(op, lambda other: setattr(node, "op", other))
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in SWAPPED:
            yield _swap(op, lambda other: setattr(node, "op", other))
        case ast.Constant(value=bool() | int() | float() as value):
            for other in [not value] if isinstance(value, bool) else [value + 1, value - 1]:
                yield f"{value} is {other}", lambda other=other: setattr(node, "value", other)  # type: ignore[misc]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "not dropped", lambda: setattr(node, "operand", ast.UnaryOp(ast.Not(), operand))
        case ast.IfExp(body=body, orelse=orelse):
            yield "else-if", lambda: vars(node).update(body=orelse, orelse=body)
        case ast.If():
            for truth, word in ((False, "never"), (True, "always")):
                yield f"If {word}", lambda truth=truth: setattr(node, "test", ast.Constant(value=truth))  # type: ignore[misc]
        case ast.Return(value=ast.expr() as value) if not _is_nothing(value):
            yield "returns None", lambda: setattr(node, "value", ast.Constant(value=None))


def _swap(op: ast.AST, put: Callable[[ast.AST], None]) -> tuple[str, Change]:
    other = SWAPPED[type(op)]
    return f"{type(op).__name__} is {other.__name__}", lambda: put(other())


def _is_nothing(value: ast.expr) -> bool:
    """None, or what counts as much."""
    return isinstance(value, ast.Constant) and not value.value


class _Finder(importlib.abc.MetaPathFinder):
    """Of the one module, with its change."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = f"agi_lookup.policy.{mutant.module}"

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.machinery.ModuleSpec(fullname, _Loader(self._mutant))


class _Loader(importlib.abc.Loader):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def exec_module(self, module: ModuleType) -> None:
        code = compile(changed(self._mutant), str(source(self._mutant.module)), "exec", dont_inherit=True)
        exec(code, module.__dict__)


def kills(mutant: Mutant) -> bool:
    """Does a test fail, or hang? Forks; what is imported so far must not include the policy."""
    child = os.fork()
    if child == 0:
        os._exit(_tested(mutant))
    deadline = time.monotonic() + MUTANT_S
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status != 0
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return True


def _tested(mutant: Mutant) -> int:
    """As a process's exit status: 0 when all tests pass."""
    import hypothesis  # noqa: PLC0415
    import pytest  # noqa: PLC0415

    hypothesis.settings.register_profile("few", max_examples=25, database=None, deadline=None, derandomize=True)
    hypothesis.settings.load_profile("few")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    sys.meta_path.insert(0, _Finder(mutant))
    tests = [str(ROOT / "tests" / "policy" / f"test_{name}.py") for name in TESTS[mutant.module]]
    return int(
        pytest.main(["-c", os.devnull, "--noconftest", "--assert=plain", "-x", "-p", "no:cacheprovider", *tests])
    )


def chosen(modules: Iterable[str], sample: int | None, seed: int) -> list[Mutant]:
    every = [mutant for module in modules for mutant in mutants(module)]
    return every if sample is None else random.Random(seed).sample(every, min(sample, len(every)))


def survivors(among: Sequence[Mutant], say: Callable[[str], None] = lambda _line: None) -> list[Mutant]:
    found = []
    for mutant in among:
        if not kills(mutant):
            found.append(mutant)
            say(f"{mutant}{'  (known)' if mutant.what in KNOWN else ''}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", default=list(TESTS), metavar="MODULE", help=f"of {', '.join(TESTS)}")
    parser.add_argument("--sample", type=int, help="that many, drawn by chance; else all")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    for name in (
        "hypothesis",
        "msgspec",
        "pydantic",
        "pytest",
        "agi_lookup.domain.number",
        "agi_lookup.providers.base",
    ):
        importlib.import_module(name)  # once, not in each child
    for module in asked.modules:
        if kills(unchanged(module)):
            sys.exit(f"{module}: its tests fail without a change")
    among = chosen(asked.modules, asked.sample, asked.seed)
    left = survivors(among, print)
    for module, count in Counter(mutant.module for mutant in among).items():
        alive = sum(mutant.module == module for mutant in left)
        print(f"{module}: {count - alive} of {count} killed")
    print(f"score {1 - len(left) / max(1, len(among)):.1%}, {len(left)} of {len(among)} survive")
    sys.exit(any(mutant.what not in KNOWN for mutant in left))


if __name__ == "__main__":
    main()
