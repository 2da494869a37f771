"""Whether every answer is that of the checkpoint it names, while checkpoints are swapped: `swaps.py`.

A server answers ``--requests`` single-instance requests in a closed loop, while another process publishes ``--swaps``
checkpoints of different weights, evenly over the requests. The scores of every answer are compared with those that
`LearnedModel.predict` gives for the checkpoint it names; a probability may differ by 1e-6, since who shares a forward
pass decides the last bits of a sum. Any other status, a cut connection or a wrong score is a failure. Resident memory
of the server is read after a fifth of the swaps, and after all of them.
"""

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

import msgspec
import psutil
from histogram import scrape, total
from load import Load, Outcome, Requests
from made import LABELS, TOLERANCE, Instances, make, requests_of, some_instances
from publishing import Publisher, perturbed, tabled
from servers import running

DIFFERENT = 64


class Answers:
    """Compares each answer with the table of its checkpoint; counts answers by checkpoint."""

    def __init__(self, table: dict[str, Instances]) -> None:
        self._table = {
            name: [dict(zip(LABELS, row, strict=True)) for row in rows.tolist()] for name, rows in table.items()
        }
        self._decode = msgspec.json.Decoder().decode
        self.by_checkpoint: Counter[str] = Counter()
        self.largest = 0.0

    def check(self, place: int, body: bytes) -> str | None:
        """Return what is wrong with an answer."""
        answer = self._decode(body)
        name = answer["checkpoint"]["id"]
        self.by_checkpoint[name] += 1
        if name not in self._table:
            return "unknown checkpoint"
        right, scores = self._table[name][place], answer["predictions"][0]["scores"]
        off = max(abs(right[label] - scores[label]) for label in LABELS)
        self.largest = max(self.largest, off)
        return None if off <= TOLERANCE else "wrong scores"


class Swapping:
    """Asks for the next checkpoint whenever its share of the requests is answered, and reads memory twice."""

    def __init__(self, publisher: Publisher, server: int, requests: int, swaps: int) -> None:
        self._publisher = publisher
        self._server = psutil.Process(server)
        self._each = requests / (swaps + 1)
        self._swaps = swaps
        self._next = self._each
        self.resident: dict[int, int] = {}

    def __call__(self, answered: int) -> None:
        """Note how many requests are answered."""
        while answered >= self._next and self._publisher.asked < self._swaps:
            if self._publisher.asked == self._swaps // 5:
                self.read_memory()
            self._publisher.publish()
            self._next += self._each

    def read_memory(self) -> None:
        """Note the server's resident memory, by the swaps asked for so far."""
        self.resident[self._publisher.asked] = self._server.memory_info().rss


def measure(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """Run once; return the figures."""
    made = make(folder)
    first, instances = made.checkpoint(), some_instances(DIFFERENT)
    checkpoints = [perturbed(first, number) for number in range(1, options.swaps + 1)]
    answers = Answers(tabled([first, *checkpoints], instances))
    requests = Requests(requests_of(instances, 1), 60, 250)
    with running("freshet", made, made.port) as server:
        publisher = Publisher(made.store.path, checkpoints)
        swapping = Swapping(publisher, server.pid, options.requests, options.swaps)
        load = Load(made.port, requests, options.connections, answers.check, 1)
        outcome: Outcome = load.run(answers=options.requests, each=swapping)
        load.close()
        publisher.close()
        swapping.read_memory()
        metrics = scrape(made.port)
    fifth, last = swapping.resident.values()
    return {
        "requests": len(outcome.latencies),
        "failed": outcome.failures.total(),
        "failures": dict(outcome.failures),
        "swaps": int(total(metrics, "freshet_swaps_total", outcome="swapped")) - 1,
        "checkpoints that answered": len(answers.by_checkpoint),
        "largest difference": answers.largest,
        "requests/s": round(outcome.rate),
        "p50 ms": round(outcome.quantile_ms(0.5), 3),
        "p99 ms": round(outcome.quantile_ms(0.99), 3),
        "seconds a swap": round(outcome.seconds / options.swaps, 3),
        "MiB after a fifth": round(fifth / 2**20, 1),
        "MiB at the end": round(last / 2**20, 1),
        "memory ratio": round(last / fifth, 4),
    }


def main() -> None:
    """Print a table of the figures, and them as one JSON object on the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--swaps", type=int, default=500)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--keep", type=Path, help="leave store and logs in this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        told = measure(options.keep or Path(scratch), options)
    print("| figure | seen |\n|---|---|")
    for name, value in told.items():
        print(f"| {name} | {value} |")
    print(json.dumps(told))


if __name__ == "__main__":
    main()
