"""Write streams as CSV files with river's generators: `streams.py DIR`. The same bytes each time.

DIR gets drifting streams and three small real ones that river ships; DIR/stationary three streams of 100,000 events
that never drift; DIR/regression streams whose label is a number (regression_streams.py); DIR/drifts.json the events at
which each stream drifts abruptly, or begins to.
"""

import argparse
import csv
import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import regression_streams
from river.datasets import Bananas, ImageSegments, Phishing, synth

STATIONARY_EVENTS = 100_000

Event = tuple[dict[Any, Any], Any]
Stream = tuple[Iterable[Event], tuple[Any, ...]]


def switching(make: Callable[[int, int], Iterable[Event]], concepts: Iterable[int], length: int) -> Iterator[Event]:
    """Give ``length`` events of each concept, made from its position and its number."""
    for place, concept in enumerate(concepts):
        yield from itertools.islice(make(place, concept), length)


def agrawal() -> Stream:
    """Loan decisions by five rules in turn; three of nine features are categories."""
    drawn = switching(
        lambda place, rule: synth.Agrawal(classification_function=rule, seed=10 + place, perturbation=0.05),
        (0, 3, 6, 2, 8),
        5_000,
    )
    return drawn, ("elevel", "car", "zipcode")


def led(events: int, *, categories: bool) -> Stream:
    """Ten digits on a display of seven segments and 17 features of noise; features change places."""
    drawn = switching(
        lambda place, moved: synth.LEDDrift(
            seed=20 + place, noise_percentage=0.1, irrelevant_features=True, n_drift_features=moved
        ),
        (0, 3, 5, 7),
        6_000,
    )
    return itertools.islice(drawn, events), tuple(range(24)) if categories else ()


def rbfdrift() -> Stream:
    """Four classes around 30 centroids that move all the time."""
    made = synth.RandomRBFDrift(
        3, 4, n_classes=4, n_features=10, n_centroids=30, change_speed=0.0005, n_drift_centroids=30
    )
    return itertools.islice(made, 25_000), ()


def hyperplane() -> Stream:
    """Two sides of a plane that turns all the time."""
    made = synth.Hyperplane(5, n_features=10, n_drift_features=5, mag_change=0.002, noise_percentage=0.05, sigma=0.1)
    return itertools.islice(made, 30_000), ()


def sine() -> Stream:
    """Above or below a curve, with two features of noise; the curve and the sides change."""
    drawn = switching(
        lambda place, rule: synth.Sine(rule, seed=30 + place, balance_classes=False, has_noise=True),
        (0, 1, 2, 3, 0, 2),
        4_000,
    )
    return drawn, ()


def mixed() -> Stream:
    """Two flags and two numbers; the label turns round four times."""
    return switching(lambda place, rule: synth.Mixed(rule, seed=40 + place), (0, 1, 0, 1, 0), 4_000), (0, 1)


def stagger(source: random.Random) -> Stream:
    """Three categories, three rules in turn, 5 % of the labels wrong."""
    drawn = switching(lambda place, rule: synth.STAGGER(rule, seed=50 + place), (0, 1, 2, 0, 2, 1), 3_500)
    return ((row, 1 - int(y) if source.random() < 0.05 else int(y)) for row, y in drawn), ("size", "color", "shape")


def randomtree() -> Stream:
    """Draw three decision trees in turn, over five numbers and three categories."""
    drawn = switching(
        lambda place, _: synth.RandomTree(
            60 + place, 70 + place, n_classes=3, n_num_features=5, n_cat_features=3, n_categories_per_feature=4,
            max_tree_depth=6, first_leaf_level=3, fraction_leaves_per_level=0.15,
        ),
        range(3),
        8_000,
    )  # fmt: skip
    return drawn, ("x_cat_0", "x_cat_1", "x_cat_2")


def waveform() -> Stream:
    """Three kinds of waves in 40 features, half of them noise; at half the features change places."""
    moved = list(range(40))
    random.Random(8).shuffle(moved)

    def drawn() -> Iterator[Event]:
        for event, (row, y) in enumerate(itertools.islice(synth.Waveform(seed=80, has_noise=True), 20_000)):
            yield (row if event < 10_000 else {name: row[at] for name, at in enumerate(moved)}), y

    return drawn(), ()


def seagradual(source: random.Random) -> Stream:
    """SEA's four thresholds, each coming in over 2,000 events, with 20 % of the labels wrong."""
    made = [iter(synth.SEA(variant=rule, seed=90 + rule, noise=0.2)) for rule in (0, 3, 1, 2)]

    def drawn() -> Iterator[Event]:
        for event in range(24_000):
            concept, since = divmod(event, 6_000)
            arrived = min(1.0, since / 2_000) if concept else 1.0
            yield next(made[concept if source.random() < arrived else concept - 1])

    return drawn(), ()


def write(path: Path, stream: Stream) -> None:
    """Write the events; a category gets a letter in front, so that nobody takes it for a number."""
    events, categories = stream
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for event, (row, y) in enumerate(events):
            if not event:
                writer.writerow([*(name if isinstance(name, str) else f"x{name}" for name in row), "label"])
            cells = ((f"c{value}" if name in categories else value) for name, value in row.items())
            label = f"{y:.6g}" if path.parent.name == regression_streams.FOLDER else f"k{y}"
            writer.writerow([*(f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells), label])


def streams() -> dict[str, Stream]:
    """Return every stream by the path of its file without the ending."""
    source = random.Random(7)
    return {
        "rbfdrift": rbfdrift(),
        "agrawal": agrawal(),
        "leddrift": led(24_000, categories=False),
        "ledcat": led(20_000, categories=True),
        "hyperplane": hyperplane(),
        "sine": sine(),
        "mixed": mixed(),
        "stagger": stagger(source),
        "randomtree": randomtree(),
        "waveform": waveform(),
        "seagradual": seagradual(source),
        "imagesegments": (ImageSegments(), ()),
        "bananas": (Bananas(), ()),
        "phishing": (Phishing(), ()),
        "stationary/rbf": (itertools.islice(synth.RandomRBF(1, 2, n_classes=3), STATIONARY_EVENTS), ()),
        "stationary/sea": (itertools.islice(synth.SEA(variant=1, noise=0.1, seed=3), STATIONARY_EVENTS), ()),
        "stationary/agrawal": (
            itertools.islice(synth.Agrawal(classification_function=1, seed=4, perturbation=0.05), STATIONARY_EVENTS),
            ("elevel", "car", "zipcode"),
        ),
    }


DRIFTS = {
    "agrawal": range(5_000, 25_000, 5_000),
    "leddrift": range(6_000, 24_000, 6_000),
    "ledcat": range(6_000, 20_000, 6_000),
    "sine": range(4_000, 24_000, 4_000),
    "mixed": range(4_000, 20_000, 4_000),
    "stagger": range(3_500, 21_000, 3_500),
    "randomtree": range(8_000, 24_000, 8_000),
    "waveform": range(10_000, 20_000, 10_000),
    "seagradual": range(6_000, 24_000, 6_000),
}


def main() -> None:
    """Write all of them, and when they drift."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, metavar="DIR")
    directory = parser.parse_args().directory
    for name, stream in (streams() | regression_streams.streams()).items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        write(directory / f"{name}.csv", stream)
        print(directory / f"{name}.csv", flush=True)
    (directory / "drifts.json").write_text(json.dumps({name: list(at) for name, at in DRIFTS.items()}))


if __name__ == "__main__":
    main()
