"""Writes two files of a shop's orders: `python examples/orders.py [DIRECTORY]`. The same bytes each time.

``history.csv`` holds 5,000 orders and ``stream.csv`` the 15,000 that follow. What makes an order go bad changes twice
in the second, after 5,000 and 10,000 of them; one label in twenty is wrong.
"""

import argparse
import csv
import math
import random
from collections.abc import Iterator
from pathlib import Path

HEADER = ("id", "amount", "country", "returning", "items", "outcome")
COUNTRIES = ("NZ", "AU", "SG", "JP", "CL")
ORDERS_A_RULE = 5_000
RULES = 4
WRONG_LABELS = 0.05
MISSING_ITEMS = 0.1


def is_bad(rule: int, amount: float, country: str, items: int, *, returning: bool) -> bool:
    """Say whether an order goes bad by one of three rules; the first holds for history and the stream's first third."""
    if rule <= 1:  # strangers who spend much
        return not returning and amount > 100  # noqa: PLR2004 - a rule's own number
    if rule == 2:  # noqa: PLR2004 - one country's cards were stolen
        return country in {"SG", "CL"}
    return returning and amount / items > 25  # noqa: PLR2004 - accounts were taken over


def orders(seed: int = 7) -> Iterator[tuple[object, ...]]:
    """Yield the rows of both files, in order of arrival."""
    source = random.Random(seed)  # noqa: S311 - nothing secret is drawn
    for number in range(RULES * ORDERS_A_RULE):
        amount = round(math.exp(source.gauss(4.4, 0.7)), 2)
        country, returning, items = source.choice(COUNTRIES), source.random() < 0.6, source.randint(1, 6)  # noqa: PLR2004
        bad = is_bad(number // ORDERS_A_RULE, amount, country, items, returning=returning)
        if source.random() < WRONG_LABELS:
            bad = not bad
        told = "" if source.random() < MISSING_ITEMS else items
        yield f"order-{number}", amount, country, str(returning).lower(), told, "bad" if bad else "good"


def write(directory: Path) -> None:
    """Write both files into a folder, which is made if it is absent."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = list(orders())
    for name, some in (("history.csv", rows[:ORDERS_A_RULE]), ("stream.csv", rows[ORDERS_A_RULE:])):
        with (directory / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            writer.writerows(some)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, nargs="?", default=Path(), help="where to; else the current folder")
    write(parser.parse_args().directory)
