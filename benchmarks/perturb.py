"""Spoil the labels of a recording: `perturb.py bursts|flip FILE OUT` writes OUT and, for --score-only, OUT.score.

``bursts``: five times 2 % of the stream, spread over it, with the labels shuffled among themselves; the events outside
count. ``flip``: from half of the stream on each label becomes the next one (of two: the other), for good; the events
1,001 to 2,000 after that count. Nothing else of the file changes, and the same file gives the same result.
"""

import argparse
import csv
import random
from collections.abc import Callable
from pathlib import Path

BURSTS = 5
BURST_SHARE = 0.02
SETTLING = 1_000
SCORED = 1_000

Spoilt = tuple[list[str], list[bool]]


def bursts(labels: list[str]) -> Spoilt:
    """Return the labels with five bursts of shuffled ones, and which events lie outside of them."""
    source, spoilt, counts = random.Random(0), list(labels), [True] * len(labels)
    length = round(BURST_SHARE * len(labels))
    for burst in range(1, BURSTS + 1):
        start = burst * len(labels) // (BURSTS + 1)
        touched = slice(start, start + length)
        spoilt[touched] = source.sample(labels[touched], length)
        counts[touched] = [False] * length
    return spoilt, counts


def flip(labels: list[str]) -> Spoilt:
    """Return the labels, from half on each replaced by the next, and which events count afterwards."""
    classes, half = sorted(set(labels)), len(labels) // 2
    other = {label: classes[(place + 1) % len(classes)] for place, label in enumerate(classes)}
    spoilt = labels[:half] + [other[label] for label in labels[half:]]
    first = half + SETTLING
    return spoilt, [first <= event < first + SCORED for event in range(len(labels))]


KINDS: dict[str, Callable[[list[str]], Spoilt]] = {"bursts": bursts, "flip": flip}


def mask_of(out: Path) -> Path:
    """Return where the mask of a spoilt recording lies: one line an event, 1 counts and 0 does not."""
    return out.with_name(f"{out.name}.score")


def perturb(kind: str, path: Path, out: Path, label: str) -> None:
    """Write the spoilt recording and its mask."""
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        names, rows = list(reader.fieldnames or ()), list(reader)
    labels, counts = KINDS[kind]([row[label] for row in rows])
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {label: spoilt} for row, spoilt in zip(rows, labels, strict=True))
    mask_of(out).write_text("".join(f"{int(one)}\n" for one in counts))


def leave_out(spoilt: Path, out: Path) -> None:
    """Write a spoilt recording without the events that do not count: what is learnt from if a burst never comes."""
    header, *rows = spoilt.read_text().splitlines(keepends=True)
    counts = mask_of(spoilt).read_text().split()
    out.write_text(header + "".join(row for row, one in zip(rows, counts, strict=True) if one == "1"))


def main() -> None:
    """Read the command line and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--label", default="label")
    arguments = parser.parse_args()
    perturb(arguments.kind, arguments.file, arguments.out, arguments.label)


if __name__ == "__main__":
    main()
