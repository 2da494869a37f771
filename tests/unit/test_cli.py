"""The command line: which commands there are, what each takes, and how each kind of failure ends."""

import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
import yaml
from typer.main import get_command

from service.cli import app, main
from service.configuration import check_tree
from service.settings import Settings

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "init",
    "check",
    "pretrain",
    "replay",
    "run",
    "train",
    "serve",
    "send",
    "demo",
    "checkpoints list",
    "checkpoints show",
    "checkpoints verify",
    "checkpoints promote",
    "checkpoints pin",
    "checkpoints unpin",
    "checkpoints history",
    "ledger",
    "dlq list",
    "dlq replay",
    "topics create",
}
FILE_OF_COMMAND = {"send": ["a.csv"], "pretrain": ["a.csv"], "replay": ["a.csv"]}
WITH_ID = ("checkpoints show", "checkpoints promote", "checkpoints pin")

Ended = tuple[int, str, str]
Freshet = Callable[..., Ended]


@pytest.fixture
def freshet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Freshet]:
    """Return a function that runs one command in an empty folder and returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    handlers, level, shown = logging.root.handlers[:], logging.root.level, warnings.showwarning

    def run(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), captured.out, captured.err

    yield run
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    warnings.showwarning = shown
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def parameters() -> dict[str, set[str]]:
    """Return every command's options."""
    found = {}
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined] # it is a group
        for below, leaf in getattr(command, "commands", {"": command}).items():
            found[f"{name} {below}".strip()] = {option for parameter in leaf.params for option in parameter.opts}
    return found


def test_exactly_the_promised_commands_exist() -> None:
    """What belongs to a later issue is not there yet, not even as a stub."""
    assert set(parameters()) == COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_takes_the_common_options(command: str) -> None:
    """--config, --set and --json work everywhere."""
    assert {"--config", "--set", "--json"} <= parameters()[command]


def test_help_needs_nothing_slow() -> None:
    """Help of every command comes without importing torch, kafka, fastapi or numpy."""
    code = f"""
import sys
from service.cli import main
for command in {sorted(COMMANDS)!r}:
    try:
        main([*command.split(), "--help"])
    except SystemExit as ended:
        assert ended.code == 0, (command, ended.code)
slow = {{"torch", "kafka", "fastapi", "numpy"}} & set(sys.modules)
assert not slow, slow
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("--config") >= len(COMMANDS)


def test_check_prints_a_configuration_that_means_the_same(freshet: Freshet) -> None:
    """The effective configuration can be saved and used as a file."""
    code, out, _ = freshet("check", "--set", "schema.numeric=[a]", "--set", "window.events=77")
    assert code == 0
    read = check_tree(yaml.safe_load(out))
    assert read.window.events == 77
    assert read.schema_.numeric == ("a",)


def test_check_answers_with_one_object(freshet: Freshet) -> None:
    """With --json nothing but the object is on standard output; a missing schema is said, not an error."""
    code, out, err = freshet("check", "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["valid"] is True
    assert answer["has_schema"] is False
    assert check_tree(answer["configuration"]) == Settings()
    assert "freshet init" in err


def test_check_warns_of_files_that_cannot_be_read(freshet: Freshet, tmp_path: Path) -> None:
    """A line for each setting in use, on standard error alone: secrets may be mounted later, or elsewhere."""
    (tmp_path / "ca.pem").touch()
    security = "{protocol: SASL_SSL, mechanism: PLAIN, username: u, ca_file: ca.pem, password_file: none}"
    used = ("--set", f"source.kafka.security={security}", "--set", "serve.tokens_file=.", "--set", "schema.numeric=[a]")
    code, out, err = freshet("check", "--json", *used, "--set", "source.kind=kafka")
    assert (code, json.loads(out)["valid"]) == (0, True)
    assert err.splitlines() == [
        "freshet: warning: source.kafka.security.password_file: none cannot be read now (No such file or directory)",
        "freshet: warning: serve.tokens_file: . cannot be read now (Is a directory)",
    ]
    code, _, err = freshet("check", *used)
    assert (code, err.count("\n")) == (0, 1)


def test_check_tries_a_network_of_the_users_own(freshet: Freshet) -> None:
    """What is wrong with it is one line; weights or a device that are not there are a warning."""
    options = ("--set", "schema.numeric=[a]", "--set", "train.model.weights=absent.safetensors")
    code, _, err = freshet("check", *options, "--set", "train.model.module=tests.networks:Linear")
    assert (code, "absent.safetensors cannot be read now" in err) == (0, True)
    device = ("--set", "train.device=cuda:63")  # no machine has so many
    code, _, err = freshet("check", *options, *device, "--set", "train.model.module=tests.networks:Linear")
    assert (code, "freshet: warning: train.device: cuda:63 cannot be used here (" in err) == (0, True)
    code, _, err = freshet("check", *options, "--set", "train.model.module=tests.networks:wide")
    assert (code, "freshet: train.model.module: forward returned" in err) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--set", "window.evnts=5"),
        ("--set", "window.events=none"),
        ("--config", "absent.yaml"),
    ],
)
@pytest.mark.parametrize("command", sorted(COMMANDS - {"init"}))
def test_a_wrong_configuration_is_one_line_and_exit_2(
    freshet: Freshet, command: str, arguments: tuple[str, ...]
) -> None:
    """Every command refuses it the same way, before it does anything else."""
    given = (FILE_OF_COMMAND | {name: ["x"] for name in WITH_ID}).get(command, [])
    code, out, err = freshet(*command.split(), *given, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("freshet: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["run", "train", "serve", "send", "pretrain"])
def test_without_a_schema_a_role_ends_with_2_and_names_it(freshet: Freshet, command: str) -> None:
    """The line says which command infers a schema."""
    code, out, err = freshet(command, *FILE_OF_COMMAND.get(command, []))
    assert (code, out) == (2, "")
    assert "schema" in err
    assert "freshet init" in err


@pytest.mark.parametrize("arguments", [("chek",), ("check", "--nonsense"), ("init", "a.csv"), ("send",), ("replay",)])
def test_wrong_use_ends_with_2(freshet: Freshet, arguments: tuple[str, ...]) -> None:
    """Unknown commands and options, and missing arguments, are wrong use."""
    code, out, err = freshet(*arguments)
    assert (code, out) == (2, "")
    assert "Error" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("send", "absent.csv", "--set", "schema.numeric=[a]"), "absent.csv: no such file"),
        (("init", "absent.csv", "--label", "y"), "absent.csv: no such file"),
        (("init", "a.csv", "--label", "y", "--set", "schema.label=z"), "init infers the schema"),
        (("replay", "absent.csv", "--label", "y"), "absent.csv: no such file"),
        (("dlq", "list", "--reason", "boredom"), "there are too_large, "),
    ],
)
def test_a_failure_is_one_line_without_traceback(freshet: Freshet, arguments: tuple[str, ...], words: str) -> None:
    """What the user can put right is said, not raised."""
    code, out, err = freshet(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("freshet: ")
    assert words in err


@pytest.mark.parametrize("rate", ["inf", "nan", "0"])
@pytest.mark.parametrize("command", ["send", "demo", "replay"])
def test_a_rate_has_to_be_finite(freshet: Freshet, command: str, rate: str) -> None:
    """No pace could be kept at infinity, NaN or nothing."""
    code, out, err = freshet(command, *FILE_OF_COMMAND.get(command, []), "--rate", rate)
    assert (code, out) == (2, "")
    assert err.startswith(f"freshet: --rate {rate}: a finite rate of at least ")
    assert err.count("\n") == 1


def test_init_refuses_an_unknown_variable_and_writes_no_variable(
    freshet: Freshet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment is checked as by every command, but belongs in no file."""
    (tmp_path / "a.csv").write_text("x,y\n1,u\n2.5,d\n")
    monkeypatch.setenv("FRESHET_WINDOW__EVENTS", "77")
    code, out, _ = freshet("init", "a.csv", "--label", "y")
    written = check_tree(yaml.safe_load(out))
    assert (code, written.window.events) == (0, 2_000)
    assert {"path", "state_path"} <= yaml.safe_load(out)["store"].keys() | yaml.safe_load(out)["trainer"].keys()
    monkeypatch.setenv("FRESHET_FOO__BAR", "1")
    code, out, err = freshet("init", "a.csv", "--label", "y", "--out", "a.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("freshet: FRESHET_FOO__BAR: foo: unknown key foo")
    assert not (tmp_path / "a.yaml").exists()


@pytest.mark.parametrize("command", ["list", "replay"])
def test_dead_letters_of_no_log_are_none_and_leave_no_trace(freshet: Freshet, tmp_path: Path, command: str) -> None:
    """Who only looks makes neither file nor folder, and hears that there is no log."""
    code, out, err = freshet("dlq", command, "--json")
    assert code == 0
    answer = json.loads(out)
    assert answer.get("total", answer.get("sent")) == 0
    assert ("there is no log" in err) == (command == "list")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_checkpoint_is_a_failure_not_wrong_use(freshet: Freshet) -> None:
    """Exit 1 says that the command was right but could not be done."""
    code, _, err = freshet("checkpoints", "show", "000001-0123abcd")
    assert code == 1
    assert "freshet checkpoints list" in err
    code, _, err = freshet("checkpoints", "promote", "latest")
    assert code == 1
    assert "nothing serves" in err


def test_a_reader_who_leaves_is_not_complained_about() -> None:
    """A broken pipe is quiet."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "service", "check", "--set", "schema.numeric=[a]"]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_replay_answers_with_one_object(freshet: Freshet, tmp_path: Path) -> None:
    """A label is enough; what was inferred, the verdict and progress go to standard error."""
    rows = "".join(f"{index % 7},{'u' if index % 7 > 3 else 'd'}\n" for index in range(60))
    (tmp_path / "a.csv").write_text("x,y\n" + rows)
    quick = ("--set", "trigger.every_events=30", "--set", "train.first_steps=5", "--set", "train.portfolio=[]")
    code, out, err = freshet("replay", "a.csv", "--label", "y", "--json", *quick)
    told = json.loads(out)
    assert (code, out.count("\n")) == (0, 1)
    assert {"champion", "frozen", "ungated"} == told["accuracy"].keys() == told["loss"].keys()
    assert {"started", "promoted", "rejected", "failed", "rolled_back"} == told["rounds"].keys()
    assert told["drift"].keys() == {"alarms"}
    assert (told["events"], told["rounds"]["started"], told["dead_lettered"]) == (60, 2, 0)
    assert told["seconds"] > 0
    assert told["events_per_second"] > 0
    assert "schema from the first 60 rows" in err
    code, out, err = freshet("replay", "a.csv", "--set", "schema.numeric=[x]", "--set", "schema.label=y")
    assert (code, out) == (0, "")
    assert "schema from" not in err
    code, out, err = freshet("replay", "a.csv")
    assert (code, out) == (2, "")
    assert "freshet init" in err
