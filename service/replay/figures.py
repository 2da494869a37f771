"""What the report draws, as plain values: means along the stream, rounds, drift scores, shares of the portfolio."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from service.observer import DRIFT_KINDS, ROUND_OUTCOMES
from service.records import FloatArray
from service.replay.curves import Samples
from service.replay.result import Result
from service.replay.tally import GUESS, ROLES

SMOOTHED_SHARE = 1 / 60
LEAST_SMOOTHED, MOST_SMOOTHED = 200, 10_000
"""Curves are means over this share of the stream, within these bounds."""

BARS = 90
MOST_FEATURES = 6
"""Drift scores that are drawn: those that rose highest."""


def figures(result: Result) -> dict[str, Any]:
    """Return the report's data: numbers, texts and None alone."""
    return {
        "events": result.tally.curves.events,
        "regression": result.regression,
        "scores": _scores(result),
        "rounds": _rounds(result),
        "alarms": _alarms(result),
        "suspicions": [list(span) for span in result.suspicions],
        "drift": _drift(result.tally.drift),
        "threshold": result.settings.drift.least_score,
        "concept": _series(result.tally.drift, {"concept/model": "rise of the champion's error"}),
        "shares": _series(result.tally.shares),
    }


def _scores(result: Result) -> dict[str, Any]:
    """Return each role's accuracy (a regression's mean absolute error) as trailing means."""
    curves = result.tally.curves
    sums, ends = curves.sums(), curves.ends()
    span = min(max(curves.events * SMOOTHED_SHARE, LEAST_SMOOTHED), MOST_SMOOTHED)
    buckets = max(1, round(span / curves.width))
    counted = _trailing(sums["events"], buckets)
    roles = {}
    for name in (*ROLES, GUESS):
        with np.errstate(invalid="ignore", divide="ignore"):
            errors = _trailing(sums[f"errors/{name}"], buckets) / counted
        roles[name] = _plain(errors if result.regression else 1 - errors)
    return {"at": _plain(ends, 0), "span": buckets * curves.width, "roles": roles}


def _trailing(values: FloatArray, buckets: int) -> FloatArray:
    """Return for each bucket the sum of it and of those before it, ``buckets`` in all."""
    total = np.concatenate([np.zeros(buckets), np.cumsum(values)])
    summed: FloatArray = total[buckets:] - total[:-buckets]
    return summed


def _rounds(result: Result) -> dict[str, Any]:
    """Return how many rounds ended in which way, by stretch of the stream."""
    marks = result.tally.marks
    sums, ends = marks.sums(), marks.ends()
    size = max(1, math.ceil(len(ends) / BARS))
    starts = np.arange(0, len(ends), size)
    outcomes = {name: _plain(np.add.reduceat(sums[name], starts), 0) if len(ends) else [] for name in ROUND_OUTCOMES}
    middles = (starts + size / 2) * marks.width
    return {"at": _plain(middles, 0), "width": size * marks.width, "outcomes": outcomes}


def _alarms(result: Result) -> dict[str, Any]:
    """Return where each kind of drift alarm was raised."""
    marks = result.tally.marks
    sums, ends = marks.sums(), marks.ends()
    return {kind: _plain(ends[sums[f"alarm/{kind}"] > 0], 0) for kind in DRIFT_KINDS}


def _drift(samples: Samples) -> dict[str, Any]:
    """Return the stability indices of the predictions and of those features where they rose highest."""
    features = sorted(
        (name for name in samples.values if name.startswith("psi/")), key=lambda name: -_peak(samples.values[name])
    )
    names = {name: name.removeprefix("psi/") for name in features[:MOST_FEATURES]}
    return _series(samples, names | {"prediction/model": "predictions"})


def _series(samples: Samples, names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return readings, all or those that are named, under other names."""
    names = {name: name for name in samples.values} if names is None else names
    read = {name: new for name, new in names.items() if not np.isnan(samples.values.get(name, np.nan)).all()}
    series = {new: _plain(samples.values[name]) for name, new in read.items()}
    return {"at": samples.at, "series": series}


def _peak(values: Iterable[float]) -> float:
    return max((value for value in values if math.isfinite(value)), default=-math.inf)


def _plain(values: Iterable[float], digits: int = 5) -> list[float | None]:
    """Return numbers as JSON can hold them, no longer than a screen can show."""
    return [_short(float(value), digits) if math.isfinite(value) else None for value in values]


def _short(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}") if digits else round(value)
