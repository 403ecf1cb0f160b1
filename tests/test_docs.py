"""What the documents promise is what the code does."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import jsonschema_rs
import pytest
import rich_click as click
import yaml

from agi_lookup import strict_yaml
from agi_lookup.alarms import ALARMS, PROVIDER
from agi_lookup.cli.main import app
from agi_lookup.config import ENVIRONMENT, Config
from agi_lookup.domain.errors import ProviderError
from agi_lookup.providers import loading
from tools.docs import pages as generated
from tools.docs.annotated import ANNOTATED, ROOT

CONFIG_PAGE: Final = ROOT / "docs" / "config.md"
OPERATIONS: Final = ROOT / "docs" / "operations.md"
pages: Final = cache(generated.pages)
NOT_OURS: Final = {"node_modules", "vendor"}
NEITHER_SERVER_NOR_CLI: Final = ("bench", "sim")


def documents() -> list[str]:
    """Every Markdown file of the repository."""
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
    return sorted(str(p) for p in found if not any(part.startswith(".") or part in NOT_OURS for part in p.parts))


@pytest.mark.parametrize("path", [str(path.relative_to(ROOT)) for path in pages()])
def test_what_is_generated_is_what_the_code_says(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == pages()[ROOT / path], "run: make docs"


def test_every_key_of_the_config_is_described() -> None:
    """By its model, or in the annotated config."""
    rows = [line for line in pages()[CONFIG_PAGE].splitlines() if line.startswith("| `")]

    assert rows
    assert [row for row in rows if row.endswith("|  |")] == []


# Links and names


@pytest.mark.parametrize("document", documents())
def test_links_lead_somewhere(document: str) -> None:
    """Relative links to files and their headings; the web is not asked."""
    path = ROOT / document
    lost = [target for target in links(path) if not leads_somewhere(path, target)]

    assert lost == []


@pytest.mark.parametrize("document", documents())
def test_the_files_that_a_document_names_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = re.findall(r"`((?:config|dialplan|docs|tools|tests|agi_lookup)/[A-Za-z0-9_./-]+)(?:::[a-z_0-9]+)?`", text)

    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", documents())
def test_the_tests_that_a_document_names_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[A-Za-z0-9_/]+\.py)::([a-z_0-9]+)`", text)

    assert [f"{path}::{name}" for path, name in named if name not in functions_of(ROOT / path)] == []


@cache
def functions_of(path: Path) -> frozenset[str]:
    functions = (node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions)


def threats() -> list[str]:
    """The rows of the threat model, without its heading."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8").partition("| attacker |")[2].partition("\n\n")[0]
    return text.splitlines()[2:]


@pytest.mark.parametrize("threat", threats())
def test_each_line_of_the_threat_model_is_tested(threat: str) -> None:
    """S26: by ids that tests name."""
    ids = threat.strip("| ").rpartition(" | ")[2].split()

    assert ids
    assert [id_ for id_ in ids if id_ not in named_by_tests()] == []


def links(path: Path) -> list[str]:
    prose = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", prose) if not re.match(r"[a-z]+:", target)]


def leads_somewhere(path: Path, target: str) -> bool:
    file, _, anchor = target.partition("#")
    there = path.parent / file if file else path
    return there.exists() and (not anchor or anchor in anchors(there))


@cache
def anchors(path: Path) -> frozenset[str]:
    """As the hosting platform makes them of headings, and those that are written out."""
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    made = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)
    return frozenset([*made, *re.findall(r'<a id="([^"]+)">', text)])


@pytest.mark.parametrize("document", documents())
def test_the_settings_that_a_document_names_exist(document: str) -> None:
    """Keys of the config as `budget.stop`, metrics as `agi_lookup_calls_total`, the dialplan's as `AGI_LOOKUP_HOST`."""
    text = (ROOT / document).read_text(encoding="utf-8")
    sections = "|".join(Config.model_fields)
    keys = re.findall(rf"`((?:{sections})(?:\.[A-Za-z_]+)+)(?::[^`]*)?`", text) if document not in OF_OTHER_KEYS else []
    metrics = re.findall(r"`?\b(agi_lookup_[a-z_]+)\b", text)
    globals_ = re.findall(r"\b(AGI_LOOKUP_[A-Z_]+)\b", text)

    assert [key for key in keys if not is_key(key) and key.rpartition(".")[2] not in NO_KEYS] == []
    assert [name for name in metrics if name not in known_metrics() and name not in FILES] == []
    assert [name for name in globals_ if name not in known_globals()] == []


OF_OTHER_KEYS: Final = ("docs/api.md", "agi_lookup/ARCHITECTURE.md")
"""Which name parts of JSON answers, and modules."""
NO_KEYS: Final = ("py", "sqlite", "key")
FILES: Final = frozenset(path.stem for path in (ROOT / "dialplan").iterdir())


def is_key(key: str) -> bool:
    """One of `docs/config.md`, whatever stands for `NAME`, or a section of them."""
    return any(re.match(rf"{key}(\.|$)", row.replace("[]", "")) or _named(key, row) for row in known_keys())


def _named(key: str, row: str) -> bool:
    pattern = re.escape(row.replace("[]", "")).replace("NAME", "[A-Za-z_]+")
    return re.fullmatch(pattern, key) is not None


@cache
def known_keys() -> frozenset[str]:
    text = pages()[CONFIG_PAGE]
    return frozenset(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE))


@cache
def known_metrics() -> frozenset[str]:
    return frozenset(re.findall(r"\bagi_lookup_[a-z_]+", (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")))


@cache
def known_globals() -> frozenset[str]:
    paths = [*(ROOT / "dialplan").glob("*.conf"), ANNOTATED]
    text = "".join(path.read_text(encoding="utf-8") for path in paths)
    return frozenset([*re.findall(r"\bAGI_LOOKUP_[A-Z_]+", text), ENVIRONMENT])


def shown_in_code(pattern: str, among: Iterable[str]) -> list[str]:
    """What documents show in code, in a block or between backticks."""
    found: set[str] = set()
    for document in among:
        text = (ROOT / document).read_text(encoding="utf-8")
        for piece in re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL):
            found.update(re.findall(pattern, piece))
    return sorted(found)


_SHOWN: Final = (
    r"(?m)(?:^|`|/|\$ |-u agi-lookup |exec agi-lookup )agi-lookup(?: --config \S+)? (?!agi-lookup)([a-z]+[^`\n|;#]*)"
)
SHOWN: Final = shown_in_code(_SHOWN, documents())


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that is shown, and its words that are none of a group's."""
    context = click.Context(app)
    command = app.get_command(context, words[0])
    assert command is not None, f"there is no {words[0]}"
    rest = words[1:]
    if isinstance(command, click.Group) and rest and rest[0].isalpha() and rest[0].islower():
        inner = command.get_command(context, rest[0])
        assert inner is not None, f"{words[0]} has no {rest[0]}"
        command, rest = inner, rest[1:]
    return command, rest


@pytest.mark.parametrize("shown", SHOWN)
def test_every_command_line_that_is_shown_can_be_given(shown: str) -> None:
    """The command exists, and so do its options."""
    command, rest = command_of(shown.split())
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}

    assert {re.split("[=.,)]", word)[0] for word in rest if word.startswith("-")} - options - {"--help", "-h"} == set()


def test_every_command_is_told_of() -> None:
    """A command that no document shows is one that nobody finds."""
    commands = {path.stem for path in (ROOT / "agi_lookup" / "cli").glob("*.py")} - {"__init__", "main"}

    assert commands - {shown.split()[0] for shown in SHOWN} == set()


@pytest.mark.parametrize("target", shown_in_code(r"\bmake ([a-z]+)", documents()))
def test_each_make_target_that_is_shown_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


# The schema for editors


@cache
def validator() -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(json.loads(pages()[ROOT / "config" / "agi-lookup.schema.json"]))


def complaints(document: str) -> list[str]:
    """With every scalar as text, as our own reader has it: forms that are written with quotes."""
    return [error.message for error in validator().iter_errors(strict_yaml.loads(document, "x").data)]


def test_editors_are_told_of_nothing_wrong_in_the_shipped_configs() -> None:
    annotated = ANNOTATED.read_text(encoding="utf-8")
    shown = "\n".join(
        line.replace("#", "", 1) if re.match(r"\s*#\S", line) else line for line in annotated.splitlines()
    )

    assert complaints(annotated) == []
    assert complaints(shown) == []
    assert complaints((ROOT / "config" / "quickstart.yaml").read_text(encoding="utf-8")) == []


PROFILES: Final = "profiles: {default: {dial_plan: {country: GB}}}\n"


@pytest.mark.parametrize(
    "wrong",
    [
        "server: {prot: 4573}",
        "server: {port: 70000}",
        "policy: {dead_numbers: {mode: enforced}}",
        "providers: {hlr: {kind: hlrlookup, api_key: x}}",
        "providers: {hlr: {kind: hlrlookup, api_key: x, api_secret: x, metod: hlr}}",
        "routing: {trunks: {acme: {vendor: acme}}}",
    ],
)
def test_editors_are_told_what_is_wrong(wrong: str) -> None:
    assert list(validator().iter_errors(yaml.safe_load(PROFILES + wrong))) != []


# Alarms, event words, failures


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes() -> tuple[ast.AST, ...]:
    """Of the source of what serves calls."""
    paths = sorted((ROOT / "agi_lookup").rglob("*.py"))
    ours = [p for p in paths if p.relative_to(ROOT / "agi_lookup").parts[0] not in NEITHER_SERVER_NOR_CLI]
    kinds = ast.Call | ast.Assign | ast.FunctionDef
    return tuple(node for path in ours for node in ast.walk(parsed(path)) if isinstance(node, kinds))


def calls(*names: str) -> Iterator[ast.Call]:
    """Of functions and methods with one of these names, but for `text.count`."""
    for node in (node for node in nodes() if isinstance(node, ast.Call)):
        match node.func:
            case ast.Attribute(attr=name, value=of) if name in names:
                if name != "count" or (isinstance(of, ast.Name) and of.id == "self"):
                    yield node
            case ast.Name(id=name) if name in names:
                yield node


def first_words(*names: str) -> set[str]:
    """The first arguments that are written out; the parts in braces of others as `<...>`."""
    found: set[str] = set()
    for call in calls(*names):
        for first in call.args[:1]:
            options = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
            found.update(word for option in options if (word := _word(option)))
    return found


def _word(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value if re.fullmatch("[a-z][a-z0-9_]+", node.value) else ""
    if isinstance(node, ast.JoinedStr):
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "<...>" for part in node.values)
        return text if re.fullmatch("[a-z0-9_<>.]+", text) else ""
    return ""


def provider_alarms(error: type[ProviderError] = ProviderError) -> set[str]:
    loading.known()  # kinds may have errors of their own
    found = {f"{PROVIDER}{error.code}"} if error.alarm else set()
    return found.union(
        *(provider_alarms(kind) for kind in error.__subclasses__() if kind.__module__.startswith("agi_"))
    )


def alarms_of_errors() -> set[str]:
    """Of exceptions that say it themselves: `alarm = "..."`, and what is raised for others."""
    found: set[str] = set()
    for node in nodes():
        match node:
            case ast.Assign(targets=[ast.Name(id="alarm")], value=ast.Constant(value=str(code))):
                found.add(code)
            case ast.Call(
                func=ast.Name(id="getattr"), args=[_, ast.Constant(value="alarm"), ast.Constant(value=str(code))]
            ):
                found.add(code)
    return found


def test_every_alarm_is_explained_and_no_other() -> None:
    """The console, the log and the alerts all refer to that table."""
    raised = first_words("alarm", "_alarm", "on_alarm", "_on_alarm", "tell", "_tell") - {f"{PROVIDER}<...>"}

    assert raised | alarms_of_errors() | provider_alarms() == set(ALARMS)


def explained(section: str, page: Path = OPERATIONS) -> set[str]:
    """What stands between backticks in a section of a document."""
    text = page.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"`([^`]+)`", text))


def test_every_event_word_is_explained() -> None:
    known = explained("Event words")
    patterns = [
        re.compile(re.escape(word).replace(r"<\.\.\.>", "[a-z<>_]+"))
        for word in first_words("event", "count", "_count", "_refuse")
    ]

    assert [p.pattern for p in patterns if not any(p.fullmatch(word) for word in known)] == []


def test_every_place_where_a_bug_is_caught_is_explained() -> None:
    assert first_words("bug") - explained("Event words") == set()


def test_every_field_of_a_calls_line_is_explained() -> None:
    (line,) = (node for node in nodes() if isinstance(node, ast.FunctionDef) and node.name == "call_line")
    keys = {
        key.value for n in ast.walk(line) if isinstance(n, ast.Dict) for key in n.keys if isinstance(key, ast.Constant)
    }

    assert keys
    assert keys - explained("The log") == set()


@cache
def faults() -> frozenset[str]:
    """The ids of `tests/FAULTS.md`."""
    text = (ROOT / "tests" / "FAULTS.md").read_text(encoding="utf-8")
    return frozenset(re.findall(r"\| ([A-Z][0-9]+) \|", text))


def failures() -> dict[str, list[str]]:
    """The rows of the table by id: fault, what happens, what stops it, test."""
    text = OPERATIONS.read_text(encoding="utf-8")
    rows = (line.strip("| ").split(" | ") for line in text.splitlines() if re.match(r"\| [A-Z][0-9]+ \|", line))
    return {id_: cells for id_, *cells in rows}


def test_every_fault_has_its_row() -> None:
    assert failures().keys() == faults()


@pytest.mark.parametrize("fault", sorted(faults()))
def test_the_test_that_a_row_names_is_about_that_fault(fault: str) -> None:
    """Of the row's own test or of its module, the docstring names the fault's id."""
    *_, named = failures()[fault]
    path, _, name = named.strip("`").partition("::")
    module = parsed(ROOT / path)
    (test,) = (n for n in ast.walk(module) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name == name)
    said = f"{ast.get_docstring(test)} {ast.get_docstring(module)}"

    assert re.search(rf"\b{fault}\b", said)


@cache
def named_by_tests() -> frozenset[str]:
    """The ids in docstrings of tests and their modules."""
    documented = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef
    paths = sorted((ROOT / "tests").rglob("test_*.py"))
    nodes_ = (node for path in paths for node in ast.walk(parsed(path)) if isinstance(node, documented))
    return frozenset(
        id_ for node in nodes_ for id_ in re.findall(r"\b[A-Z][0-9]{1,2}\b", ast.get_docstring(node) or "")
    )


def test_every_fault_is_named_by_a_test_and_no_test_names_another() -> None:
    ours = {id_ for id_ in named_by_tests() if id_[0] in "FPCOAB"}

    assert faults() == ours
