"""DESIGN's claim "a trainer's death never costs a prediction": trainer, worker and broker die, and requests do not."""

import os
import random
import threading
import time
from typing import Self

import httpx
import psutil
import pytest

from tests.acceptance.conftest import Figure, MakeService, Process, Service, eventually
from tests.acceptance.faults import assert_adds_up, await_all_taken_in, kill_worker, on_kafka, stop, worker_of
from tests.acceptance.nursery import Nursery
from tests.acceptance.producers import Producer, Pump
from tests.broker import Broker

CLIENTS = 4
LONG_REQUESTS = int(os.environ.get("FRESHET_CHAOS_REQUESTS", "100000"))


class Clients:
    """Ask a server without a pause, each on a connection that is kept; ``answered`` counts, ``failed`` tells why."""

    def __init__(self, service: Service, pause_seconds: float = 0.0) -> None:
        self._url = f"http://127.0.0.1:{service.server_port}"
        self._pause = pause_seconds
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, name=f"client-{n}") for n in range(CLIENTS)]
        self._answered = [0] * CLIENTS
        self.failed: list[str] = []
        self.checkpoints: set[str] = set()

    @property
    def answered(self) -> int:
        """How many predictions came back."""
        return sum(self._answered)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        mine = int(threading.current_thread().name.rpartition("-")[2])
        body = {"instances": [{"a": 1.0, "b": 1.0}]}
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._stop.wait(self._pause):
                try:
                    answer = client.post("/v1/predict", json=body)
                    if answer.status_code != 200 or len(answer.json()["predictions"]) != 1:
                        self.failed.append(f"{answer.status_code}: {answer.text[:200]}")
                        continue
                    self.checkpoints.add(answer.json()["checkpoint"]["id"])
                except (httpx.HTTPError, KeyError, ValueError) as error:
                    self.failed.append(f"{type(error).__name__}: {error}")
                    continue
                self._answered[mine] += 1


def kill_all_but_the_server(service: Service, broker: Broker, trainer: Process, moments: random.Random) -> Process:
    """Kill worker, trainer and broker, one after the other, each again at work before the next; return the trainer."""
    kill_worker(trainer)
    eventually(lambda: worker_of(trainer) is not None, "the worker to be started again")
    time.sleep(moments.uniform(0.0, 1.0))
    trainer.kill()
    trainer.wait()
    service.forget_status()
    trainer = service.start("train")
    service.await_ready(trainer=True)
    broker.kill()
    eventually(lambda: not_ready(service), "the trainer to say that the broker is away")
    time.sleep(moments.uniform(0.0, 1.0))
    broker.start()
    service.await_ready(trainer=True)
    return trainer


def not_ready(service: Service) -> bool:
    """Tell whether the trainer answers, and says that it is not ready."""
    answer = service.get("/readyz", trainer=True)
    return answer is not None and answer.status_code == 503


def serve_through(service: Service, producer: Producer, broker: Broker, requests: int) -> tuple[int, int]:
    """Kill everything but the server until so many predictions were answered; return how often, and of how many."""
    moments = random.Random(requests)  # noqa: S311 - when to kill is no secret
    trainer, server = service.start("train"), service.start("serve")
    with Pump(producer, batch=10, pause_seconds=0.05):
        service.await_ready()
        kills = 0
        with Clients(service) as clients:
            while kills == 0 or clients.answered < requests:
                trainer = kill_all_but_the_server(service, broker, trainer, moments)
                kills += 3
            eventually(
                lambda: len(clients.checkpoints) > 1, "a second checkpoint to be served, learnt between kills or after"
            )
        assert clients.failed == []
    await_all_taken_in(service, producer)
    assert psutil.pid_exists(server.pid)
    stop(trainer)
    stop(server)
    assert_adds_up(service, producer)
    return kills, clients.answered


@pytest.mark.kafka
@pytest.mark.timeout(240)
def test_no_prediction_fails_while_trainer_worker_and_broker_are_killed(
    make_service: MakeService, own_kafka: Broker, nursery: Nursery
) -> None:
    """The short form: each is killed, thousands of requests are answered, none fails, and the account adds up."""
    service, producer = on_kafka(make_service, own_kafka, 2, nursery)
    serve_through(service, producer, own_kafka, requests=3_000)
    producer.close()


@pytest.mark.chaos
@pytest.mark.kafka
@pytest.mark.timeout(7_200)
def test_no_prediction_fails_over_100_000_requests(
    make_service: MakeService, own_kafka: Broker, figure: Figure
) -> None:
    """The long form, every process started from scratch."""
    service, producer = on_kafka(make_service, own_kafka, 2)
    kills, answered = serve_through(service, producer, own_kafka, requests=LONG_REQUESTS)
    figure(f"{kills} kills of trainer, worker and broker: {answered} predictions, 0 failed")
    producer.close()
