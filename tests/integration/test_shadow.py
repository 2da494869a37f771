"""A trainer and a server that share a store alone: what the gate rejects runs in the server's shadow."""

import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.learner import learner
from service.learner.judging import judge
from service.learner.roles import LEAD
from service.store.challengers import CHALLENGERS
from service.validate.gate import REJECT, Decision
from tests.acceptance.conftest import eventually
from tests.acceptance.streams import events
from tests.integration.test_promotions_by_hand import with_checkpoints
from tests.integration.test_trainer import Make, learnt, make
from tests.ports import free_port
from tests.unit.serve.builders import publish, settings_in
from tests.unit.serve.running import served, wait_for_id

__all__ = ["make"]

INSTANCES = [{"a": number / 10, "b": -number / 10} for number in range(40)]


def sample(client: httpx.Client, name: str, candidate: str) -> float:
    """Return one of the shadow's counters."""
    wanted = f'freshet_shadow_{name}_total{{candidate="{candidate}"}} '
    (line,) = [line for line in client.get("/metrics").text.splitlines() if line.startswith(wanted)]
    return float(line.removeprefix(wanted))


def shadowed(client: httpx.Client) -> dict[str, Any]:
    """Return what the status tells of the only candidate."""
    (found,) = client.get("/v1/status").json()["shadow"]
    return dict(found)


def test_a_rejected_challenger_runs_in_the_shadow(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer leaves it, the server finds it, asks it what is asked, and counts; it never serves."""
    serve = {"port": free_port(), "watch_seconds": 0.02, "shadow": {"candidates": ["challenger"], "share": 1.0}}
    running = make(serve=serve)
    learnt(running)
    champion = running.serving()

    def reject(parts: Any) -> Any:
        decision, outputs = judge(parts)
        return Decision(REJECT, "forward_worse", LEAD, decision.numbers), outputs

    monkeypatch.setattr(learner, "judge", reject)
    with served(running.settings) as client:
        assert sample(client, "instances", "challenger") == 0
        running.send(events(200, seed=1))
        eventually(lambda: shadowed(client)["problem"] is None, "a challenger in the shadow")
        checkpoint = shadowed(client)["checkpoint"]
        assert checkpoint in [entry.name for entry in (running.folder / "store" / CHALLENGERS).iterdir()]
        answer = client.post("/v1/predict", json={"instances": INSTANCES})
        assert answer.json()["checkpoint"]["id"] == champion != checkpoint
        eventually(lambda: sample(client, "instances", "challenger") == len(INSTANCES), "all to be compared")
        assert sample(client, "agreed", "challenger") > 0
        assert sample(client, "score_difference", "challenger") > 0
        assert running.serving() == champion
    running.stop()
    assert running.failure is None


def test_a_shadow_under_load_costs_no_answer(tmp_path: Path) -> None:
    """While candidates come and go every request is answered; the status tells what became of each."""
    settings = settings_in(tmp_path, shadow={"candidates": ["000001-00000000", "latest"], "share": 1.0})
    first = publish(settings)
    statuses: list[int] = []

    with served(settings) as client:
        wait_for_id(client, first)
        newest = [publish(settings, seed=seed) for seed in range(1, 4)][-1]
        wait_for_id(client, newest)

        def ask() -> None:
            for age in range(50):
                row = {"age": age, "income": None, "owner": True, "city": "Paris"}
                statuses.append(client.post("/v1/predict", json={"instances": [row] * 4}).status_code)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [200] * 150

        def settled() -> bool:
            missing, latest = client.get("/v1/status").json()["shadow"]
            return bool(
                "no checkpoint" in (missing["problem"] or "")
                and latest["checkpoint"] == newest
                and latest["problem"] == "it is the checkpoint that serves"
            )

        eventually(settled, "the shadow to see that one is missing, and that the latest serves")


def test_what_is_to_be_shadowed_is_not_pruned(make: Make) -> None:
    """A server that starts later must find it, however old it is."""
    running = make(gate={"enabled": False}, store={"keep": 3})
    _, second, *_ = with_checkpoints(running, 2)
    running = make(gate={"enabled": False}, store={"keep": 3}, serve={"shadow": {"candidates": [second]}})
    running.start()
    for seed in range(2, 6):
        before = running.serving()
        running.send(events(200, seed=seed))
        eventually(lambda before=before: running.serving() != before, "the next checkpoint")
    running.stop()
    assert running.failure is None
    kept = {entry.id for entry in running.store.entries()}
    assert second in kept
    assert len(kept) == 5  # and the root, and the newest three
