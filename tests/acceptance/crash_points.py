"""Kills the program at a named instant: before or after the n-th durable step of a kind, without hooks in the service.

    python -m tests.acceptance.crash_points --at "pointer move" --when before -- train --config freshet.yaml

What the service makes durable goes through ``os.fsync``, ``os.rename`` and ``os.replace``, SQLite's COMMIT, or a Kafka
client's commit and flush. These are wrapped here, and told apart by the paths they are used on.
"""

import argparse
import os
import re
import runpy
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BESIDE = r"\.[^/]+\.tmp"
ID = r"[0-9]{6}-[0-9a-f]{8}"

POINTS: dict[str, str] = {
    # name: what is done, and where (a rename is told by "from -> to")
    "checkpoint file": rf"fsync /store/checkpoints/{BESIDE}/[^/]+",
    "checkpoint contents": rf"fsync /store/checkpoints/{BESIDE}",
    "checkpoint rename": rf"rename .*{BESIDE} -> /store/checkpoints/{ID}",
    "checkpoint name": r"fsync /store/checkpoints",
    "checkpoint removal": rf"rename /store/checkpoints/{ID} -> .*",
    "snapshot file": rf"fsync /state/snapshots/{BESIDE}/[^/]+",
    "snapshot contents": rf"fsync /state/snapshots/{BESIDE}",
    "snapshot rename": rf"rename .*{BESIDE} -> /state/snapshots/[0-9]+",
    "snapshot name": r"fsync /state/snapshots",
    "snapshot removal": r"rename /state/snapshots/[0-9]+ -> .*",
    "ledger append": r"fsync /state/ledger/[^/]+",
    "ledger name": r"fsync /state/ledger",
    "pointer file": rf"fsync /store/\.latest{BESIDE}",
    "pointer move": r"rename .* -> /store/latest",
    "lease number": r"fsync /store/lease\.lock",
    "lease file": rf"fsync /store/\.lease\.json{BESIDE}",
    "lease rename": r"rename .* -> /store/lease\.json",
    "store name": r"fsync /store",
    "store identity": rf"(fsync /store/\.id{BESIDE}|rename .* -> /store/id)",
    "decision": r"fsync /store/decisions\.jsonl",
    "status": r"rename .* -> /store/status\.json",
    "course": r"rename .* -> /store/course\.json",
    "round inputs": r"rename .* -> /state/rounds/[0-9]+/inputs\.safetensors",
    "round description": r"rename .* -> /state/rounds/[0-9]+/round\.json",
    "dead letters": r"commit records",
    "offset commit": r"commit offsets",
    "folder made": r"fsync /(state)?",
}
"""Every durable step of a trainer by name; a test holds that there are no others."""

BEFORE, AFTER = "before", "after"


def name_of(step: str) -> str | None:
    """Return the point that a step is an instance of, None for what has no name."""
    return next((name for name, pattern in POINTS.items() if re.fullmatch(pattern, step)), None)


def die() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def fall_asleep() -> None:
    """Stop the whole process until it gets SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)


def wait_for_ever() -> None:
    """Stop this thread alone, as a disk does that no longer answers."""
    threading.Event().wait()


ENDS = {"die": die, "sleep": fall_asleep, "hang": wait_for_ever}
"""What can happen at a point."""


class Recorder:
    """Counts the durable steps of this process, writes each to a file, and has one of them be the last.

    ``end`` is what happens then; should it return, the process goes on. With a file ``once`` nothing counts before it
    is there.
    """

    def __init__(
        self,
        folder: Path,
        trace: Path,
        at: str | None,
        when: str,
        count: int,
        end: Callable[[], None],
        once: Path | None = None,
    ) -> None:
        self._root = str(folder)
        self._trace = trace
        self._at = at
        self._when = when
        self._left = count
        self._once = once
        self._end = end
        self._lock = threading.Lock()

    def around(self, step: str, real: Callable[[], Any]) -> Any:
        """Do a step, and die before or after it if it is the one."""
        name = name_of(step)
        fatal = False
        with self._lock:
            if name is not None and name == self._at and (self._once is None or self._once.exists()):
                self._left -= 1
                fatal = self._left == 0
            with self._trace.open("a") as trace:
                trace.write(f"{name}\t{step}\n")
        if fatal and self._when == BEFORE:
            self._die()
        done = real()
        if fatal and self._when == AFTER:
            self._die()
        return done

    def path(self, path: Any) -> str:
        """Return a path as the points spell it: below the service's folder, which is the root."""
        absolute = os.path.realpath(os.fspath(path))
        inside = absolute == self._root or absolute.startswith(f"{self._root}/")
        return (absolute.removeprefix(self._root) or "/") if inside else ""

    def _die(self) -> None:
        with self._trace.open("a") as trace:
            trace.write(f"died {self._when}\t{self._at}\n")
        self._end()


def watch_files(recorder: Recorder) -> None:
    """Wrap what makes files and names durable."""
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def watched_fsync(handle: int) -> None:
        path = recorder.path(f"/proc/self/fd/{handle}")
        if path:
            recorder.around(f"fsync {path}", lambda: fsync(handle))
        else:
            fsync(handle)

    def watched_move(real: Callable[..., None]) -> Callable[..., None]:
        def move(source: Any, target: Any, **keywords: Any) -> None:
            names = f"rename {recorder.path(source)} -> {recorder.path(target)}"
            recorder.around(names, lambda: real(source, target, **keywords))

        return move

    os.fsync = watched_fsync  # type: ignore[assignment]
    os.rename, os.replace = watched_move(rename), watched_move(replace)


def watch_embedded_log(recorder: Recorder) -> None:
    """Wrap the COMMIT of SQLite, told apart by what was written."""
    connect = sqlite3.connect

    class Watched(sqlite3.Connection):
        """Remembers which table the transaction writes to."""

        wrote = "schema"

        def note(self, statement: str) -> None:
            """Remember what a statement writes to."""
            for table, what in (("INTO records", "records"), ("INTO committed", "offsets")):
                if table in statement:
                    self.wrote = what

        def executemany(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
            """Run a statement many times."""
            self.note(statement)
            return super().executemany(statement, *arguments)

        def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
            """Run a statement; a COMMIT is a step."""
            self.note(statement)
            run = super().execute
            if statement == "COMMIT":
                done: sqlite3.Cursor = recorder.around(f"commit {self.wrote}", lambda: run(statement, *arguments))
                return done
            return run(statement, *arguments)

    def watched_connect(*arguments: Any, **keywords: Any) -> sqlite3.Connection:
        return connect(*arguments, **keywords, factory=Watched)

    sqlite3.connect = watched_connect  # type: ignore[assignment]


def watch_kafka(recorder: Recorder) -> None:
    """Wrap the commit of offsets and the flush of dead letters."""
    from service.ingest.kafka import KafkaSource  # noqa: PLC0415
    from service.ingest.kafka_sink import KafkaSink  # noqa: PLC0415

    commit, flush = KafkaSource.commit, KafkaSink.flush

    def watched_commit(self: KafkaSource, *arguments: Any) -> None:
        recorder.around("commit offsets", lambda: commit(self, *arguments))

    def watched_flush(self: KafkaSink, *arguments: Any) -> Any:
        return recorder.around("commit records", lambda: flush(self, *arguments))

    KafkaSource.commit, KafkaSink.flush = watched_commit, watched_flush  # type: ignore[method-assign]


def shift_clock(file: Path) -> None:
    """Have the wall clock tell the true time plus the seconds that a file holds, as of now."""
    seconds, nanoseconds = time.time, time.time_ns

    def ahead() -> float:
        return float(file.read_text())

    time.time = lambda: seconds() + ahead()
    time.time_ns = lambda: nanoseconds() + int(ahead() * 1e9)


def main() -> None:
    """Arm the points, then be the program."""
    parser = argparse.ArgumentParser(prog="crash_points", description=__doc__)
    parser.add_argument("--at", choices=POINTS, help="where to die; nowhere when left out")
    parser.add_argument("--when", choices=(BEFORE, AFTER), default=BEFORE)
    parser.add_argument("--count", type=int, default=1, help="the how manieth such step is the last")
    parser.add_argument("--once", type=Path, help="a file before whose being there no step counts")
    parser.add_argument("--end", choices=ENDS, default="die", help="what happens there")
    parser.add_argument("--folder", type=Path, required=True, help="what holds store, state and log")
    parser.add_argument("--trace", type=Path, required=True, help="a file that gets a line a step")
    parser.add_argument("--kafka", action="store_true", help="watch the Kafka clients too")
    parser.add_argument("--clock", type=Path, help="a file with the seconds by which the wall clock is ahead")
    parser.add_argument("command", nargs="+", help="the program's own arguments, after --")
    given = parser.parse_args()
    recorder = Recorder(
        given.folder.resolve(), given.trace, given.at, given.when, given.count, ENDS[given.end], given.once
    )
    watch_files(recorder)
    watch_embedded_log(recorder)
    if given.kafka:
        watch_kafka(recorder)
    if given.clock:
        shift_clock(given.clock)
    sys.argv = ["freshet", *given.command]
    runpy.run_module("service", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
