"""Benchmarks still measure what they say; their figures are no test's business."""

import importlib.util
import itertools
import math
import random
import socketserver
import threading
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from service.observer import Observer
from service.records import Examples, Partition, RecordBatch, Scores

FOLDER = Path(__file__).resolve().parent.parent.parent / "benchmarks"
SERVING = FOLDER / "serving"


def loaded(name: str) -> ModuleType:
    """Return a benchmark's module."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Seen(Observer):
    """Remembers which roles have scored how many events."""

    def __init__(self) -> None:
        self.events: dict[str, int] = {}

    def scored(self, examples: Examples, scores: dict[str, Scores]) -> None:
        """Count."""
        for role in scores:
            self.events[role] = self.events.get(role, 0) + len(examples)


def test_what_benchmarks_import_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each can be loaded, as it is from its own folder, without being run."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.syspath_prepend(str(FOLDER / "serving"))
    names = [path.stem for path in FOLDER.glob("*.py")] + [f"serving/{path.stem}" for path in SERVING.glob("*.py")]
    assert {"ingest", "serving/rates"} <= set(names)
    for name in names:
        loaded(name)


@pytest.mark.parametrize("name", ["four_single_models", "full_portfolio"])
def test_the_ingest_benchmark_scores_by_four_models_of_their_own(name: str) -> None:
    """Champion, challenger, previous and frozen share no network, and every event gets its fate."""
    ingest = loaded("ingest")
    settings = ingest.settings_of(ingest.CHALLENGERS[name] | {"first_steps": 2}, kind="embedded", topic="events")
    pipeline, numbers = ingest.Pipeline(settings), random.Random(0)  # noqa: S311 - a workload

    def batch(first: int, events: int) -> RecordBatch:
        offsets = np.arange(first, first + events, dtype=np.int64)
        values = [ingest.event(index, numbers) for index in range(events)]
        return RecordBatch(Partition("events", 0), offsets, offsets, values, [None] * events, [()] * events)

    pipeline.prepare(iter([batch(0, 1_000)]))
    learner = pipeline.learner
    learner.observer = seen = Seen()
    pipeline.take(batch(1_000, 50))

    roles = learner.roles
    models = [one.model for one in (roles.champion, roles.previous, roles.frozen) if one] + [learner.portfolio.model]
    assert len({id(model.network) for model in models if model}) == 4
    assert {model.network.count for model in models if model} == {len(learner.portfolio.lineages)}
    assert seen.events == dict.fromkeys(("champion", "challenger", "previous", "frozen", "baseline"), 50)
    _, settled = learner.settle()
    assert int(settled.sizes.sum()) + learner.fates.waiting > 0
    assert learner.counts["accepted"] == 1_050


class Sometimes(socketserver.StreamRequestHandler):
    """Answers on one connection again and again: every tenth request 503, every tenth with a body that is too long."""

    answers = itertools.count()
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Answer until the client leaves."""
        while self.rfile.readline():
            while self.rfile.readline().strip():
                pass
            place = next(self.answers) % 10
            status = b"503 Busy" if place == 3 else b"200 OK"
            body = b"far too long" if place == 6 else b"right" if place else b"wrong"
            self.wfile.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body)))
            self.wfile.flush()
            self.wfile.write(body)  # in two parts, as it may come


def test_the_load_generator_counts_answers_and_each_kind_of_failure() -> None:
    """Of 100 answers those that are no 200, too long or wrong in content are told apart, and lost ones replaced."""
    load = loaded("serving/load")

    def check(place: int, body: bytes) -> str | None:
        assert place in {0, 1}
        return None if body == b"right" else "wrong content"

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Sometimes) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        requests = load.Requests([b"GET /%d HTTP/1.1\r\n\r\n" % place for place in range(2)], 5, 5)
        generator = load.Load(server.server_address[1], requests, 1, check, 1)
        outcome = generator.run(answers=90)
        spread = generator.run(answers=20, rate=200.0)
        generator.close()
        server.shutdown()
    assert len(outcome.latencies) == 90
    assert outcome.failures == {"HTTP/1.1 503": 10, "length": 10, "wrong content": 10}
    assert len(spread.latencies) == 20
    assert spread.seconds >= 19 / 200


def test_a_quantile_is_read_off_what_a_histogram_has_counted_in_between() -> None:
    """Evenly spread within a bucket; the last bound for what lies above all; NaN if nothing came."""
    quantile = loaded("serving/histogram").quantile
    before = {"0.001": 5.0, "0.002": 5.0, "+Inf": 5.0}
    after = {"0.001": 5.0, "0.002": 105.0, "+Inf": 106.0}
    assert quantile(before, after, 0.5) == pytest.approx(0.001505)
    assert quantile(before, after, 1.0) == pytest.approx(0.002)
    assert math.isnan(quantile(after, after, 0.5))


def test_freshness_is_told_of_the_first_checkpoint_that_learnt_an_event_or_a_later_one() -> None:
    """Going back to an older one makes nothing older; what no checkpoint has learnt is infinitely old."""
    figures = loaded("freshness_figures")
    made = figures.Served(np.zeros(4), np.zeros(4), np.arange(4.0), np.array([0, 10, 5, 20]))
    assert made.first_of(np.array([0, 9, 10, 19, 20])).tolist() == [1, 1, 3, 3, 4]
    assert figures.quantiles(np.array([0.1, 0.2, np.inf])) == {"p50": 0.2, "p95": None, "p99": None, "max": None}
    assert figures.longest([True, False, True, True]) == 2


def test_errors_of_a_peer_begin_with_the_mean_and_a_prediction_that_is_no_number_is_told() -> None:
    """In the first block the mean of the labels before counts, whatever was predicted, as it does for Freshet."""
    blocks = loaded("peers/blocks")
    rest = [2.0] * 100
    assert blocks.errors([None, None, *rest[2:], 5.0, 3.0], [*rest, 2.0, 2.0]) == {
        "events": 102,
        "mae": pytest.approx((2.0 + 3.0 + 1.0) / 102),
        "rmse": pytest.approx(math.sqrt((4.0 + 9.0 + 1.0) / 102)),
    }
    told = blocks.errors([*rest, math.inf, None], [*rest, 2.0, 2.0])
    assert told == {"events": 102, "failed": "2 predictions are no finite numbers"}


def test_peers_predict_a_block_before_they_learn_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest label is known only from the block before."""
    monkeypatch.syspath_prepend(str(FOLDER / "peers"))
    blocks, guesses = loaded("peers/blocks"), loaded("peers/with_guesses")
    guess = guesses.Last()
    predicted, rates = blocks.in_blocks(guess.predict, guess.learn, [(None, float(label)) for label in range(250)])
    assert predicted == [0.0] * 100 + [99.0] * 100 + [199.0] * 50
    assert rates["events_per_second"] > 0
