"""How often `score_fall` calls for a round without a fall, and how soon it sees one.

Losses are drawn, not learnt, so that nothing else is measured. A fall of the score is looked for after every 20 events,
as the trainer does; a new champion comes every 1,000 events, or never.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from numpy.random import Generator

from service.records import FloatArray
from service.settings import Trigger
from service.trigger.decline import BLOCK_EVENTS, Decline

RISES = (0.15, 0.2, 0.3, 0.5)
RUNS = 50


def wrong(error: float) -> Callable[[int, Generator], FloatArray]:
    """Return a source of log-losses of a model that is wrong in a share of the events."""

    def draw(events: int, random: Generator) -> FloatArray:
        missed = random.random(events) < error
        return np.where(missed, random.exponential(2.0, events), random.exponential(0.15, events))

    return draw


def calibrated(spread: float) -> Callable[[int, Generator], FloatArray]:
    """Return a source of log-losses of a model whose probabilities are right."""

    def draw(events: int, random: Generator) -> FloatArray:
        chance = 1 / (1 + np.exp(-random.normal(0, spread, events)))
        return -np.log(np.where(random.random(events) < chance, chance, 1 - chance))

    return draw


SOURCES: dict[str, Callable[[int, Generator], FloatArray]] = {
    "wrong in 2 %": wrong(0.02),
    "wrong in 10 %": wrong(0.1),
    "wrong in 30 %": wrong(0.3),
    "calibrated, unsure": calibrated(2.0),
    "calibrated, sure": calibrated(5.0),
    "absolute error, normal": lambda events, random: np.abs(random.normal(size=events)),
    "absolute error, Student's t of 3": lambda events, random: np.abs(random.standard_t(3, size=events)),
}


def false_falls(settings: Trigger, losses: FloatArray, champion_events: int | None) -> int:
    """Return how many falls are seen where there is none."""
    decline, falls, fallen = Decline(settings), 0, False
    for first in range(0, len(losses), BLOCK_EVENTS):
        decline.add(losses[first : first + BLOCK_EVENTS])
        before, fallen = fallen, decline.fall().fallen
        falls += fallen and not before
        if champion_events and first % champion_events == 0:
            decline.reset()
            fallen = False
    return falls


def delay(settings: Trigger, error: float, seed: int) -> int | None:
    """Return after how many events a rise from 10 % is seen, None if not within 1,000."""
    random = np.random.default_rng(seed)
    decline = Decline(settings)
    decline.add(wrong(0.1)(1_000, random))
    after = wrong(error)(1_000, random)
    for first in range(0, len(after), BLOCK_EVENTS):
        decline.add(after[first : first + BLOCK_EVENTS])
        if decline.fall().fallen:
            return first + BLOCK_EVENTS
    return None


def main() -> None:
    """Print falls per 100,000 events without any, and the share of rises that is seen, with its median delay."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--alpha", type=float, default=Trigger().fall_alpha)
    given = parser.parse_args()
    settings = Trigger(fall_alpha=given.alpha)
    false: dict[str, list[float]] = {}
    for name, draw in SOURCES.items():
        losses = draw(given.events, np.random.default_rng(1))
        found = (false_falls(settings, losses, every) for every in (None, 1_000))
        false[name] = [round(falls * 100_000 / given.events, 2) for falls in found]
    seen: dict[str, tuple[float, float | None]] = {}
    for error in RISES:
        delays = [found for seed in range(RUNS) if (found := delay(settings, error, seed)) is not None]
        seen[f"10 % to {error:.0%}"] = (len(delays) / RUNS, float(np.median(delays)) if delays else None)
    print(json.dumps({"alpha": given.alpha, "false_per_100000": false, "seen_and_median_delay": seen}))


if __name__ == "__main__":
    main()
