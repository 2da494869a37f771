"""Run `freshet replay` as a user would, and keep what it told, so that figures can share a run."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

UNGATED = "gate.enabled=false"
ROUNDS = "trigger.every_events=100"
DECISIONS = "decisions.jsonl"
WALL = ("seconds", "events_per_second")
WALL_ENDINGS = ("_wall_seconds", "_at")


def spared(told: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a summary without what the wall clock decides."""
    if isinstance(told, dict):
        return {key: spared(value) for key, value in told.items() if key not in WALL and not key.endswith(WALL_ENDINGS)}
    return told


@dataclass(frozen=True)
class Replays:
    """Replays with the default settings, rounds of 100 events, and ``settings`` over them; each different one once."""

    label: str
    settings: tuple[str, ...] = ()
    _told: dict[tuple[object, ...], dict[str, Any]] = field(default_factory=dict)

    def run(self, path: Path, *settings: str, mask: Path | None = None, again: bool = False) -> dict[str, Any]:
        """Return the summary of a recording, if need be from before; ``again`` runs it in any case."""
        key = (path, settings, mask)
        if again or key not in self._told:
            self._told[key] = self._run(path, settings, ["--score-only", str(mask)] if mask else [])
        return self._told[key]

    def decisions(self, path: Path) -> tuple[int, list[dict[str, Any]]]:
        """Return the number of events of a recording, and every decision of its replay, in order."""
        with tempfile.TemporaryDirectory() as out:
            told = self._run(path, (), ["--out", out])
            return told["events"], [json.loads(line) for line in (Path(out) / DECISIONS).read_text().splitlines()]

    def _run(self, path: Path, settings: tuple[str, ...], more: list[str]) -> dict[str, Any]:
        command = [sys.executable, "-m", "service", "replay", str(path), "--label", self.label, "--json", *more]
        for setting in (ROUNDS, *self.settings, *settings):
            command += ["--set", setting]
        print(f"replaying {path.stem} {' '.join([*settings, *more])}", file=sys.stderr, flush=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FRESHET_")}
        # In an empty folder, so that no configuration of the reader's own is found.
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(command)}\n{done.stderr}")
        told: dict[str, Any] = json.loads(done.stdout)
        return told


def champion(told: dict[str, Any]) -> float:
    """Return the champion's accuracy, in percent."""
    return 100 * float(told["accuracy"]["champion"])
