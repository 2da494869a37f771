"""DESIGN's row "disk full, store unreachable": no half checkpoint, training waits, serving and consuming go on."""

import json
import os
import resource
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from service.store.checkpoints import CheckpointStore
from service.trainer.report import EVENTS
from tests.acceptance.conftest import MakeService, Process, Service, eventually
from tests.acceptance.faults import assert_adds_up, await_all_taken_in, embedded, stop
from tests.acceptance.nursery import Nursery
from tests.acceptance.producers import Pump
from tests.ports import free_port

CONSUMED = "freshet_events_consumed_total"
NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)

BOUND_BY_RIGHTS = () if os.geteuid() else ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""What to start a process with so that a folder's rights bind it: root's are taken away."""


def full_disk(trainer: Process, *, full: bool) -> None:
    """Let no file of a running process grow, or let them all grow again: what it writes fails at the system call."""
    resource.prlimit(trainer.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY) if full else NO_LIMIT)


def read_only(service: Service, *, on: bool) -> None:
    """Take the right to write to the store away, or give it back."""
    for folder in (service.folder / "store", service.folder / "store" / "checkpoints"):
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR if on else stat.S_IRWXU)


def troubled(service: Service) -> str | None:
    """Return what the trainer says it cannot write, None while it is well."""
    answer = service.get("/readyz", trainer=True)
    return answer.text if answer is not None and answer.status_code == 503 and "disk" in answer.text else None


def named_trouble(service: Service) -> str:
    """Wait for the trouble of the thread that publishes, and return it: what it was at before has come to its end."""

    def named() -> str | None:
        told = troubled(service)
        return told if told is not None and "training is paused" not in told else None

    found: str = eventually(named, "the trainer to name the trouble")
    return found


def await_rest(service: Service) -> None:
    """Wait until the newest round of a trainer's first life has ended, whatever it brought."""
    ends = {*EVENTS.values(), "round failed; the champion stays"}

    def rests() -> bool:
        begun = service.metric("freshet_triggers_total")
        whole = service.said(0).rpartition("\n")[0]  # a last line may be on its way
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return any(line["event"] in ends and line["round"] == begun for line in lines)

    eventually(rests, "the round in flight to end")


def hidden(service: Service) -> list[Path]:
    """Return what half-written things are left in store and state."""
    return [path for part in ("store", "state") for path in (service.folder / part).rglob(".*.tmp")]


def live_through(service: Service, break_it: Callable[..., None]) -> None:
    """Break what the trainer writes to, see what goes on and what waits, mend it, and see it all go on."""
    store = CheckpointStore(service.folder / "store", 10_000)
    server = service.start("serve")
    service.await_ready()
    break_it(on=True)
    told = named_trouble(service)
    assert str(service.folder) in told
    known = [entry.id for entry in store.entries()]
    pointer, seen = store.latest(), service.metric(CONSUMED)
    eventually(lambda: service.metric(CONSUMED) > seen + 100, "events to come in meanwhile")
    assert service.predict(a=1.0, b=1.0).status_code == 200
    assert [entry.id for entry in store.entries()] == known
    assert store.latest() == pointer
    break_it(on=False)
    eventually(lambda: store.latest() != pointer, "publishing to go on")
    eventually(lambda: troubled(service) is None, "the trainer to be well again")
    assert all(entry.problem is None for entry in store.entries())
    stop(server)


def assert_one_line_each(service: Service) -> None:
    """Check that the trouble was told in few lines, without a traceback, however long it lasted."""
    lines = service.said(0).splitlines()
    assert not any("Traceback" in line for line in lines)
    assert 1 <= sum("cannot be written; trying again" in line for line in lines) <= 4


def test_disk_full(make_service: MakeService, nursery: Nursery) -> None:
    """Every write of the trainer fails for a while: nothing half-written, nothing lost, and it goes on by itself."""
    service, producer = embedded(make_service, nursery)
    trainer = service.start("train", piped=True)
    with Pump(producer):
        service.await_ready(trainer=True)
        live_through(service, lambda *, on: full_disk(trainer, full=on))
    await_all_taken_in(service, producer)
    stop(trainer)
    assert_one_line_each(service)
    assert not hidden(service)
    assert_adds_up(service, producer)
    producer.close()


def test_store_unreachable(make_service: MakeService) -> None:
    """The store may be read and not written: the same, though here the state on another disk can still be saved."""
    service, producer = embedded(make_service)
    trainer = service.start("train", prefix=BOUND_BY_RIGHTS)
    with Pump(producer):
        service.await_ready(trainer=True)
        live_through(service, lambda *, on: read_only(service, on=on))
    await_all_taken_in(service, producer)
    stop(trainer)
    assert_adds_up(service, producer)
    producer.close()


@pytest.mark.parametrize("part", ["store", "state"])
def test_a_folder_without_rights_is_one_line(part: str, make_service: MakeService) -> None:
    """A trainer that may not write to its store or state exits 1 and names the folder."""
    service = make_service()
    folder = service.folder / part
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    trainer = service.start("train", prefix=BOUND_BY_RIGHTS)
    assert trainer.wait(60) == 1
    last = [line for line in service.said().splitlines() if line.startswith("freshet: ")]
    assert len(last) == 1
    assert str(folder) in last[0]
    assert "Traceback" not in service.said()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yield a folder on a disk of its own as seen from here, and what to start a process with that sees it there.

    The disk exists in a namespace of its own, so that no rights are needed where the system grants such.
    """
    folder.mkdir()
    mount = f"mount -t tmpfs -o size={megabytes}m tmpfs {folder} && echo mounted && exec sleep infinity"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != "mounted\n":
            pytest.skip(f"no disk of its own for a test here: {holder.stderr.read().strip()}")
        enter = ("nsenter", f"--target={holder.pid}", "--user", "--mount", "--preserve-credentials")
        yield Path(f"/proc/{holder.pid}/root{folder}"), enter
        holder.kill()


def test_disk_full_on_a_small_disk(make_service: MakeService, tmp_path: Path) -> None:
    """The same on a real disk of 4 MiB that somebody else fills up."""
    disk = tmp_path / "disk"
    with small_disk(disk, megabytes=4) as (seen, enter):
        service, producer = embedded(
            make_service,
            store={"path": str(disk / "store")},
            trainer={"state_path": str(disk / "state"), "ledger_bytes": 2**16},
        )
        for part in ("store", "state"):
            (service.folder / part).symlink_to(seen / part)
        trainer = service.start("train", prefix=enter)
        filler = seen / "filler"

        def fill() -> None:
            with filler.open("wb", buffering=0) as file, suppress(OSError):
                while file.write(b"\0" * 4_096):
                    pass

        with Pump(producer):
            service.await_ready(trainer=True)
            fill()
            told = named_trouble(service)
            assert "No space left on device" in told
            await_rest(service)
            fill()  # what a round in flight has freed at its end
            before = [entry.id for entry in CheckpointStore(seen / "store", 10_000).entries()]
            taken = service.metric(CONSUMED)
            eventually(lambda: service.metric(CONSUMED) > taken + 100, "events to come in meanwhile")
            assert [entry.id for entry in CheckpointStore(seen / "store", 10_000).entries()] == before
            filler.unlink()
            eventually(lambda: troubled(service) is None, "the trainer to be well again")
        trainer.terminate()
        assert trainer.wait(60) == 0
        assert not hidden(service)
        state = shutil.copytree(seen / "state", tmp_path / "state")
        assert max(state.joinpath("snapshots").iterdir()).joinpath("manifest.json").exists()
    producer.close()


def test_the_clock_jumps_back(make_service: MakeService, nursery: Nursery) -> None:
    """By a day, in the middle of it all: learning goes on, the lease is kept, and times do not run backwards."""
    service, producer = embedded(make_service, nursery, trainer={"lease_seconds": 60.0})  # of a clock that is right
    clock, trace = service.folder / "clock", service.folder / "trace"
    clock.write_text("0")
    before = ("--clock", str(clock), "--folder", str(service.folder), "--trace", str(trace), "--")
    trainer = service.start("train", module="tests.acceptance.crash_points", before=before)
    store = CheckpointStore(service.folder / "store", 10_000)
    with Pump(producer):
        eventually(lambda: store.latest() is not None, "a first checkpoint")
        standby = service.start("train", "--set", f"trainer.port={free_port()}")
        eventually(lambda: "standing by" in service.said(), "the standby")
        until = store.manifest(store.latest().id).trained_until
        (service.folder / "yesterday").write_text("-86400")
        (service.folder / "yesterday").replace(clock)
        published = len(store.entries())
        eventually(lambda: len(store.entries()) > published + 2, "publishing to go on")
        assert trainer.poll() is None
    await_all_taken_in(service, producer)
    newest = store.manifest(store.latest().id)
    assert newest.fence == 1
    assert newest.trained_until >= until
    standby.kill()
    stop(trainer)
    assert_adds_up(service, producer)
    producer.close()
