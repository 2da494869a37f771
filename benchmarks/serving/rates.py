"""How many predictions a second: Freshet beside others that serve the very same network: `rates.py`.

One core for the server, another for the load generator (`load.py`): 32 kept connections in a closed loop, one instance
or 100 in a request. Every server is started anew for each of ``--repeats`` runs, in turn; medians are told, and ratios
to the server named in ``--reference``, run by run. First with the default portfolio, then with a single network.
A share of the answers is compared with what the network says; a failed or wrong one ends the run.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from ceiling import ceiling
from load import Load, Requests
from made import TOLERANCE, Made, difference, make, requests_of, right_scores, some_instances
from servers import NAMES, running, used_seconds

from service.model.learned import LearnedModel
from tests.broker import free_ports

NETWORKS = {"portfolio": (), "one": ("train.portfolio=[]",)}
SIZES = (1, 100)
DIFFERENT = 256
WARM_SECONDS = 1.0
RATES = ("rate", "a processor second")
"""On a core of its own a server's two rates are the same; where others work as well the second is the steadier one."""

Row = dict[str, float]


class Asking:
    """Requests of one size, and a look at their answers."""

    def __init__(self, made: Made, each: int) -> None:
        checkpoint = made.checkpoint()
        model = LearnedModel.from_parts(checkpoint.tensors, checkpoint.encoder)
        instances = some_instances(DIFFERENT if each == 1 else 64 * each)
        self.each = each
        self.right = right_scores(model, instances).reshape(-1, each, len(model.labels))
        least, most = 60 * each, 110 * each + 120
        self.requests = Requests(requests_of(instances, each), least, most)

    def check(self, place: int, body: bytes) -> str | None:
        """Return what is wrong with an answer of a server that asks the network."""
        answer = msgspec.json.decode(body)
        predictions = answer if isinstance(answer, list) else answer["predictions"]
        return None if difference(predictions, self.right[place]) <= TOLERANCE else "wrong scores"

    def count(self, place: int, body: bytes) -> str | None:
        """Return what is wrong with an answer of one that does not."""
        del place
        return None if len(msgspec.json.decode(body)["predictions"]) == self.each else "wrong number"


def measure(name: str, made: Made, asking: Iterable[Asking], options: argparse.Namespace) -> dict[int, Row]:
    """Start a server, measure it with each kind of request, and stop it."""
    [port] = free_ports(1)
    rows = {}
    with running(name, made, port) as server:
        for asked in asking:
            check = asked.count if name.startswith("no-op") else asked.check
            load = Load(port, asked.requests, options.connections, check)
            load.run(seconds=WARM_SECONDS)
            before = used_seconds(server.pid)
            outcome = load.run(seconds=options.seconds)
            used = used_seconds(server.pid) - before
            load.close()
            if outcome.failures:
                sys.exit(f"{name}: {dict(outcome.failures)}; see {made.folder}")
            rows[asked.each] = {
                "rate": outcome.rate * asked.each,
                "a processor second": len(outcome.latencies) * asked.each / used,
                "p50 ms": outcome.quantile_ms(0.5),
                "p99 ms": outcome.quantile_ms(0.99),
                "generator busy": outcome.busy,
            }
    return rows


def table(each: int, runs: dict[str, list[Row]], reference: str) -> list[dict[str, Any]]:
    """Print medians and ratios of requests of one size; return them."""
    unit = "requests" if each == 1 else "instances"
    columns = [f"{unit}/s", "ratio", f"{unit} a processor second", "ratio", "p50 ms", "p99 ms", "generator busy"]
    print(f"| {each} a request | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    rows = []
    for name, own in runs.items():
        told: dict[str, Any] = {key: statistics.median(run[key] for run in own) for key in own[0]}
        for key in RATES:
            shares = [mine[key] / theirs[key] for mine, theirs in zip(own, runs[reference], strict=True)]
            told[f"{key}, x {reference}"] = statistics.median(shares)
        rows.append({"server": name, "instances": each} | told)
        rates = " | ".join(f"{told[key]:,.0f} | {told[f'{key}, x {reference}']:.2f}" for key in RATES)
        print(f"| {name} | {rates} | {told['p50 ms']:.2f} | {told['p99 ms']:.2f} | {told['generator busy']:.0%} |")
    print(f"ratios: to {reference}, run by run\n", flush=True)
    return rows


def compare(made: Made, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure all servers with one network, in turn; print a table for each size of request."""
    asking = [Asking(made, each) for each in options.instances]
    runs: dict[int, dict[str, list[Row]]] = {each: {name: [] for name in options.servers} for each in options.instances}
    for repeat in range(options.repeats):
        for name in options.servers:
            for each, row in measure(name, made, asking, options).items():
                runs[each][name].append(row)
                print(f"run {repeat + 1}, {name}, {each}: {row['rate']:,.0f}/s", file=sys.stderr, flush=True)
    return [row for each in options.instances for row in table(each, runs[each], options.reference)]


def main() -> None:
    """Print a table for each network and size, and all of it as one JSON object on the last line."""

    def words(text: str) -> list[str]:
        return text.split(",")

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement, after a second of warming up")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--servers", type=words, default=list(NAMES), help=",".join(NAMES))
    parser.add_argument("--reference", default="no-op", choices=NAMES)
    parser.add_argument("--networks", type=words, default=list(NETWORKS), help=",".join(NETWORKS))
    parser.add_argument("--instances", type=lambda text: [int(one) for one in words(text)], default=list(SIZES))
    parser.add_argument("--keep", type=Path, help="leave stores and logs in this folder")
    options = parser.parse_args()
    versions = {name: version(name) for name in ("uvicorn", "httptools", "fastapi", "pydantic", "torch")}
    most, busy = ceiling(min(options.seconds, 2.0), 1)
    print(f"{versions}\ngenerator alone: at least {most:,.0f} requests/s, its core {busy:.0%} busy", flush=True)
    told: dict[str, Any] = {"versions": versions, "generator": most}
    with tempfile.TemporaryDirectory() as scratch:
        for network in options.networks:
            print(f"\nnetwork: {network}\n", flush=True)
            told[network] = compare(make((options.keep or Path(scratch)) / network, NETWORKS[network]), options)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
