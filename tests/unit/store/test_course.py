"""The course of the scores: bounded, old points thinner, and whole after it was written."""

from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from service.store.course import COURSE, FUTURE_MS, MOST_POINTS, NAMES, Course, read_course, write_course

SECOND_MS = 1_000
ERRORS = {"champion": 0.125, "frozen": 0.5, "previous": 0.25}


def course_of(points: int, *, apart_ms: int = SECOND_MS) -> Course:
    """Return a course to which so many points were added."""
    course = Course()
    for number in range(1, points + 1):
        assert course.add(number * apart_ms, number * 10, ERRORS, promoted=number // 50, lag=3)
    return course


def test_a_point_is_what_was_known_then(tmp_path: Path) -> None:
    """Each column has it, and a reader gets it back; a role that there is not, or has no number, is None."""
    course = course_of(1)
    assert course.add(2_000, 30, {"champion": 0.123456789, "frozen": float("nan")}, promoted=4, lag=0)
    write_course(tmp_path / "store", course)
    assert read_course(tmp_path / "store") == Course(
        at_ms=[1_000, 2_000],
        events=[10, 30],
        champion=[0.125, 0.12346],
        frozen=[0.5, None],
        previous=[0.25, None],
        promoted=[0, 4],
        lag=[3, 0],
    )
    assert [entry.name for entry in (tmp_path / "store").iterdir()] == [COURSE]


@pytest.mark.parametrize(("at_ms", "events"), [(2_000, 10), (2_000, 0), (1_000, 11), (500, 11)])
def test_nothing_new_is_no_point(at_ms: int, events: int) -> None:
    """Where no event was predicted since, or none at all, or a clock was set back."""
    course = course_of(1)
    assert not course.add(at_ms, events, ERRORS, promoted=0, lag=0)
    assert course == course_of(1)
    assert not Course().add(1_000, 0, ERRORS, promoted=0, lag=0)


@pytest.mark.parametrize("ahead_ms", [FUTURE_MS, FUTURE_MS + 1])
def test_a_clock_that_was_wrong_for_once_does_not_stop_the_course(tmp_path: Path, ahead_ms: int) -> None:
    """A point from the far future is dropped, also one that a former trainer left; a small step back is waited out."""
    course = course_of(3)
    assert course.add(4_000 + ahead_ms, 40, ERRORS, promoted=0, lag=0)
    write_course(tmp_path, course)
    course = read_course(tmp_path)
    with capture_logs() as logs:
        added = [course.add(at_ms, at_ms, ERRORS, promoted=0, lag=0) for at_ms in (4_000, 5_000)]
    wrong = ahead_ms > FUTURE_MS
    assert added == [wrong, wrong]
    assert course.at_ms == [1_000, 2_000, 3_000, *((4_000, 5_000) if wrong else (4_000 + ahead_ms,))]
    assert [line["points"] for line in logs] == ([1] if wrong else [])
    assert len({len(getattr(course, name)) for name in NAMES}) == 1


def test_a_course_is_bounded_and_thins_out_with_age() -> None:
    """Its ends stay, its newest points are all there, and steps grow the older they are."""
    course = course_of(5_000)
    assert len(course) == MOST_POINTS
    assert (course.at_ms[0], course.at_ms[-1]) == (SECOND_MS, 5_000 * SECOND_MS)
    assert course.at_ms[-5:] == [(4_996 + step) * SECOND_MS for step in range(5)]
    apart = [later - earlier for earlier, later in zip(course.at_ms, course.at_ms[1:], strict=False)]
    quarters = [apart[begin : begin + MOST_POINTS // 4] for begin in range(0, len(apart), MOST_POINTS // 4)][:4]
    means = [sum(some) / len(some) for some in quarters]
    assert means == sorted(means, reverse=True)
    assert means[0] > 5 * means[-1]
    assert max(apart) < 0.05 * 5_000 * SECOND_MS, "no hole that one could see in a chart"


def test_a_copy_does_not_change_with_the_course() -> None:
    """It is written by another thread while points are added."""
    course = course_of(3)
    copy = course.copy()
    course.add(9_000, 999, ERRORS, promoted=9, lag=9)
    assert copy == course_of(3)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"at_ms": [1, 2]}',
        b'{"at_ms": "soon"}',
        b'{"at_ms": [1], "events": [1], "champion": [0], "frozen": [0], "previous": [0], "promoted": [], "lag": [0]}',
        msgspec.json.encode({name: [2, 1] for name in NAMES}),
    ],
)
def test_what_is_no_course_is_an_empty_one(tmp_path: Path, data: bytes) -> None:
    """A damaged file costs the line in the chart, and nothing else."""
    (tmp_path / COURSE).write_bytes(data)
    assert read_course(tmp_path) == Course()
    assert read_course(tmp_path / "nowhere") == Course()
