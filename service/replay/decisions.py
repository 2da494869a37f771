"""What was decided on a recording, one JSON object a line, written as it happens."""

import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from service.errors import UsageError
from service.store.clock import utc_text

DECISIONS = "decisions.jsonl"


class DecisionLog:
    """Writes ``decisions.jsonl`` into a folder; without a folder it takes entries and drops them.

    Entering raises UsageError when the folder cannot be written.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        if self._folder is not None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = (self._folder / DECISIONS).open("w", encoding="utf-8")
            except OSError as error:
                raise UsageError(f"--out {self._folder}: cannot be written ({error.strerror or error})") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, kind: str, event: int, at_seconds: float, fields: dict[str, Any]) -> None:
        """Write what was decided after ``event`` accepted events, at a virtual time."""
        if self._file is not None:
            entry = {"kind": kind, "event": event, "at": utc_text(at_seconds), **fields}
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
