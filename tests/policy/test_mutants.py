"""Would the tests notice? Each small error that can be made in what decides about a block is made, and must fail one of them.

One function at a time is parsed, changed in one place, and put in place of the real one in every module that knows it.
"""

from __future__ import annotations
import __future__

import ast
import copy
import inspect
import textwrap
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final

import pytest

from agi_lookup.policy import conditions, evidence, governance, rules
from tests.policy import test_conditions, test_evidence, test_never_block, test_rules

MODULES: Final = (evidence, conditions, rules, governance, test_evidence, test_conditions, test_rules, test_never_block)
CORE: Final[dict[ModuleType, tuple[str, ...]]] = {
    evidence: ("is_dead", "is_mobile", "is_alive", "is_conclusive", "score", "admissible"),
    rules: (
        "rule_on", "evaluate", "skips_lookup", "explain", "build", "allow_list", "configured", "dead_number", "_matches",
    ),
    conditions: (
        "tri", "_same", "_number", "_prefix", "_country", "_type", "_kind", "_caller", "_time", "_carrier", "_mccmnc", "_ported",
        "_cost", "_reachability", "_counts", "_reason", "_dead_score", "all_hold", "predicate", "needed",
    ),
}  # fmt: skip

EQUIVALENT: Final = {
    "predicate: if is never": "a single condition is only asked faster than one of several",
}
"""Changes that change nothing, with the reason."""

FLIPPED: Final = {
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
SWAPPED: Final = {
    "YES": "NO",
    "NO": "YES",
    "UNKNOWN": "NO",
    "BLOCK": "ALLOW",
    "ALLOW": "BLOCK",
    "TAG": "ALLOW",
    "OFF": "SHADOW",
}

Change = Callable[[], None]


def changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    """What can be done wrong at this node, in words, and the doing."""
    match node:
        case ast.Compare(ops=ops):
            for index, op in enumerate(ops):
                flipped = FLIPPED[type(op)]
                yield f"{type(op).__name__} is {flipped.__name__}", lambda i=index, f=flipped: ops.__setitem__(i, f())  # type: ignore[misc]
        case ast.BoolOp(op=op):
            yield (
                f"{type(op).__name__} is {FLIPPED[type(op)].__name__}",
                lambda: setattr(node, "op", FLIPPED[type(op)]()),
            )
        case ast.Constant(value=bool(value)):
            yield f"{value} is {not value}", lambda: setattr(node, "value", not value)
        case ast.Attribute(attr=attr) if attr in SWAPPED:
            yield f"{attr} is {SWAPPED[attr]}", lambda: setattr(node, "attr", SWAPPED[attr])
        case ast.IfExp(body=body, orelse=orelse):
            yield "if-else is else-if", lambda: vars(node).update(body=orelse, orelse=body)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "not is dropped", lambda: setattr(node, "operand", ast.UnaryOp(ast.Not(), operand))
        case ast.If():
            yield "if is never", lambda: setattr(node, "test", ast.Constant(value=False))


def mutants(module: ModuleType, name: str) -> Iterator[tuple[str, Any]]:
    """Each function that differs from the real one in one place, with the place in words."""
    real = getattr(module, name)
    tree = ast.parse(textwrap.dedent(inspect.getsource(real)))
    for place in range(sum(1 for _ in ast.walk(tree))):
        for which in range(len(list(changes(_node(tree, place))))):
            changed = copy.deepcopy(tree)
            node = _node(changed, place)
            words, change = list(changes(node))[which]
            change()
            yield f"{name}: {words}", _compiled(changed, module, name)


def _node(tree: ast.AST, place: int) -> ast.AST:
    return next(node for index, node in enumerate(ast.walk(tree)) if index == place)


def _compiled(tree: ast.Module, module: ModuleType, name: str) -> Any:
    made: dict[str, Any] = {}
    code = compile(
        ast.fix_missing_locations(tree),
        f"<mutant of {name}>",
        "exec",
        __future__.annotations.compiler_flag,
        dont_inherit=True,
    )
    exec(code, module.__dict__, made)  # noqa: S102 - our own source
    return made[name]


def claims() -> Iterator[Callable[[], None]]:
    """The tests of the decision that need nothing but themselves, the matrix last: it takes longest."""
    for module in (test_evidence, test_rules, test_conditions, test_never_block):
        for name, claim in vars(module).items():
            plain = name.startswith("test_") and not inspect.signature(claim).parameters
            if plain and not hasattr(claim, "pytestmark") and not hasattr(claim, "hypothesis"):
                yield claim


def _put_in_place(mutant: Any, real: Any, patch: pytest.MonkeyPatch) -> None:
    for module in MODULES:
        for name, value in list(vars(module).items()):
            if value is real:
                patch.setattr(module, name, mutant)
    for name, row in conditions.CONDITIONS.items():
        if row.test is real:
            patch.setitem(conditions.CONDITIONS, name, row._replace(test=mutant))


def survives(mutant: Any, real: Any, patch: pytest.MonkeyPatch) -> bool:
    _put_in_place(mutant, real, patch)
    try:
        for claim in claims():
            claim()
    except Exception:
        return False
    return True


NAMES: Final = [(module, name) for module, names in CORE.items() for name in names]


@pytest.mark.parametrize(("module", "name"), NAMES, ids=[name for _, name in NAMES])
def test_no_small_error_in_the_decision_goes_unnoticed(module: ModuleType, name: str) -> None:
    """B3, G15."""
    survivors = set()
    for words, mutant in mutants(module, name):
        with pytest.MonkeyPatch.context() as patch:
            if survives(mutant, getattr(module, name), patch):
                survivors.add(words)

    assert survivors <= EQUIVALENT.keys()


def test_what_is_changed_in_nothing_survives() -> None:
    """So it is the changes that fail the tests above, and not how they are made."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in NAMES:
            real = getattr(module, name)
            _put_in_place(_compiled(ast.parse(textwrap.dedent(inspect.getsource(real))), module, name), real, patch)
        for claim in claims():
            claim()


def test_the_changes_are_many() -> None:
    assert sum(1 for module, name in NAMES for _ in mutants(module, name)) > 150
