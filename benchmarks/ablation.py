"""What each part of the defaults is worth: `ablation.py STREAMS`, one setting or member at a time.

Every CSV file of the folder is replayed with the defaults and rounds of 100 events, every round published
(`gate.enabled=false`), and then with each change; at most the first EVENTS rows of each (`--rows`). Prints, in points
of accuracy, a table a group of changes: what leaving a member out of the portfolio, another regularisation, and another
replay memory bring; all of them as one JSON object on the last line. Wall-clock time plays no part, so that several
may run side by side.
"""

import argparse
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

from replays import UNGATED, Replays, champion

from service.settings.portfolio import PORTFOLIO

EVENTS = 20_000
REGULARISATION = (
    "train.weight_decay=0",
    "train.weight_decay=0.01",
    "train.label_smoothing=0",
    "train.anchor=0",
    "train.anchor=0.01",
    "train.model.dropout=0.1",
    "train.distillation=0.5",
    "train.averaging=0.9",
    "train.steps=20",
    "train.batch_size=64",
    "train.model.hidden=[64]",
    "train.model.hidden=[64, 64]",
    "train.jump_steps=1",
    "train.jump_deviations=null",
    "train.mixture_rate=0",
    "train.portfolio=[]",
)
MEMORY = (
    "window.replay_selection=recent_biased",
    "window.replay_selection=class_balanced",
    "window.replay_selection=hard",
    "window.holdout_share=0.05",
)


def without() -> dict[str, str]:
    """Return, by what is left out, the setting of a portfolio without it: each member, and all of a kind."""
    left: dict[str, list[Any]] = {}
    for index, member in enumerate(PORTFOLIO):
        left[f"without {member.name}"] = [*PORTFOLIO[:index], *PORTFOLIO[index + 1 :]]
    left["without bins"] = [member for member in PORTFOLIO if member.kind == "ridge" or not member.bins]
    left["without networks that see no bins"] = [member for member in PORTFOLIO if member.bins]
    left["without ridge"] = [member for member in PORTFOLIO if member.kind != "ridge"]
    return {
        name: f"train.portfolio={json.dumps([member.model_dump(exclude_defaults=True) for member in members])}"
        for name, members in left.items()
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("streams", type=Path, metavar="STREAMS")
    parser.add_argument("--only", type=lambda text: text.split(","), metavar="STREAM,...", help="only these streams")
    parser.add_argument("--groups", type=lambda text: text.split(","), metavar="NAME,...", help="only these tables")
    parser.add_argument("--rows", type=int, default=EVENTS, metavar="EVENTS")
    parser.add_argument("--label", default="label", metavar="COLUMN")
    arguments = parser.parse_args()
    paths = [
        path for path in sorted(arguments.streams.glob("*.csv")) if not arguments.only or path.stem in arguments.only
    ]
    groups = {
        "members": without(),
        "regularisation": {one: one for one in REGULARISATION},
        "memory": {one: one for one in MEMORY},
    }
    if not paths or not set(arguments.groups or ()) <= groups.keys():
        parser.error(f"{arguments.streams} needs *.csv files, and groups are of {', '.join(groups)}")
    replays = Replays(arguments.label)
    with tempfile.TemporaryDirectory() as folder:
        cut = [_cut(path, Path(folder), arguments.rows) for path in paths]
        names = [path.stem for path in cut]
        base = {path.stem: champion(replays.run(path, UNGATED)) for path in cut}
        told: dict[str, Any] = {"defaults": base}
        print(f"the defaults: {', '.join(f'{name} {value:.2f}' for name, value in base.items())}", flush=True)
        for group, changes in groups.items():
            if arguments.groups and group not in arguments.groups:
                continue
            print(f"\n| {group} | {' | '.join(names)} | mean |\n|{'---|' * (len(names) + 2)}", flush=True)
            told[group] = {}
            for name, setting in changes.items():
                apart = [champion(replays.run(path, UNGATED, setting)) - base[path.stem] for path in cut]
                told[group][name] = dict(zip(names, (round(one, 2) for one in apart), strict=True))
                cells = " | ".join(f"{one:+.2f}" for one in [*apart, sum(apart) / len(apart)])
                print(f"| `{name}` | {cells} |", flush=True)
    print(json.dumps(told))


def _cut(path: Path, folder: Path, rows: int) -> Path:
    """Return the first rows of a recording, in a folder."""
    short = folder / path.name
    with path.open() as whole, short.open("w") as out:
        out.writelines(itertools.islice(whole, rows + 1))
    return short


if __name__ == "__main__":
    main()
