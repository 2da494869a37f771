"""The store under kill -9 at every step, a full disk, a stopped holder and two processes at once.

Run as a program, this file is the child that is killed: ``SCENARIO FOLDER`` repeats one scenario in FOLDER/0,
FOLDER/1 and so on, each time killed one step later, until it comes to its end; a step is a call that changes a file.
"""

import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import LeaseLostError, StoreError, StoreUnavailableError
from service.store.checkpoints import Checkpoint, CheckpointStore
from service.store.journal import Journal
from service.store.lease import Lease
from service.store.manifest import Manifest
from service.store.operations import Operations, Operator
from service.store.pin import read_pin
from service.store.snapshot import SnapshotStore
from service.store.status import write_status

ROOT = Path(__file__).parents[2]
IDS = [f"00000{number}-0000000{number}" for number in range(6)]
NEW = "000006-00000006"
STEPS = ("mkdir", "write", "pwrite", "fsync", "rename", "replace", "unlink", "rmdir", "ftruncate")


def checkpoint(checkpoint_id: str, numbers: int = 1_000) -> Checkpoint:
    """Return a checkpoint of the lineage of the first one."""
    manifest = Manifest(
        id=checkpoint_id,
        round=int(checkpoint_id[:6]),
        parent=None if checkpoint_id == IDS[0] else IDS[0],
        lineage=IDS[0],
        created_at="2026-01-31T09:30:00.250Z",
        trigger="new_events",
        schema_fingerprint="a",
        model_fingerprint="b",
        fence=1,
    )
    return Checkpoint(manifest, {"weight": np.arange(float(numbers))}, {"mean": [0.5]})


def publish(folder: Path, checkpoint_id: str = NEW) -> None:
    """Do what a promotion does: write, point, prune."""
    store = CheckpointStore(folder, keep=3)
    store.write(checkpoint(checkpoint_id))
    store.point(checkpoint_id, reason="better", by="trainer")
    store.prune()


def save_snapshot(folder: Path) -> None:
    """Save the third state and drop the first."""
    SnapshotStore(folder, {"task": "binary"}).save({"window": np.full(500, 3.0)}, {"number": 3})


def append_decisions(folder: Path) -> None:
    """Append entries 5 to 12, which takes a rotation."""
    journal = Journal(folder / "decisions.jsonl", max_bytes=400)
    for number in range(5, 13):
        journal.append({"n": number, "pad": "x" * 30})


def hold_lease(folder: Path) -> None:
    """Acquire, renew and give back, twice."""
    lease = Lease(folder, "child", 3_600.0)
    for _ in range(2):
        lease.try_acquire()
        lease.renew()
        lease.release()


def operate(folder: Path) -> None:
    """Promote, pin and unpin by hand."""
    operations = Operations(CheckpointStore(folder, keep=3))
    operations.promote(IDS[3], Operator("ops"))
    operations.pin(IDS[4], Operator("ops"))
    operations.unpin(Operator("ops"))


def seed(folder: Path) -> None:
    """Lay down what each scenario starts from."""
    for scenario in (publish, operate):
        store = CheckpointStore(folder / scenario.__name__, keep=3)
        for checkpoint_id in IDS:
            store.write(checkpoint(checkpoint_id))
            store.point(checkpoint_id, reason="better", by="trainer")
    for number in (1, 2):
        SnapshotStore(folder / "save_snapshot", {"task": "binary"}).save(
            {"window": np.full(500, float(number))}, {"number": number}
        )
    journal = Journal(folder / "append_decisions" / "decisions.jsonl", max_bytes=400)
    for number in range(1, 5):
        journal.append({"n": number, "pad": "x" * 30})
    hold_lease(folder / "hold_lease")


SCENARIOS: dict[str, Callable[[Path], None]] = {
    scenario.__name__: scenario for scenario in (publish, operate, save_snapshot, append_decisions, hold_lease)
}


def die_at(step: int) -> None:
    """Make this process kill itself before its ``step``-th change of a file, or half through a write."""
    count = 0

    def wrap(real: Callable[..., Any], *, halves: bool) -> Callable[..., Any]:
        def call(*args: Any, **keywords: Any) -> Any:
            nonlocal count
            for half in (False, True) if halves else (False,):
                if count == step:
                    if half:
                        real(args[0], bytes(args[1])[: len(args[1]) // 2], *args[2:])
                    os.kill(os.getpid(), signal.SIGKILL)
                count += 1
            return real(*args, **keywords)

        return call

    for name in STEPS:
        setattr(os, name, wrap(getattr(os, name), halves=name in {"write", "pwrite"}))


def be_killed(scenario: str, folder: Path) -> None:
    """Run a scenario to each of its steps, in a copy of ``folder/seed`` for each, until it gets to its end."""
    step = 0
    while True:
        copy = folder / str(step)
        shutil.copytree(folder / "seed" / scenario, copy)
        child = os.fork()
        if child == 0:
            die_at(step)
            SCENARIOS[scenario](copy)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))
        step += 1


def program(*arguments: object, **options: Any) -> "subprocess.Popen[str]":
    """Start this file as a program."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, __file__, *map(str, arguments)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.fixture
def killed_everywhere(tmp_path: Path) -> Callable[[str], list[Path]]:
    """Return a function that runs a scenario killed at each step, and returns the folders it left, in order."""

    def run(scenario: str) -> list[Path]:
        seed(tmp_path / "seed")
        with program(scenario, tmp_path) as child:
            child.communicate()
        assert child.returncode == 0
        return sorted((path for path in tmp_path.iterdir() if path.name != "seed"), key=lambda path: int(path.name))

    return run


def test_a_killed_promotion_leaves_the_pointer_on_a_whole_checkpoint(
    killed_everywhere: Callable[[str], list[Path]],
) -> None:
    """No step shows a half checkpoint, the pointer moves once and after the checkpoint is whole, and all can go on."""
    pointed = []
    for folder in killed_everywhere("publish"):
        store = CheckpointStore(folder, keep=3)
        pointer = store.latest()
        assert pointer is not None
        new_is_there = NEW in [entry.id for entry in store.entries()]
        pointed.append((new_is_there, pointer.id == NEW))
        assert pointer.id in (IDS[5], NEW)
        for entry in store.entries():
            assert entry.problem is None
            store.verify(entry.id)
        reported: list[str] = []
        sound = store.newest_sound(lambda i, _, to=reported: to.append(i))
        assert sound is not None
        assert (sound.manifest.id, reported) == (pointer.id, [])

        store.sweep()
        again = store.new_id(6)
        publish(folder, again)
        assert store.latest().id == again
        assert not [path for path in folder.rglob(".*") if path.name.startswith(".")]
        assert {IDS[0], pointer.id, again} <= {entry.id for entry in store.entries()}
    assert pointed == sorted(pointed)
    assert set(pointed) == {(False, False), (True, False), (True, True)}


def test_a_killed_operator_leaves_nothing_that_the_history_does_not_tell(
    killed_everywhere: Callable[[str], list[Path]],
) -> None:
    """Each act is told first and done after, at once; what is in force is whole at every step, and acts can go on."""
    states: list[tuple[str, str | None, list[str]]] = []
    for folder in killed_everywhere("operate"):
        operations = Operations(CheckpointStore(folder, keep=3))
        pointer, pin = CheckpointStore(folder, keep=3).latest(), read_pin(folder)
        assert pointer is not None
        state = (pointer.id, pin.id if pin else None, [entry["event"] for entry in operations.history(9)[::-1]])
        states += [state] if states[-1:] != [state] else []
        new, before = operations.pin(IDS[2], Operator("ops"))
        assert (read_pin(folder), before) == (new, pin.id if pin else None)
    assert states == [
        (IDS[5], None, []),
        (IDS[5], None, ["promoted"]),
        (IDS[3], None, ["promoted"]),
        (IDS[3], None, ["promoted", "pinned"]),
        (IDS[3], IDS[4], ["promoted", "pinned"]),
        (IDS[3], IDS[4], ["promoted", "pinned", "unpinned"]),
        (IDS[3], None, ["promoted", "pinned", "unpinned"]),
    ]


def test_a_killed_save_leaves_a_whole_snapshot(killed_everywhere: Callable[[str], list[Path]]) -> None:
    """The old newest one or the new one, and nothing that stays for ever."""
    loaded = []
    for folder in killed_everywhere("save_snapshot"):
        store = SnapshotStore(folder, {"task": "binary"})
        arrays, meta = store.load()
        loaded.append(meta["number"])
        np.testing.assert_array_equal(arrays["window"], np.full(500, float(meta["number"])))
        store.sweep()
        store.save({}, {"number": 4})
        assert store.load()[1] == {"number": 4}
        assert len(list(folder.iterdir())) == 2
    assert loaded == sorted(loaded)
    assert set(loaded) == {2, 3}


def test_a_killed_append_leaves_whole_lines(killed_everywhere: Callable[[str], list[Path]]) -> None:
    """What was there stays, in order and once, through a rotation, and the next append follows it."""
    lasts = []
    for folder in killed_everywhere("append_decisions"):
        journal = Journal(folder / "decisions.jsonl", max_bytes=400)
        before = [entry["n"] for entry in journal.read_since()[0]]
        assert before == list(range(before[0], before[-1] + 1))
        journal.append({"n": before[-1] + 1, "pad": "x" * 30})
        after = [entry["n"] for entry in journal.read_since()[0]]
        assert after == list(range(after[0], before[-1] + 2))
        assert len(after) >= 5
        lasts.append(before[-1])
    assert lasts == sorted(lasts)
    assert set(lasts) == set(range(4, 13))


def test_a_killed_holder_is_followed_at_once_by_a_higher_number(
    killed_everywhere: Callable[[str], list[Path]],
) -> None:
    """Whatever step of acquiring, renewing or releasing it died in; no lock stays behind."""
    fences = []
    for folder in killed_everywhere("hold_lease"):
        lease = Lease(folder, "next", 3_600.0)
        assert lease.holder() is None
        last = json.loads((folder / "lease.json").read_bytes())["fence"]
        fence = lease.try_acquire()
        assert fence is not None
        assert fence > last
        fences.append(fence)
        lease.check()
    assert fences == sorted(fences)
    assert (fences[0], fences[-1]) == (3, 5)


def test_two_processes_never_hold_the_lease_at_once(tmp_path: Path) -> None:
    """Both take it and give it back many times; the numbers rise in the order in which they held it."""
    with program("race", tmp_path) as one, program("race", tmp_path) as two:
        outputs = [child.communicate()[0] for child in (one, two)]
    assert [child.returncode for child in (one, two)] == [0, 0]
    fences = sorted(int(line) for output in outputs for line in output.split())
    assert fences == list(range(1, 51))
    order = [int(line) for line in (tmp_path / "order").read_text().split()]
    assert order == fences


def test_a_holder_that_was_stopped_finds_itself_fenced(tmp_path: Path) -> None:
    """It wakes after another took over, and can neither write nor publish."""
    store = CheckpointStore(tmp_path, keep=3)
    store.write(checkpoint(IDS[0]))
    store.point(IDS[0], reason="first", by="trainer")
    with program("stopped", tmp_path) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "1\n"
        os.kill(child.pid, signal.SIGSTOP)
        standby = Lease(tmp_path, "standby", 0.2)
        while (fence := standby.try_acquire()) is None:
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGCONT)
        output, _ = child.communicate("go on\n")
    assert fence == 2
    assert output == "write LeaseLostError\npoint LeaseLostError\nrenew LeaseLostError\n"
    assert store.latest().id == IDS[0]
    assert [entry.id for entry in store.entries()] == [IDS[0]]
    standby.check()


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    """Weights, manifest, snapshot, pointer, lease, decision or status: the old one stays, and later it goes on."""
    seed(tmp_path)
    write_status(tmp_path, {"n": 1})
    before = contents(tmp_path)

    with program("full_disk", tmp_path) as child:
        output, _ = child.communicate()

    assert child.returncode == 0
    assert len(output.splitlines()) == 7
    assert all(line.endswith("may be written to") and ": File too large; " in line for line in output.splitlines())
    assert contents(tmp_path) == before
    publish(tmp_path / "publish")
    assert CheckpointStore(tmp_path / "publish", keep=3).latest().id == NEW


def test_a_reader_sees_no_damage_while_checkpoints_come_and_go(tmp_path: Path) -> None:
    """A process publishes and prunes; every look finds a whole checkpoint, never an older one than before."""
    seed(tmp_path)
    store = CheckpointStore(tmp_path / "publish", keep=3)
    reported: list[tuple[str, StoreError]] = []
    seen = []
    with program("publish_many", tmp_path / "publish") as child:
        while len(set(seen)) <= 5 or seen[-1] < "000060":  # however unequally the two get their turns
            assert child.poll() is None
            sound = store.newest_sound(lambda *what: reported.append(what))
            assert sound is not None
            seen.append(sound.manifest.id)
        child.communicate()
    assert child.returncode == 0
    assert reported == []
    assert seen == sorted(seen)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder but the locks, hidden ones too."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def race(folder: Path) -> None:
    """Take the lease 25 times, and show in a file that nobody else had it meanwhile."""
    lease = Lease(folder, "racer", 3_600.0)
    for _ in range(25):
        while (fence := lease.try_acquire()) is None:
            time.sleep(0.001)
        inside = os.open(folder / "inside", os.O_CREAT | os.O_EXCL)  # fails if the other one is inside
        with (folder / "order").open("a") as order:
            order.write(f"{fence}\n")
        os.close(inside)
        (folder / "inside").unlink()
        lease.release()
        sys.stdout.write(f"{fence}\n")


def stopped(folder: Path) -> None:
    """Acquire, wait for a word, and try to go on."""
    lease = Lease(folder, "stopped", 0.2)
    sys.stdout.write(f"{lease.try_acquire()}\n")
    sys.stdout.flush()
    sys.stdin.readline()
    store = CheckpointStore(folder, keep=3)
    tries: dict[str, Callable[[], object]] = {
        "write": lambda: store.write(checkpoint(IDS[1]), lease.check),
        "point": lambda: store.point(IDS[0], reason="late", by="stopped", guard=lease.guarded),
        "renew": lease.renew,
    }
    for name, use in tries.items():
        try:
            use()
        except LeaseLostError as error:
            sys.stdout.write(f"{name} {type(error).__name__}\n")


def full_disk(folder: Path) -> None:
    """Try all that writes while no file may grow beyond so many bytes; say what each attempt raised."""
    store = CheckpointStore(folder / "publish", keep=3)
    journal = Journal(folder / "append_decisions" / "decisions.jsonl")
    tries: tuple[tuple[int, Callable[[], object]], ...] = (
        (3_000, lambda: store.write(checkpoint(NEW))),  # the weights
        (300, lambda: store.write(checkpoint(NEW, numbers=0))),  # the manifest, last of the files
        (
            3_000,
            lambda: SnapshotStore(folder / "save_snapshot", {"task": "binary"}).save({"window": np.zeros(1_000)}, {}),
        ),
        (64, lambda: store.point(IDS[4], reason="step back", by="user")),
        (64, Lease(folder / "hold_lease", "trainer", 1.0).try_acquire),
        (3_000, lambda: journal.append({"n": 5, "pad": "x" * 10_000})),
        (5, lambda: write_status(folder, {"n": 2})),
    )
    for limit_bytes, use in tries:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))
        try:
            use()
        except StoreUnavailableError as error:
            sys.stdout.write(f"{error}\n")


def publish_many(folder: Path) -> None:
    """Publish checkpoints, keeping few, until standard input ends."""
    store = CheckpointStore(folder, keep=3)
    while not select.select([sys.stdin], [], [], 0)[0]:
        publish(folder, store.new_id(0))


if __name__ == "__main__":
    name, where, *rest = sys.argv[1:]
    if name in SCENARIOS:
        be_killed(name, Path(where))
    else:
        roles = {"race": race, "stopped": stopped, "full_disk": full_disk, "publish_many": publish_many}
        roles[name](Path(where), *map(int, rest))
