"""DESIGN's row "loss becomes NaN, worker crashes, hangs or runs out of memory": the round is lost, nothing else."""

from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeService, Process, Service, eventually
from tests.acceptance.faults import assert_adds_up, await_all_taken_in, embedded, stop
from tests.acceptance.nursery import Nursery
from tests.acceptance.producers import Pump
from tests.acceptance.worker_faults import FAULTS

FAILED = 'freshet_rounds_total{outcome="failed"}'
CONSUMED = "freshet_events_consumed_total"

QUICK = {"heartbeat_seconds": 2.0, "backoff_seconds": 0.1, "breaker_failures": 1_000}
"""A hang is noticed soon; training is not paused for long, whatever fails."""

CAUSES = {"nan": None, "exception": None, "memory": None, "hang": "hang", "killed": "crash"}
"""Why the worker was started again, None where it lived on."""


def with_worker(service: Service, fault: str = "") -> tuple[Process, Path]:
    """Start a trainer with a worker that has a fault, and return the file that can change it."""
    file = service.folder / "fault"
    file.write_text(fault)
    return service.start("train", module="tests.acceptance.worker_faults", before=(str(file), "--")), file


def pointed_to(service: Service) -> bytes | None:
    """Return the pointer's bytes, None before the first publication."""
    latest = service.folder / "store" / "latest"
    return latest.read_bytes() if latest.exists() else None


@pytest.mark.parametrize("fault", FAULTS)
def test_loss_becomes_nan_worker_crashes_hangs_or_runs_out_of_memory(
    fault: str, make_service: MakeService, nursery: Nursery
) -> None:
    """Rounds fail and are counted, their directories kept with the reason, events go on coming in; then it heals."""
    service, producer = embedded(make_service, nursery, train={"worker": QUICK, "steps": 5, "first_steps": 20})
    trainer, file = with_worker(service)
    with Pump(producer):
        eventually(lambda: pointed_to(service), "a first checkpoint")
        before = service.metric(FAILED)
        file.write_text(fault)
        eventually(lambda: service.metric(FAILED) >= before + 2, "two rounds to fail")
        champion = pointed_to(service)
        seen = service.metric(CONSUMED)
        eventually(lambda: service.metric(CONSUMED) > seen + 100, "events to come in meanwhile")
        assert pointed_to(service) == champion
        assert list((service.folder / "state" / "rounds").glob("*/failed.txt"))
        if CAUSES[fault] is not None:
            assert service.metric(f'freshet_worker_restarts_total{{cause="{CAUSES[fault]}"}}') >= 1
        file.write_text("")
        eventually(lambda: pointed_to(service) != champion, "learning to go on")
    await_all_taken_in(service, producer)
    stop(trainer)
    assert_adds_up(service, producer)
    producer.close()


def test_repeated_failures_pause_training_and_not_consumption(make_service: MakeService, nursery: Nursery) -> None:
    """After breaker_failures in a row /readyz says that training is paused, the server answers, and later it heals."""
    worker = {"backoff_seconds": 0.1, "breaker_failures": 2, "breaker_seconds": 2.0}
    service, producer = embedded(make_service, nursery, train={"worker": worker, "steps": 5, "first_steps": 20})
    trainer, file = with_worker(service)
    server = service.start("serve")
    with Pump(producer):
        service.await_ready()
        file.write_text("exception")

        def paused() -> bool:
            answer = service.get("/readyz", trainer=True)
            return answer is not None and answer.status_code == 503 and "training is paused" in answer.text

        eventually(paused, "the trainer to say that training is paused")
        champion, seen = pointed_to(service), service.metric(CONSUMED)
        eventually(lambda: service.metric(CONSUMED) > seen + 100, "events to come in meanwhile")
        assert service.predict(a=1.0, b=1.0).status_code == 200
        file.write_text("")
        eventually(lambda: pointed_to(service) != champion, "learning to go on")
        service.await_ready(trainer=True)
    await_all_taken_in(service, producer)
    stop(trainer)
    stop(server)
    assert_adds_up(service, producer)
    producer.close()
