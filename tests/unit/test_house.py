"""The house rules that no other tool holds: sizes, docstrings, and documents that match what they describe."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from service.cli.reference import reference

ROOT = Path(__file__).parents[2]
FOLDERS = ("service", "dashboards", "tests", "benchmarks")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MOST_LINES = 300


def names(requirements: list[str]) -> set[str]:
    """Return the distributions that requirements name, lower-case, without extras and versions."""
    return {re.split(r"[\[<>=~! ;]", requirement, maxsplit=1)[0].lower() for requirement in requirements}


def test_stages_keep_to_the_one_way_flow() -> None:
    """The import contracts in pyproject.toml hold."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is_for(path: Path) -> None:
    """Each module has a docstring."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_no_module_of_the_service_is_long() -> None:
    """A module with over 300 lines has taken over a second job."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert not {path: lines for path, lines in lengths.items() if lines > MOST_LINES and "tests" not in path.parts}


def test_the_lock_names_no_address_and_pins_every_hash() -> None:
    """A lock without URLs works with any registry; every distribution in it has a hash."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    assert "--index" not in lock.replace("--no-emit-index-url", "")
    pins = re.findall(r"^[a-z0-9][^ ]*==[^ ]+(?: ;[^\\]*)?(.*)$", lock, flags=re.MULTILINE)
    assert pins
    assert all(pin.endswith("\\") for pin in pins)
    assert lock.count("--hash=sha256:") >= len(pins)


def test_the_lock_holds_every_dependency() -> None:
    """What pyproject.toml names is pinned."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = names(re.findall(r"^([a-z0-9][^=\[ ]*)", lock, flags=re.MULTILINE))
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = names(PROJECT["project"]["dependencies"]) | set().union(*map(names, extras)) - {"freshet"}
    assert wanted - {"freshet"} <= pinned


@pytest.mark.parametrize(
    ("heading", "wanted"),
    [
        ("To run", names(PROJECT["project"]["dependencies"])),
        (
            "Extras",
            names(
                line
                for extra, lines in PROJECT["project"]["optional-dependencies"].items()
                if extra != "dev"
                for line in lines
            ),
        ),
        ("To develop", names(PROJECT["project"]["optional-dependencies"]["dev"]) - {"freshet"}),
        ("To build", names(PROJECT["build-system"]["requires"])),
    ],
)
def test_every_dependency_says_what_it_earns_its_place_with(heading: str, wanted: set[str]) -> None:
    """docs/DEPENDENCIES.md has one line for each dependency, and for nothing else."""
    text = (ROOT / "docs" / "DEPENDENCIES.md").read_text(encoding="utf-8")
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^- `([^`]+)`(?: \(`[^`]+`\))?: \S", section, flags=re.MULTILINE)
    assert sorted(listed) == sorted(wanted)


def test_the_reference_of_the_configuration_is_current() -> None:
    """The page is what the settings say; otherwise the command in its second line writes it anew."""
    assert (ROOT / "docs" / "CONFIGURATION.md").read_text(encoding="utf-8") == reference()


def test_the_commands_in_the_readme_exist() -> None:
    """Every make target that the README names is one, and so is what CI calls."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\$ make ([a-z]+)", readme, flags=re.MULTILINE))
    assert named == {"demo", "test"}
    called = set(re.findall(r"^make ([a-z]+)$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert called == {"lint", "test"}
    assert named | called | {"bench", "lock", "clean"} <= targets
