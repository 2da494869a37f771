"""How well Freshet learns recordings with its defaults and rounds of 100 events: `learning.py STREAMS`.

STREAMS is a folder of CSV files, for instance one that streams.py wrote. The figures, all by default:

accuracy beside the peers of peers/, on the same files and blocks
speed    events per second beside theirs, on the same core
price    accuracy of a run without a gate, minus the champion's
bursts   fall of the champion's accuracy on the untouched events by five bursts of shuffled labels, gated and not, and
         if the bursts' events had been left out: what nobody can avoid
flip     accuracy over the events 1,001 to 2,000 after a lasting flip of the labels, gated and not
alarms   drift alarms per 100,000 events on STREAMS/stationary
delays   how many events after each drift of STREAMS/drifts.json its first alarm came
repeat   whether the same run twice gives the same summary

With `--task regression` the labels are numbers, and the figures are mae, rmse (the mean absolute and the root of the
mean squared error beside the peers', and the price of the gate in percent of it), speed and repeat.

Prints a table a figure, and all of them as one JSON object on the last line. All runs share one core, one after the
other; a rate is a ratio to a peer's in the same run.
"""

import argparse
import functools
import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import regression
from peers.run import ENVIRONMENT_OF, OF_TASK, at_hand, measure, to_one_core
from perturb import SCORED, leave_out, mask_of, perturb
from replays import UNGATED, Replays, champion, spared

FIGURES = {
    "classification": ("accuracy", "speed", "price", "bursts", "flip", "alarms", "delays", "repeat"),
    "regression": ("mae", "rmse", "bursts", "speed", "repeat"),
}
FORMS = {"classification": (".2f", ".3f"), "regression": (".5g", ".6g")}  # in tables, in JSON
ALARMS = ("concept", "data", "prediction")

Rows = list[dict[str, Any]]

learnt_by = functools.cache(measure)


def accuracy(replays: Replays, paths: list[Path], peers: list[str]) -> Rows:
    """Return the accuracy in percent of the champion and of each peer, and by how many points the best is beaten."""
    rows: Rows = []
    for path in paths:
        others = {peer: 100 * learnt_by(peer, path, replays.label)["accuracy"] for peer in peers}
        told = replays.run(path)
        row = {"stream": path.stem, "champion": champion(told)} | others
        row["beyond the best"] = row["champion"] - max(others.values(), default=0.0)
        # The peers learn every event: what was refused makes the comparison void.
        rows.append(row | ({"dead-lettered": told["dead_lettered"]} if told["dead_lettered"] else {}))
    return rows


def speed(replays: Replays, paths: list[Path], peers: list[str], task: str) -> Rows:
    """Return events per second of the replay, and how many times each peer's that is; guesses have none."""
    rows: Rows = []
    of_task = regression.learnt_by if task == "regression" else learnt_by
    for path in paths:
        told = replays.run(path)
        rates = {
            peer: of_task(peer, path, replays.label).get("events_per_second")
            for peer in peers
            if ENVIRONMENT_OF[peer] != "guesses"
        }
        ratios = {f"{peer} x": told["events_per_second"] / rate for peer, rate in rates.items() if rate}
        rows.append({"stream": path.stem, "events": told["events"], "events/s": told["events_per_second"]} | ratios)
    return rows


def price(replays: Replays, paths: list[Path]) -> Rows:
    """Return what the gate costs on the streams as they are, in points."""
    rows: Rows = []
    for path in paths:
        gated, ungated = replays.run(path), replays.run(path, UNGATED)
        row = {"stream": path.stem, "gated": champion(gated), "ungated": champion(ungated)}
        rows.append(row | {"price": row["ungated"] - row["gated"]} | gated["rounds"])
    return rows


def bursts(replays: Replays, paths: list[Path]) -> Rows:
    """Return by how many points the bursts lower the accuracy on the untouched events."""
    rows: Rows = []
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            spoilt = Path(folder) / path.name
            perturb("bursts", path, spoilt, replays.label)
            row: dict[str, Any] = {"stream": path.stem}
            for name, settings in (("gated", ()), ("ungated", (UNGATED,))):
                clean, poisoned = (
                    champion(replays.run(file, *settings, mask=mask_of(spoilt))) for file in (path, spoilt)
                )
                row |= {f"{name} clean": clean, f"{name} poisoned": poisoned, f"{name} fall": clean - poisoned}
            left = Path(folder) / f"{path.stem}-left-out.csv"
            leave_out(spoilt, left)
            row["fall if left out"] = row["gated clean"] - champion(replays.run(left))
        rows.append(row)
    return rows


def flip(replays: Replays, paths: list[Path]) -> Rows:
    """Return the accuracy soon after a lasting flip, with and without a gate."""
    rows: Rows = []
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            spoilt = Path(folder) / path.name
            perturb("flip", path, spoilt, replays.label)
            if mask_of(spoilt).read_text().count("1") < SCORED:
                continue  # too short for so many events after the flip
            gated, ungated = (
                champion(replays.run(spoilt, *settings, mask=mask_of(spoilt))) for settings in ((), (UNGATED,))
            )
        rows.append({"stream": path.stem, "gated": gated, "ungated": ungated, "behind": ungated - gated})
    return rows


def drift_alarms(replays: Replays, path: Path) -> tuple[int, list[tuple[int, str]]]:
    """Return the number of events, and the event and kind of each drift alarm."""
    events, decisions = replays.decisions(path)
    return events, [(one["event"], one["what"]) for one in decisions if one["kind"] == "drift"]


def alarms(replays: Replays, folder: Path) -> Rows:
    """Return how many alarms of each kind there are per 100,000 events that never drift."""
    rows: Rows = []
    for path in sorted((folder / "stationary").glob("*.csv")):
        events, told = drift_alarms(replays, path.resolve())
        count = Counter(kind for _, kind in told)
        rows.append({"stream": path.stem, "events": events} | {kind: count[kind] * 100_000 / events for kind in ALARMS})
    return rows


def delays(replays: Replays, paths: list[Path], folder: Path) -> Rows:
    """Return after how many events each drift had its first alarm, before the next drift, and of which kind."""
    scheduled = folder / "drifts.json"
    drifts: dict[str, list[int]] = json.loads(scheduled.read_text()) if scheduled.exists() else {}
    rows: Rows = []
    for path in (path for path in paths if path.stem in drifts):
        events, told = drift_alarms(replays, path)
        starts = drifts[path.stem]
        row: dict[str, Any] = {"stream": path.stem, "before the first drift": sum(at <= starts[0] for at, _ in told)}
        for place, (start, end) in enumerate(itertools.pairwise([*starts, events]), start=1):
            after = [f"{at - start} {kind}" for at, kind in told if start < at <= end]
            row[f"drift {place}"] = after[0] if after else "none"
        rows.append(row)
    return rows


def repeat(replays: Replays, paths: list[Path]) -> Rows:
    """Return whether a second run tells the same, wall-clock fields apart."""
    return [
        {"stream": path.stem, "same": spared(replays.run(path)) == spared(replays.run(path, again=True))}
        for path in paths
    ]


def table(rows: Rows, form: str) -> str:
    """Return rows as a Markdown table, floats in a ``form``."""

    def cell(value: object) -> str:
        return format(value, form) if isinstance(value, float) else str(value)

    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names), *([cell(row.get(name, "")) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the figures asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("streams", type=Path, metavar="STREAMS")
    parser.add_argument("--task", choices=FIGURES, default="classification")
    parser.add_argument("--figures", type=lambda text: text.split(","), metavar="NAME,...", help="all by default")
    parser.add_argument("--only", type=lambda text: text.split(","), metavar="STREAM,...", help="only these streams")
    parser.add_argument("--peers", type=lambda text: text.split(","), metavar="PEER,...", help="all by default")
    parser.add_argument("--label", default="label", metavar="COLUMN")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting for every replay")
    arguments = parser.parse_args()
    task, names = arguments.task, arguments.figures or FIGURES[arguments.task]
    paths = [
        path.resolve()
        for path in sorted(arguments.streams.glob("*.csv"))
        if not arguments.only or path.stem in arguments.only
    ]
    if not paths or not set(names) <= set(FIGURES[task]):
        parser.error(f"{arguments.streams} needs *.csv files, and figures are of {', '.join(FIGURES[task])}")
    to_one_core()
    wanted = arguments.peers or list(OF_TASK[task])
    peers = at_hand(wanted) if {"accuracy", "mae", "rmse", "speed"} & set(names) else []
    replays = Replays(arguments.label, (*((regression.TASK,) if task == "regression" else ()), *arguments.set))
    figures: dict[str, Callable[[], Rows]] = {
        "accuracy": lambda: accuracy(replays, paths, peers),
        "mae": lambda: regression.errors(replays, paths, peers, "mae"),
        "rmse": lambda: regression.errors(replays, paths, peers, "rmse"),
        "speed": lambda: speed(replays, paths, peers, task),
        "price": lambda: price(replays, paths),
        "bursts": lambda: (regression.bursts if task == "regression" else bursts)(replays, paths),
        "flip": lambda: flip(replays, paths),
        "alarms": lambda: alarms(replays, arguments.streams),
        "delays": lambda: delays(replays, paths, arguments.streams),
        "repeat": lambda: repeat(replays, paths),
    }
    told = {}
    for name in (name for name in figures if name in names):
        rows = figures[name]()
        print(f"\n{name}\n\n{table(rows, FORMS[task][0])}\n", flush=True)
        told[name] = [
            {
                key: float(format(value, FORMS[task][1])) if isinstance(value, float) else value
                for key, value in row.items()
            }
            for row in rows
        ]
    print(json.dumps(told))


if __name__ == "__main__":
    main()
