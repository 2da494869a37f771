"""Let the peers learn recordings, each in an environment of its own: `run.py FILE...` prints one JSON line a result.

With `--task regression` labels are numbers and errors are told: `mae` and `rmse`, or why there are none as `failed`.
The environments are made under .venv-peers/ at first use, from requirements-*.txt and, where cargo is at hand, from
irithyll/. A peer whose Java or Rust is missing is left out, with a line that says so. All runs share one core, one
after the other.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parents[1] / ".venv-peers"
PEERS = {
    "river-lr": "river",
    "river-hat": "river",
    "river-arf": "river",
    "capymoa-arf": "capymoa",
    "capymoa-srp": "capymoa",
    "irithyll-30": "irithyll",
    "irithyll-100": "irithyll",
}
REGRESSORS = {
    "mean": "guesses",
    "last": "guesses",
    "river-lr": "river",
    "river-lr-adam": "river",
    "river-hat": "river",
    "river-arf": "river",
    "capymoa-fimtdd": "capymoa",
    "capymoa-arf": "capymoa",
    "capymoa-soknl": "capymoa",
    "irithyll-30": "irithyll",
    "irithyll-100": "irithyll",
}
OF_TASK = {"classification": PEERS, "regression": REGRESSORS}
ENVIRONMENT_OF = PEERS | REGRESSORS
NEEDS = {"capymoa": "java", "irithyll": "cargo"}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def to_one_core() -> None:
    """Bind this process, and so all that it starts, to one core."""
    if hasattr(os, "sched_setaffinity"):  # elsewhere the threads alone are bounded
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ.update(dict.fromkeys(THREADS, "1"))


def at_hand(peers: list[str]) -> list[str]:
    """Return the peers that can run here, and tell on standard error which can't."""
    missing = {name for name, program in NEEDS.items() if shutil.which(program) is None}
    for name in sorted({ENVIRONMENT_OF[peer] for peer in peers} & missing):
        print(f"{name} is left out: it needs {NEEDS[name]} on PATH", file=sys.stderr)
    return [peer for peer in peers if ENVIRONMENT_OF[peer] not in missing]


def python_of(environment: str) -> Path:
    """Return the interpreter of an environment, which is made if it is not there or its requirements changed."""
    if environment == "irithyll":
        command = ["cargo", "build", "--quiet", "--release", "--manifest-path", str(HERE / "irithyll" / "Cargo.toml")]
        subprocess.run([*command, "--target-dir", str(ENVIRONMENTS / "irithyll")], check=True)
        return Path(sys.executable)
    if environment == "guesses":
        return Path(sys.executable)
    place, requirements = ENVIRONMENTS / environment, HERE / f"requirements-{environment}.txt"
    python, made_from = place / "bin" / "python", place / requirements.name
    if not made_from.exists() or made_from.read_bytes() != requirements.read_bytes():
        print(f"making the environment of {environment}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)], check=True)
        shutil.copyfile(requirements, made_from)
    return python


def measure(
    peer: str, path: Path, label: str, limit: int | None = None, task: str = "classification"
) -> dict[str, Any]:
    """Return events, accuracy, seconds and events per second of one peer on the first ``limit`` events of a file.

    Of a regression ``mae`` and ``rmse`` in place of the accuracy; a peer that fails there is told, not raised.
    """
    environment = ENVIRONMENT_OF[peer]
    script = HERE / f"with_{environment}.py"
    command = [str(python_of(environment)), str(script), task, peer, str(path), label, *([str(limit)] if limit else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=task != "regression")
    if done.returncode:
        return {"failed": f"ended with {done.returncode}"}
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def main() -> None:
    """Run the peers named on each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--label", default="label")
    parser.add_argument("--task", choices=OF_TASK, default="classification")
    parser.add_argument("--peers", type=lambda text: text.split(","), help=", ".join(ENVIRONMENT_OF))
    parser.add_argument("--limit", type=int, help="only so many events of each file")
    arguments = parser.parse_args()
    to_one_core()
    for path in arguments.files:
        for peer in at_hand(arguments.peers or list(OF_TASK[arguments.task])):
            told = measure(peer, path, arguments.label, arguments.limit, arguments.task)
            print(json.dumps({"stream": path.stem, "peer": peer} | told), flush=True)


if __name__ == "__main__":
    main()
