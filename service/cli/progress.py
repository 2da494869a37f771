"""A bar on standard error for commands that read a file through."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from service.cli.options import tell

Progress = Callable[[int, float], None]
"""Called with the events so far and the share of the file read, 0 to 1."""


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Show progress on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _events, _share: None
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[events]:,} events"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0, events=0)
        yield lambda events, share: bar.update(task, completed=share, events=events)


class Screen:
    """Lines for a human, and between them a bar while there is progress: the one is not drawn into the other."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._stack = ExitStack()
        self._progress: Progress | None = None

    def say(self, line: str) -> None:
        """Write a line; a bar is taken away first."""
        self.close()
        tell(f"freshet: {line}")

    def progress(self, events: int, share: float) -> None:
        """Show how far it is."""
        if self._progress is None:
            self._progress = self._stack.enter_context(progress_bar(self._title))
        self._progress(events, share)

    def close(self) -> None:
        """Take the bar away."""
        self._stack.close()
        self._progress = None
