"""Models that are asked about the same examples share what they have in common, and answer as if they were alone."""

import numpy as np
import pytest
import torch

from service.model import asked as module
from service.model.asked import CHUNK_ROWS, Asked
from service.model.encoder import Encoder
from service.model.ensemble import Ensemble, Shape, build_network
from service.model.learned import LearnedModel
from service.records import Examples
from service.settings import Network, Schema


def model(encoder: Encoder | None = None, *, seed: int = 0) -> LearnedModel:
    """Return a mixture of two networks with weights of their own."""
    torch.manual_seed(seed)
    schema, means = Schema(numeric=("a", "b")), np.zeros(2)
    made = encoder or Encoder("binary", schema, Network(hidden=(8,)), ("no", "yes"), {}, means, means + 1)
    return LearnedModel(made, build_network(made, [Shape(hidden=True, bins=False)] * 2))


def some(rows: int) -> Examples:
    """Return examples of two numbers."""
    random = np.random.default_rng(rows)
    nothing, zeros = np.zeros((rows, 0), dtype=np.int64), np.zeros(rows, dtype=np.int64)
    targets = random.integers(0, 2, size=rows).astype(np.float64)
    return Examples(random.normal(size=(rows, 2)), nothing, targets, zeros, zeros.astype(np.uint64))


class Counted:
    """Counts how often encoders and networks are run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.encoded = self.answered = 0
        inputs, outputs = Encoder.inputs, Ensemble.outputs

        def encode(*args: object) -> object:
            self.encoded += 1
            return inputs(*args)

        def answer(*args: object) -> object:
            self.answered += 1
            return outputs(*args)

        monkeypatch.setattr(Encoder, "inputs", encode)
        monkeypatch.setattr(Ensemble, "outputs", answer)


def test_what_models_have_in_common_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One encoder for two networks; one network under two mixtures, which do not predict alike."""
    first = model()
    second, remixed = model(first.encoder, seed=1), first.mixed(np.array([0.9, 0.1]))
    examples = some(100)
    alone = [one.score(examples).losses for one in (first, second, remixed)]
    counted, asked = Counted(monkeypatch), Asked(examples)
    together = [one.score(asked).losses for one in (first, second, remixed)]
    assert (counted.encoded, counted.answered) == (1, 2)
    assert [losses.tolist() for losses in together] == [losses.tolist() for losses in alone]
    assert (together[0] != together[2]).any()


def test_chunks_of_examples_are_answered_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one pass takes, kept or, where they are too many, not: the scores are the same."""
    learned, examples = model(), some(2 * CHUNK_ROWS + 10)
    kept, losses = learned.score_members(examples)
    monkeypatch.setattr(module, "MOST_KEPT", CHUNK_ROWS)
    passing, others = learned.score_members(examples)
    assert kept.losses.tolist() == passing.losses.tolist()
    assert losses.tolist() == others.tolist()
    tail = learned.score(examples.take(slice(CHUNK_ROWS, None)))
    assert kept.losses[CHUNK_ROWS:] == pytest.approx(tail.losses, abs=1e-6)


def test_of_no_examples_no_network_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no scores, of the mixture and of each member."""
    learned, counted = model(), Counted(monkeypatch)
    scores, losses = learned.score_members(some(0))
    assert len(scores) == 0
    assert losses.shape == (2, 0)
    assert counted.answered == 0
