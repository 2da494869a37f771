"""How the models fared since the service began: a bounded course of their scores in ``course.json``.

The trainer adds a point about once a second and servers read it. Older points lie further apart, newer ones closer
together, so that the last minutes and the last month can be drawn from the same few hundred.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import structlog

from service.store.files import make_folder, replace_file

COURSE = "course.json"

MOST_POINTS = 480
"""So many are a file of about 30 kB, and a line that looks whole on any screen."""

CROWDING = 0.75
"""How fast points thin out with their age: at 0 all are equally far apart, at 1 the distance grows as the age does."""

FUTURE_MS = 60_000
"""A point so far ahead of the clock was made by a clock that was wrong, and would keep all others out until then."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Course:
    """Columns of equal length, oldest point first.

    ``at_ms`` is a Unix time, ``events`` how many were predicted by then; ``champion``, ``frozen`` and ``previous`` are
    mean errors over the newest events, None without such a model; ``promoted`` counts promotions until then, ``lag``
    the records that waited to be read.
    """

    at_ms: list[int] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    champion: list[float | None] = field(default_factory=list)
    frozen: list[float | None] = field(default_factory=list)
    previous: list[float | None] = field(default_factory=list)
    promoted: list[int] = field(default_factory=list)
    lag: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.at_ms)

    def add(self, at_ms: int, events: int, errors: Mapping[str, float], *, promoted: int, lag: int) -> bool:
        """Add a point if events were predicted since the last one, and tell whether there is one.

        A clock that was set back a little does not make the course run backwards: until it has caught up, points are
        left out. After more than FUTURE_MS it is believed, and the points from its future are dropped.
        """
        self._forget_later_than(at_ms + FUTURE_MS)
        if not events or (self.at_ms and (events == self.events[-1] or at_ms <= self.at_ms[-1])):
            return False
        point = (at_ms, events, *(_rounded(errors.get(role)) for role in ("champion", "frozen", "previous")))
        for name, value in zip(NAMES, (*point, promoted, lag), strict=True):
            getattr(self, name).append(value)
        while len(self) > MOST_POINTS:
            self._drop(self._most_crowded())
        return True

    def copy(self) -> "Course":
        """Return a course that later points do not change."""
        return Course(*(list(getattr(self, name)) for name in NAMES))

    def _forget_later_than(self, at_ms: int) -> None:
        kept = bisect_right(self.at_ms, at_ms)
        dropped = len(self) - kept
        if dropped:
            for name in NAMES:
                del getattr(self, name)[kept:]
            log.warning(
                "the clock was ahead, or is behind: points of the course from the future are dropped", points=dropped
            )

    def _most_crowded(self) -> int:
        """Return the point that is missed least: whose neighbours are closest, for its age. Both ends stay."""
        at = np.array(self.at_ms, dtype=np.float64)
        apart, age = at[2:] - at[:-2], at[-1] - at[1:-1]
        return 1 + int(np.argmin(apart / age**CROWDING))

    def _drop(self, index: int) -> None:
        for name in NAMES:
            del getattr(self, name)[index]


NAMES = tuple(one.name for one in fields(Course))


def _rounded(error: float | None) -> float | None:
    """Return an error with as many digits as can be seen in a chart."""
    return None if error is None or not math.isfinite(error) else float(f"{error:.5g}")


def write_course(store_path: Path, course: Course) -> None:
    """Replace the file at once; not fsynced, as the next one follows soon. Raises StoreUnavailableError."""
    make_folder(store_path)
    replace_file(store_path / COURSE, msgspec.json.encode(course), durable=False)


def read_course(store_path: Path) -> Course:
    """Return what was written last; an empty course where there is none, or none that can be read."""
    try:
        data = (store_path / COURSE).read_bytes()
    except OSError:
        return Course()
    try:
        course = msgspec.json.decode(data, type=Course)
        _check(course)
    except (ValueError, RecursionError) as error:
        log.warning("the course of the scores cannot be read; it begins anew", problem=str(error))
        return Course()
    return course


def _check(course: Course) -> None:
    """Raise ValueError unless the columns are a course that ``add`` can have made."""
    columns: list[list[Any]] = [getattr(course, name) for name in NAMES]
    if len({len(column) for column in columns}) != 1 or len(course) > MOST_POINTS:
        message = "its columns are of different lengths, or too long"
        raise ValueError(message)
    if any(later <= earlier for earlier, later in zip(course.at_ms, course.at_ms[1:], strict=False)):
        message = "its times do not ascend"
        raise ValueError(message)
