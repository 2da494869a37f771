"""The worked example of docs/YOUR_MODEL.md: a pre-trained network that is not ours is served, and fine-tuned."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from examples.vibration_data import write
from examples.vibration_pretrain import pretrain
from tests.acceptance.conftest import ANSWER_SECONDS, MakeService, Service, eventually
from tests.acceptance.nursery import ROOT, Nursery

EXAMPLE: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "vibration.yaml").read_text())


@pytest.fixture
def stream(tmp_path: Path) -> list[dict[str, Any]]:
    """Write a history and the weights that were pre-trained on it; return the events that come afterwards."""
    write(tmp_path, history=400, stream=3_600)
    pretrain(tmp_path / "history.jsonl", tmp_path / "weights.safetensors", steps=60)
    return [json.loads(line) for line in (tmp_path / "stream.jsonl").read_text().splitlines()]


@pytest.fixture
def service(make_service: MakeService, nursery: Nursery, tmp_path: Path) -> Service:
    """Return the example's service, with more rounds for fewer events."""
    model = EXAMPLE["train"]["model"] | {"weights": str(tmp_path / "weights.safetensors")}
    train = {"model": model, "strategy": {"layers": ["head.*", "encoder.*"]}, "steps": 30}
    return make_service(nursery=nursery, schema=EXAMPLE["schema"] | {"numeric": []}, train=train)


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    """Yield a client of the server."""
    with httpx.Client(base_url=f"http://127.0.0.1:{service.server_port}", timeout=ANSWER_SECONDS) as one:
        yield one


def ask(client: httpx.Client, signals: list[list[Any]]) -> tuple[int, Any]:
    """Ask for predictions; return the status, and the checkpoint with the labels or what was wrong and where."""
    body = {"instances": [{"signal": signal} for signal in signals]}
    got = client.post("/v1/predict", json=body)
    said = got.json()
    if got.status_code == 200:
        return 200, (said["checkpoint"]["id"], [one["label"] for one in said["predictions"]])
    return got.status_code, [(one["pointer"], one["detail"]) for one in said["errors"]]


def right(client: httpx.Client, rows: list[dict[str, Any]]) -> tuple[str, float]:
    """Return which checkpoint answers, and for which share of the rows it is right."""
    _, (checkpoint, labels) = ask(client, [row["signal"] for row in rows])
    return checkpoint, sum(label == row["state"] for label, row in zip(labels, rows, strict=True)) / len(rows)


def rounds_have_ended(service: Service) -> bool:
    """Tell whether of every round that was begun there is a decision."""
    started = int(service.status()["rounds"]["started"])
    journal = service.folder / "store" / "decisions.jsonl"
    lines = journal.read_text().splitlines() if journal.exists() else []
    return max((json.loads(line).get("round", 0) for line in lines), default=0) >= started


def test_a_pre_trained_network_serves_at_once_and_follows_its_stream(
    service: Service, client: httpx.Client, stream: list[dict[str, Any]]
) -> None:
    """It answers before any event, fails after the change as it was given, and is right again once it has learnt."""
    old, new = stream[:100], stream[-100:]
    service.start("run")
    service.await_ready()
    checkpoint, share = right(client, old)
    assert (checkpoint[:7], share >= 0.8) == ("000000-", True)
    assert right(client, new)[1] <= 0.7
    first = stream[0]["signal"]
    assert ask(client, [first, [*first[:3], "x", *first[4:]], [0.5]]) == (
        422,
        [
            ("/instances/1/signal/3", "signal[3] must be a number, not a string"),
            ("/instances/2/signal", "signal must have 64 numbers, not 1"),
        ],
    )
    sent = 0
    for begin in range(0, len(stream), 400):
        part = stream[begin : begin + 400]
        sent += len(part)
        labelled = [{"features": {"signal": row["signal"]}, "label": row["state"]} for row in part]
        taken = client.post("/v1/events", json={"events": labelled})
        assert taken.json() == {"accepted": len(part), "rejected": []}
        eventually(lambda: service.accepted() == sent, "all events to be consumed")  # noqa: B023 - called at once
        eventually(lambda: rounds_have_ended(service), "the rounds to end")
        if right(client, new)[1] >= 0.8:
            break
    eventually(lambda: right(client, new)[1] >= 0.8, "the server to follow")
    tuned, share = right(client, new)
    assert (tuned > "000001", share >= 0.8) == (True, True)
    origin = client.get(f"/v1/checkpoints/{checkpoint}").json()
    assert (origin["trigger"], origin["trained_until"], origin["data"]) == ("weights", None, [])
