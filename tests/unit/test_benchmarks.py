"""Benchmarks still measure what they say; their figures are no test's business."""

import importlib.util
import random
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from service.observer import Observer
from service.records import Examples, Partition, RecordBatch, Scores

FOLDER = Path(__file__).resolve().parent.parent.parent / "benchmarks"


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
    names = [path.stem for path in FOLDER.glob("*.py")]
    assert "ingest" in names
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
