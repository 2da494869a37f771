"""Labelled events that the acceptance tests send."""

import random
from typing import Any


def rule(a: float, b: float, *, flipped: bool = False) -> str:
    """Return the label of an event: whether the numbers' sum is positive, or not."""
    return "yes" if (a + b > 0) != flipped else "no"


def events(count: int, *, seed: int = 0, flipped: bool = False) -> list[dict[str, Any]]:
    """Return flat rows with two numbers and a label, each with an id of its own."""
    numbers = random.Random(seed)  # noqa: S311 - a stream to learn from, no secret
    rows = []
    for index in range(count):
        a, b = numbers.gauss(0, 1), numbers.gauss(0, 1)
        rows.append({"id": f"{seed}-{index}", "a": a, "b": b, "label": rule(a, b, flipped=flipped)})
    return rows
