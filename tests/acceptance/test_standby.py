"""DESIGN's row "a second trainer on the same store": it says who holds the lease, stands by, and takes over."""

import fcntl
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from service.store.checkpoints import CheckpointStore
from tests.acceptance.conftest import MakeService, Process, Service, eventually
from tests.acceptance.faults import assert_adds_up, await_all_taken_in, embedded, on_kafka, stop
from tests.acceptance.nursery import Nursery
from tests.acceptance.producers import Producer, Pump
from tests.broker import Broker
from tests.ports import free_port


def put_to_sleep(service: Service, first: Process) -> None:
    """Stop a trainer outside of the moment in which it moves the pointer: there it holds the lease's lock, as it must.

    What happens in that moment is a known limit (docs/RELIABILITY.md), and not what is claimed here.
    """

    def asleep() -> bool:
        first.send_signal(signal.SIGSTOP)
        # A thread amidst a system call finishes it first, and may thereby have locked the file.
        eventually(lambda: threads_of(first) == {"T"}, "each of its threads to stop")
        with (service.folder / "store" / "lease.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                first.send_signal(signal.SIGCONT)
                return False
        if locked(service.folder / "log.sqlite"):
            first.send_signal(signal.SIGCONT)
            return False
        return True

    eventually(asleep, "the first trainer to let the locks of the lease and of the embedded log go")


def locked(log: Path) -> bool:
    """Tell whether somebody holds the embedded log's lock longer than a transaction takes; nobody without a log."""
    if not log.exists():
        return False
    with closing(sqlite3.connect(log, timeout=2, isolation_level=None)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        other.execute("ROLLBACK")
    return False


def threads_of(process: Process) -> set[str]:
    """Return the states of a process's threads, each a letter of proc(5)."""
    states = set()
    for stat in Path(f"/proc/{process.pid}/task").glob("*/stat"):
        with suppress(OSError):  # it has just ended
            states.add(stat.read_text().rpartition(")")[2].split()[0])
    return states


ENDS: dict[str, Callable[[Service, Process], None]] = {
    "killed": lambda _, first: first.kill(),
    "stopped": put_to_sleep,
    "ended": lambda _, first: first.terminate(),
}


def published(service: Service, fence: int) -> set[str]:
    """Return the checkpoints that the trainer with a fencing number has published."""
    entries = CheckpointStore(service.folder / "store", 10_000).entries()
    return {entry.id for entry in entries if entry.manifest is not None and entry.manifest.fence == fence}


def stand_by(service: Service) -> Process:
    """Start a second trainer, and return it once it says that it stands by and for whom."""
    service.trainer_port = free_port()
    second = service.start("train", "--set", f"trainer.port={service.trainer_port}")

    def standing_by() -> bool:
        answer = service.get("/readyz", trainer=True)
        return answer is not None and answer.status_code == 503 and "standing by: the lease is held" in answer.text

    eventually(standing_by, "the second trainer to stand by")
    return second


def lease_for(end: str) -> dict[str, float]:
    """Return for how long the lease is held by one who does not renew it.

    Longer than a busy machine starves a trainer, for nobody is to be overtaken before the test has ended it; no longer
    than that where the test has to wait for it.
    """
    return {"lease_seconds": 7.0 if end == "stopped" else 60.0}


def take_over(service: Service, producer: Producer, end: str) -> None:
    """End the first trainer under load; the second takes over, and a first one that wakes up again is fenced."""
    first = service.start("train")
    with Pump(producer):
        eventually(lambda: bool(published(service, 1)), "the first trainer to publish")
        second = stand_by(service)
        ENDS[end](service, first)
        eventually(lambda: bool(published(service, 2)), "the second trainer to publish")
        eventually(lambda: service.metric("freshet_events_consumed_total") > 0, "the second trainer to count records")
        if end == "stopped":
            its_last = published(service, 1)
            first.send_signal(signal.SIGCONT)
            assert first.wait(60) == 1
            latest = len(published(service, 2))
            eventually(lambda: len(published(service, 2)) > latest, "the second trainer to go on")
            assert published(service, 1) == its_last
        else:
            assert first.wait(60) == (-9 if end == "killed" else 0)
    service.forget_status()
    await_all_taken_in(service, producer)
    stop(second)
    assert_adds_up(service, producer)
    producer.close()


@pytest.mark.parametrize("end", ENDS)
def test_a_second_trainer_on_the_same_store_takes_over_on_the_embedded_log(
    end: str, make_service: MakeService, nursery: Nursery
) -> None:
    """Whether the first was killed, stopped for longer than the lease, or ended: no record lost, none twice."""
    take_over(*embedded(make_service, nursery, trainer=lease_for(end)), end)


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("end", "partitions"),
    [
        ("killed", 1),
        ("stopped", 4),
        ("ended", 4),
        pytest.param("killed", 4, marks=pytest.mark.chaos),
        pytest.param("stopped", 1, marks=pytest.mark.chaos),
        pytest.param("ended", 1, marks=pytest.mark.chaos),
    ],
)
def test_a_second_trainer_on_the_same_store_takes_over_on_kafka(
    end: str, partitions: int, make_service: MakeService, kafka: Broker, nursery: Nursery
) -> None:
    """The same with a consumer group, whose own time-out is longer than the lease."""
    take_over(*on_kafka(make_service, kafka, partitions, nursery, trainer=lease_for(end)), end)


def test_a_second_trainer_on_the_same_store_exits_where_it_may_not_stand_by(
    make_service: MakeService, nursery: Nursery
) -> None:
    """`train --no-standby` exits 1 and names the holder in one line."""
    service, producer = embedded(make_service, nursery, trainer=lease_for("ended"))
    first = service.start("train")
    service.await_ready(trainer=True)
    second = service.start("train", "--no-standby", "--set", f"trainer.port={free_port()}")
    assert second.wait(60) == 1
    last = [line for line in service.said().splitlines() if line.startswith("freshet: ")]
    assert len(last) == 1
    assert f"process {first.pid} on " in last[0]
    stop(first)
    producer.close()


def asleep_at(point: str, service: Service) -> Process:
    """Start a trainer that stops itself before the third such step once it may, as SIGSTOP there would."""
    before = ("--at", point, "--count", "3", "--end", "sleep", "--once", str(service.folder / "may-sleep"))
    where = ("--folder", str(service.folder), "--trace", str(service.folder / "trace"))
    return service.start("train", module="tests.acceptance.crash_points", before=(*before, *where, "--"))


def await_asleep(service: Service) -> None:
    """Let it stop itself, and wait until it has."""
    trace = service.folder / "trace"
    (service.folder / "may-sleep").touch()
    eventually(lambda: trace.exists() and "died before" in trace.read_text(), "the first trainer to stop itself")


@pytest.mark.parametrize("point", ["checkpoint rename", "snapshot rename", "status"])
def test_a_trainer_asleep_in_the_middle_of_a_step_is_fenced(
    point: str, make_service: MakeService, nursery: Nursery
) -> None:
    """It wakes after the takeover with its check of the lease behind it: the pointer never moves to what it wrote."""
    service, producer = embedded(make_service, nursery, trainer=lease_for("stopped"))
    store = CheckpointStore(service.folder / "store", 10_000)
    first = asleep_at(point, service)
    with Pump(producer):
        await_asleep(service)
        second = stand_by(service)
        eventually(lambda: len(published(service, 2)) > 1, "the second trainer to publish")
        first.send_signal(signal.SIGCONT)
        assert first.wait(60) == 1
        for _ in range(3):
            latest = store.latest()
            assert latest is not None
            assert latest.id in published(service, 2)
            count = len(published(service, 2))
            eventually(lambda count=count: len(published(service, 2)) > count, "the second trainer to go on")
    service.forget_status()
    await_all_taken_in(service, producer)
    stop(second)
    assert_adds_up(service, producer)
    producer.close()


@pytest.mark.parametrize("point", ["pointer move", "lease rename"])
def test_a_trainer_asleep_with_the_leases_lock_cannot_be_overtaken(
    point: str, make_service: MakeService, nursery: Nursery
) -> None:
    """So it can do no harm when it wakes; the standby says what it waits for, and follows once the other is killed."""
    service, producer = embedded(make_service, nursery)
    first = asleep_at(point, service)
    service.await_ready(trainer=True)
    second = stand_by(service)
    with Pump(producer):
        await_asleep(service)

        def locked_out() -> bool:
            answer = service.get("/readyz", trainer=True)
            return answer is not None and "locked by another process" in answer.text

        eventually(locked_out, "the second trainer to say that it cannot get at the lease")
        assert not published(service, 2)
        first.kill()
        eventually(lambda: bool(published(service, 2)), "the second trainer to publish")
    service.forget_status()
    await_all_taken_in(service, producer)
    stop(second)
    assert_adds_up(service, producer)
    producer.close()
