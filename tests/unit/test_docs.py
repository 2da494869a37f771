"""What the documents promise is there: links and anchors, commands and their options, targets, keys of settings."""

import ast
import itertools
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from examples.orders import write as write_orders
from service.cli import app
from service.cli.reference import reference
from service.schema_inference import infer
from service.tables import read_table

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
INDEX = ROOT / "docs" / "README.md"
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
KEY = re.compile(r"^[a-z]+(\.[a-z_]+)+$")
SHELLS = {"", "console", "sh", "bash"}
ENDS_OF_A_COMMAND = {"|", "||", "&&", "&", ";", ">", "2>", "<", "done", "do"}

KEYS = set(re.findall(r"^(?:\| |## )`([a-z_.]+)`", reference(), flags=re.MULTILINE))
"""Every key of the configuration, and every section."""
SECTIONS = {key.partition(".")[0] for key in KEYS if "." in key}
NO_KEYS = {"trigger.held", "trigger.spacing", "trigger.unserved_seconds"}
"""They look like keys and are what GET /v1/status says of the trigger."""

COMMANDS: Any = typer.main.get_command(app)


def prose(text: str) -> str:
    """Return a page without its blocks of code."""
    return FENCE.sub("", text)


def blocks(text: str, languages: set[str]) -> list[str]:
    """Return the blocks of code in one of these languages."""
    return [code for language, code in FENCE.findall(text) if language in languages]


def anchors(text: str) -> set[str]:
    """Return the anchors that a page's headings get on GitHub."""
    found: list[str] = []
    for heading in re.findall(r"^#{1,6} +(.+)$", prose(text), flags=re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        found.append(re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-"))
    again = {slug: itertools.count(1) for slug in found}
    seen: set[str] = set()
    for slug in found:
        seen.add(f"{slug}-{next(again[slug])}" if slug in seen else slug)
    return seen | set(re.findall(r'(?:id|name)="([^"]+)"', text))


def commands(code: str) -> Iterator[list[str]]:
    """Yield the words behind each `freshet` that a block of a shell runs; what it prints is left out."""
    for line in re.sub(r"\\\n", " ", code).splitlines():
        if not line.startswith(("$ ", "# ", " ")):
            continue
        for run in re.finditer(r"(?<![\w./:=-])(?:\.venv/bin/)?freshet (?=[a-z])(.*)", line.removeprefix("$ ")):
            lexer = shlex.shlex(re.sub(r"\b2?>\S+", "", run[1]), posix=True, punctuation_chars="|&;<>")
            lexer.whitespace_split = True
            words = list(itertools.takewhile(lambda word: word not in ENDS_OF_A_COMMAND, lexer))
            of_docker = re.match(r"docker|kubectl", line.removeprefix("$ "))  # there `freshet` may be an image's name
            if not of_docker or words[0] in COMMANDS.commands:
                yield words


def trouble(words: list[str], *, whole: bool) -> str | None:
    """Return what is wrong with a command line of Freshet, None if nothing is; ``whole`` ones need their arguments."""
    command, rest = COMMANDS, list(words)
    while hasattr(command, "commands"):
        name = rest.pop(0) if rest else None
        if name not in command.commands:
            return None if name is None and not whole else f"no command {name!r}"
        command = command.commands[name]
    options = {name: option for option in command.params for name in option.opts}
    given = 0
    while rest:
        word = rest.pop(0)
        name, joined, _ = word.partition("=")
        if not word.startswith("-"):
            given += 1
        elif name not in options and name != "--help":
            return f"no option {name}"
        elif name in options and not options[name].is_flag and not joined and rest:
            value = rest.pop(0)
            key = value.partition("=")[0].strip()
            if name == "--set" and key != "KEY" and key not in KEYS:
                return f"no key {key}"
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    least = sum(one.required for one in arguments)
    return None if (least if whole else 0) <= given <= len(arguments) else f"{given} arguments"


def keys_of(tree: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Yield the keys of nested settings, joined by dots, down to those that hold no section."""
    for name, value in tree.items():
        key = f"{above}{name}"
        yield key
        if isinstance(value, dict) and any(known.startswith(f"{key}.") for known in KEYS):
            yield from keys_of(value, f"{key}.")


@EVERY_PAGE
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    """A relative link or picture names a file that is there, and behind a `#` a heading that it has."""
    text = page.read_text(encoding="utf-8")
    for target in filter(None, itertools.chain.from_iterable(LINK.findall(prose(text)))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), target


@EVERY_PAGE
def test_commands_and_their_options_exist(page: Path) -> None:
    """Whatever `freshet` command a page runs or names is one, with those options, and keys behind `--set`."""
    text = page.read_text(encoding="utf-8")
    run = [(words, True) for code in blocks(text, SHELLS) for words in commands(code)]
    named = [(shlex.split(code)[1:], False) for code in INLINE.findall(prose(text)) if re.match(r"freshet [a-z]", code)]
    faults = {" ".join(words): trouble(words, whole=whole) for words, whole in run + named}
    assert not {words: fault for words, fault in faults.items() if fault}


@EVERY_PAGE
def test_make_targets_exist(page: Path) -> None:
    """Every `make` target that a page names is one."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    code = [*INLINE.findall(prose(text)), *"\n".join(blocks(text, SHELLS)).splitlines()]
    named = [re.match(r"(?:\$ )?make (?:[A-Z_]+=\S+ )*([a-z-]+)", line) for line in code]
    assert {one[1] for one in named if one} <= targets


@EVERY_PAGE
def test_keys_of_the_configuration_exist(page: Path) -> None:
    """What looks like a key of a section, and whatever a block of YAML sets, is one."""
    text = page.read_text(encoding="utf-8")
    named = {code for code in INLINE.findall(prose(text)) if KEY.match(code) and code.partition(".")[0] in SECTIONS}
    for code in blocks(text, {"yaml"}):
        tree = yaml.safe_load(code)
        if isinstance(tree, dict) and tree.keys() <= SECTIONS | {"task"}:
            named |= set(keys_of(tree))
    assert named - NO_KEYS <= KEYS


@EVERY_PAGE
def test_examples_in_python_are_whole(page: Path) -> None:
    """A block of Python compiles."""
    for code in blocks(page.read_text(encoding="utf-8"), {"python"}):
        ast.parse(code)


def test_the_index_names_every_page() -> None:
    """Who reads docs/README.md finds every other page."""
    linked = set(re.findall(r"\]\(([A-Z_]+\.md)", INDEX.read_text(encoding="utf-8")))
    assert linked == {page.name for page in PAGES if page.parent == INDEX.parent} - {INDEX.name}


@pytest.mark.parametrize(
    "line",
    [
        "freshet lern",
        "freshet checkpoints drop",
        "freshet pretrain",
        "freshet train a.csv",
        "freshet replay a.csv --fast",
        "freshet run --set serve.prot=1",
    ],
)
def test_a_wrong_command_line_is_seen(line: str) -> None:
    """The check of command lines finds unknown commands, options and keys, and arguments too few or too many."""
    [words] = commands(f"$ {line}\n")
    assert trouble(words, whole=True)


def test_a_right_command_line_is_none_of_its_business() -> None:
    """Comments, pipes, continuations and loops around a command do not matter."""
    code = "$ for n in 1 2; do\n    freshet replay a.csv --set train.seed=$n --json 2>e.txt |\n      sort; done\n"
    code += "$ freshet checkpoints pin latest \\\n    --reason 'an audit'  # until unpinned\nfreshet: done\n"
    found = list(commands(code))
    assert [words[0] for words in found] == ["replay", "checkpoints"]
    assert not any(trouble(words, whole=True) for words in found)


def test_the_orders_of_the_example_are_those_of_the_how_to(tmp_path: Path) -> None:
    """What `freshet init` infers from the example's file is what docs/YOUR_DATA.md shows."""
    write_orders(tmp_path)
    inferred = infer(read_table(tmp_path / "history.csv"), "outcome")
    [shown] = blocks((ROOT / "docs" / "YOUR_DATA.md").read_text(encoding="utf-8"), {"yaml"})
    tree = {"task": inferred.task, "schema": inferred.schema.model_dump(mode="json", exclude_defaults=True)}
    assert yaml.safe_load(shown) == tree
