"""The commands about files, end to end in processes of their own: configuration, topic, dead letters, checkpoints."""

import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from service.configuration import load_settings
from service.ingest.connect import open_sink, open_source
from service.ingest.dead_letters import DeadLetter
from service.records import Partition
from service.settings import Settings
from service.store.checkpoints import Checkpoint, CheckpointStore
from service.store.journal import Journal
from service.store.manifest import Manifest
from service.store.operations import OPERATIONS

ROOT = Path(__file__).parents[2]
IDS = ("000000-00000000", "000001-00000001")

Freshet = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment() -> dict[str, str]:
    """Return an environment in which this very package is run, and no setting is hidden."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FRESHET_")}
    return {**kept, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def freshet(tmp_path: Path, environment: dict[str, str]) -> Freshet:
    """Return a function that runs one command in the test's folder."""

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "service", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Return a file of 300 events, some with a missing cell, and one with a word for a number far down."""
    lines = ["id,amount,country,returning,outcome"]
    for index in range(300):
        amount = "many" if index == 250 else f"{index % 17}.5"
        country = "" if index % 50 == 7 else ("NZ", "AU", "FJ")[index % 3]
        lines.append(f"{index},{amount},{country},{'yes' if index % 2 else 'no'},{'good' if index % 17 > 8 else 'bad'}")
    path = tmp_path / "history.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def in_topic(folder: Path) -> list[dict[str, Any]]:
    """Return all events that the folder's configuration finds in its topic."""
    settings = load_settings(folder / "freshet.yaml", (), {})
    embedded = settings.source.embedded.model_copy(update={"path": folder / settings.source.embedded.path})
    source = settings.source.model_copy(update={"embedded": embedded})
    with closing(open_source(settings.model_copy(update={"source": source}))) as opened:
        return [json.loads(value or b"") for batch in opened.poll(100_000, 0.0) for value in batch.values]


def test_init_check_and_send_work_on_a_csv_file(freshet: Freshet, history: Path, tmp_path: Path) -> None:
    """What init writes is accepted by check, and send puts every row into the topic it names."""
    out = tmp_path / "freshet.yaml"
    (tmp_path / "head.csv").write_text("\n".join(history.read_text().splitlines()[:200]) + "\n")
    done = freshet("init", "head.csv", "--label", "outcome", "--out", "freshet.yaml")
    assert done.stdout == ""
    assert "next: freshet run" in done.stderr
    checked = json.loads(freshet("check", "--json").stdout)["configuration"]
    assert checked["task"] == "binary"
    assert checked["schema"] == {
        "numeric": ["amount"],
        "categorical": ["country"],
        "boolean": ["returning"],
        "vector": {},
        "nullable": ["country"],
        "label": "outcome",
        "labels": ["bad", "good"],
    }
    sent = json.loads(freshet("send", "history.csv", "--json").stdout)
    assert sent.pop("seconds") > 0
    assert sent.pop("events_per_second") > 0
    assert sent == {"file": "history.csv", "topic": "events", "events": 300, "refused": {}}
    events = in_topic(tmp_path)
    assert [event["id"] for event in events] == [str(index) for index in range(300)]
    assert events[1]["features"] == {"amount": 1.5, "country": "AU", "returning": True}
    assert "country" not in events[7]["features"]
    assert events[250]["features"]["amount"] == "many"
    assert load_settings(out, (), {}).schema_.labels == ("bad", "good")


def test_init_prints_and_overwrites_only_when_told_to(freshet: Freshet, history: Path, tmp_path: Path) -> None:
    """Without --out the configuration goes to the output; an existing file is kept unless --force is given."""
    out = tmp_path / "mine.yaml"
    out.write_text("task: regression\n")
    assert "exists already" in freshet("init", history.name, "--label", "outcome", "--out", "mine.yaml", code=2).stderr
    assert out.read_text() == "task: regression\n"
    freshet("init", history.name, "--label", "outcome", "--out", "mine.yaml", "--force")
    assert out.read_text() == freshet("init", history.name, "--label", "outcome").stdout


def test_init_keeps_what_it_is_told(freshet: Freshet, history: Path, tmp_path: Path) -> None:
    """--config is a beginning whose other keys stay, --set has the last word, the task too."""
    (tmp_path / "base.yaml").write_text("trainer: {port: 9001}\nwindow: {events: 500}\nschema: {numeric: [gone]}\n")
    options = ("--config", "base.yaml", "--set", "source.kind=kafka", "--set", "task=multiclass", "--json")
    answer = json.loads(freshet("init", history.name, "--label", "outcome", *options).stdout)
    (tmp_path / "made.yaml").write_text(answer["configuration"])
    settings = load_settings(tmp_path / "made.yaml", (), {})
    assert (settings.trainer.port, settings.window.events) == (9001, 500)
    assert settings.source.kind == "kafka"
    assert settings.task == answer["task"] == "multiclass"
    assert "gone" not in settings.schema_.names
    assert any("'amount' holds numbers and texts" in warning for warning in answer["warnings"])


def test_parquet_is_inferred_and_sent_like_csv(freshet: Freshet, tmp_path: Path) -> None:
    """Typed columns give the same schema, and typed events."""
    columns = {
        "x": [index / 3 for index in range(40)],
        "kind": [f"k{index % 3}" for index in range(40)],
        "price": [index * 1.37 for index in range(40)],
    }
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    freshet("init", "a.parquet", "--label", "price", "--out", "freshet.yaml")
    freshet("send", "a.parquet")
    events = in_topic(tmp_path)
    assert events[3]["id"] == "a-4"
    assert events[3]["features"] == {"x": 1.0, "kind": "k0"}
    assert events[3]["label"] == pytest.approx(4.11)


def test_an_interrupted_send_ends_with_130_and_keeps_what_it_sent(
    freshet: Freshet, history: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Ctrl-C is no error to be explained."""
    freshet("init", history.name, "--label", "outcome", "--out", "freshet.yaml")
    command = [sys.executable, "-m", "service", "send", history.name, "--rate", "1", "--set", "schema.numeric=[]"]
    command += ["--set", "schema.categorical=[amount, country]"]
    # Where tests run in a script's background SIGINT is ignored, and a child would inherit that; a handler it does not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 60
    while not (tmp_path / "freshet-data").exists() or not in_topic(tmp_path):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert 0 < len(in_topic(tmp_path)) < 300


def test_dead_letters_are_listed_and_sent_again_once(freshet: Freshet, tmp_path: Path) -> None:
    """The list counts by reason and shows bytes that are no text; a second replay has nothing left to do."""
    (tmp_path / "freshet.yaml").write_text("schema: {numeric: [x]}\n")
    embedded = {"path": tmp_path / "freshet-data" / "log.sqlite"}
    settings = Settings.model_validate({"schema": {"numeric": ["x"]}, "source": {"embedded": embedded}})
    with closing(open_sink(settings)) as sink:
        for offset, (reason, value) in enumerate((("not_json", b"{"), ("not_utf8", b"\xff"), ("tombstone", None))):
            letter = DeadLetter(Partition("events", 0), offset, reason, value, None, ())
            sink.send("events.dlq", value, headers=letter.to_headers())
        sink.flush()
    listed = json.loads(freshet("dlq", "list", "--json").stdout)
    assert listed["total"] == 3
    assert listed["reasons"] == {"not_json": 1, "not_utf8": 1, "tombstone": 1}
    assert [letter["offset"] for letter in listed["letters"]] == [0, 1, 2]
    assert listed["letters"][0]["value"] == "{"
    assert listed["letters"][1]["value_base64"] == "/w=="
    assert listed["letters"][2]["value"] is None
    shown = freshet("dlq", "list", "--limit", "1").stdout
    assert "events/0/2" in shown
    assert "events/0/0" not in shown
    assert "3 dead letters in events.dlq" in shown
    assert listed["replayed"] == 0
    assert json.loads(freshet("dlq", "replay", "--reason", "not_json", "--json").stdout)["sent"] == 1
    listed = json.loads(freshet("dlq", "list", "--json").stdout)
    assert listed["replayed"] == 1
    assert [letter["replayed"] for letter in listed["letters"]] == [True, False, False]
    assert "; 1 of them replayed already" in freshet("dlq", "list").stdout
    assert json.loads(freshet("dlq", "replay", "--json").stdout)["sent"] == 2
    assert json.loads(freshet("dlq", "replay", "--json").stdout)["sent"] == 0


def write_checkpoint(store: CheckpointStore, checkpoint_id: str, parent: str | None) -> None:
    """Write a small but whole checkpoint."""
    manifest = Manifest(
        id=checkpoint_id,
        round=int(checkpoint_id.partition("-")[0]),
        parent=parent,
        lineage=IDS[0],
        created_at="2026-01-01T00:00:00Z",
        trigger="new_events",
        schema_fingerprint="s",
        model_fingerprint="m",
        fence=1,
    )
    store.write(Checkpoint(manifest, {"weight": np.arange(3.0)}, {}))


def test_checkpoints_are_listed_verified_and_promoted(freshet: Freshet, tmp_path: Path) -> None:
    """An operator's promotion moves the pointer and stands in the history; damage is found, said, and ends with 1."""
    assert "no checkpoints" in freshet("checkpoints", "list").stderr
    path = tmp_path / "freshet-data" / "store"
    store = CheckpointStore(path, 20)
    write_checkpoint(store, IDS[0], None)
    write_checkpoint(store, IDS[1], IDS[0])
    store.point(IDS[1], reason="better", by="gate")

    promoted = json.loads(freshet("checkpoints", "promote", IDS[0], "--reason", "step back", "--json").stdout)
    assert (promoted["serving"], promoted["previous"]) == (IDS[0], IDS[1])
    pointer = store.latest()
    assert pointer is not None
    assert (pointer.id, pointer.reason) == (IDS[0], "step back")
    told = Journal(path / OPERATIONS).tail(1)[0]
    assert (told["event"], told["checkpoint"], told["before"]) == ("promoted", IDS[0], IDS[1])
    assert told["by"] == pointer.by == f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"

    listed = json.loads(freshet("checkpoints", "list", "--json").stdout)
    assert listed["serving"] == IDS[0]
    assert [(one["id"], one["role"]) for one in listed["checkpoints"]] == [(IDS[1], "previous"), (IDS[0], "serving")]
    assert IDS[1] in freshet("checkpoints", "list").stdout
    assert json.loads(freshet("checkpoints", "show", "latest", "--json").stdout)["id"] == IDS[0]
    assert f"parent: {IDS[0]}" in freshet("checkpoints", "show", IDS[1]).stdout
    assert json.loads(freshet("checkpoints", "verify", "--json").stdout)["damaged"] == 0

    weights = path / "checkpoints" / IDS[1] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    found = json.loads(freshet("checkpoints", "verify", "--json", code=1).stdout)
    assert [one["whole"] for one in found["checkpoints"]] == [False, True]
    assert "damaged" in freshet("checkpoints", "promote", IDS[1], code=1).stderr
    assert store.latest() == pointer
