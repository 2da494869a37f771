"""The whole server: its composition root, real HTTP and a real store."""

import shutil
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.configuration import load_settings
from service.errors import ConfigurationError
from service.model.learned import LearnedModel
from service.serve.watcher import Watcher
from service.server import Server
from tests.acceptance.conftest import eventually
from tests.unit.serve.builders import INSTANCE, damage, model_of, problem_of, publish, settings_in
from tests.unit.serve.running import served, serving_id, wait_for_id


def test_it_is_not_ready_until_a_checkpoint_serves(tmp_path: Path) -> None:
    """It lives from the start, says why it is not ready, and takes over the first checkpoint by itself."""
    settings = settings_in(tmp_path)
    with served(settings) as client:
        assert client.get("/healthz").status_code == 200
        assert "no checkpoint" in problem_of(client.get("/readyz"), 503)["detail"]
        problem_of(client.post("/v1/predict", json={"instances": [INSTANCE]}), 503)
        checkpoint_id = publish(settings)
        wait_for_id(client, checkpoint_id)
        assert client.get("/readyz").status_code == 200


def test_swaps_under_load_fail_no_request_and_mix_nothing(tmp_path: Path) -> None:
    """While checkpoints are published, every answer is a 200 whose scores are those of the checkpoint it names."""
    settings = settings_in(tmp_path)
    ids = [publish(settings)]
    answers: list[tuple[int, dict[str, Any]]] = []
    done = threading.Event()

    def ask(client: httpx.Client, worker: int) -> None:
        while not done.is_set():
            instances = [{**INSTANCE, "age": worker}] * (1 if worker else 300)
            response = client.post("/v1/predict", json={"instances": instances})
            answers.append((worker, response.json() if response.status_code == 200 else {"failed": response.text}))

    def answered() -> set[str]:
        return {answer["checkpoint"]["id"] for _, answer in list(answers) if "checkpoint" in answer}

    with served(settings) as client, ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(ask, client, worker) for worker in range(4)]
        for seed in range(1, 7):
            eventually(lambda: ids[-1] in answered(), "an answer from the newest checkpoint")
            ids.append(publish(settings, seed=seed))
        eventually(lambda: ids[-1] in answered(), "an answer from the last checkpoint")
        done.set()
        for future in futures:
            future.result()
        text = client.get("/metrics").text

    models: dict[str, LearnedModel] = {name: model_of(settings, name) for name in ids}
    assert answered() == set(ids)
    for worker, answer in answers:
        assert "failed" not in answer
        model = models[answer["checkpoint"]["id"]]
        expected = model.predict(np.array([[worker, INSTANCE["income"], 1.0]]), np.array([[2]]))[0]
        for prediction in answer["predictions"]:
            assert list(prediction["scores"].values()) == pytest.approx(expected.tolist(), abs=1e-6)
    info = [line for line in text.splitlines() if line.startswith("freshet_checkpoint_info{")]
    assert info == [f'freshet_checkpoint_info{{id="{ids[-1]}"}} 1.0']
    assert f'freshet_swaps_total{{outcome="swapped"}} {len(ids):.1f}' in text


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    """At the start the newest sound one serves; while running the one before goes on; both are counted."""
    settings = settings_in(tmp_path)
    pointer = settings.store.path / "latest"
    damage(settings, publish(settings, seed=2))
    to_damaged = pointer.read_bytes()
    sound = publish(settings)
    damage(settings, publish(settings, seed=1))
    with served(settings) as client:
        assert serving_id(client) == sound
        (tmp_path / "to_damaged").write_bytes(to_damaged)
        (tmp_path / "to_damaged").replace(pointer)  # damaged before: the server looks all the time
        while 'freshet_swaps_total{outcome="damaged"} 2.0' not in client.get("/metrics").text:
            assert serving_id(client) == sound
        assert "model.safetensors" in client.get("/v1/status").json()["trouble"]
        last = publish(settings, seed=3)
        wait_for_id(client, last)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_its_metrics_pass_promtool(tmp_path: Path) -> None:
    """What a real scrape gets keeps Prometheus' rules."""
    settings = settings_in(tmp_path)
    publish(settings)
    with served(settings) as client:
        client.post("/v1/predict", json={"instances": [{}]})
        client.get("/nope")
        text = client.get("/metrics").content
    found = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (found.returncode, found.stdout + found.stderr) == (0, b"")


def test_a_taken_port_is_a_matter_of_configuration(tmp_path: Path) -> None:
    """The message names the key, before anything was started."""
    settings = settings_in(tmp_path)
    with (
        socket.create_server(("127.0.0.1", settings.serve.port)),
        pytest.raises(ConfigurationError, match=r"serve\.port"),
    ):
        Server(settings).run()


def test_a_wrong_file_of_tokens_is_a_matter_of_configuration(tmp_path: Path) -> None:
    """The message has file and line, before anything was started."""
    (tmp_path / "tokens").write_text("feeder:events:a-good-token-0123456789\nfeeder:events\n")
    with pytest.raises(ConfigurationError, match=r"serve\.tokens_file: .*tokens, line 2 is not"):
        Server(settings_in(tmp_path, tokens_file=str(tmp_path / "tokens")))


def test_it_is_not_ready_once_nobody_follows_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It still answers from what it has, and says why it should be replaced."""
    settings = settings_in(tmp_path)
    publish(settings)
    looks = Watcher.look

    def look_once(watcher: Watcher) -> None:
        if watcher.alive() is None:
            watcher._stopping.set()
        looks(watcher)

    monkeypatch.setattr(Watcher, "look", look_once)
    with served(settings) as client:
        while client.get("/readyz").status_code == 200:
            pass
        assert "watcher" in problem_of(client.get("/readyz"), 503)["detail"]
        assert "watcher" in problem_of(client.get("/healthz"), 503)["detail"]
        assert serving_id(client)


def test_without_a_schema_it_does_not_start() -> None:
    """A server that knows no features has nothing to answer."""
    with pytest.raises(ConfigurationError, match="schema"):
        Server(load_settings(environment={}))
