"""A rollback is published as a promotion is: a new checkpoint with the former weights, a snapshot, the pointer."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from service.ingest.connect import open_sink
from service.ingest.dead_letters import DeadLetters
from service.learner.candidate import Candidate
from service.learner.learner import Learner
from service.observer import Observer
from service.records import Partition
from service.settings import Settings
from service.store.lease import Lease
from service.train.fit import train_round
from service.trainer.publisher import Publisher
from service.trainer.start import go_on
from service.trainer.state_store import state_of
from service.validate.gate import Decision
from tests.acceptance.ledger_check import ancestry, broken_joints
from tests.examples import separable, settings_of

HERE = Partition("events", 0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings with folders of their own, under which only a rollback is published after the first round."""
    return settings_of(
        source={"embedded": {"path": str(tmp_path / "log.sqlite")}},
        store={"path": str(tmp_path / "store")},
        trainer={"state_path": str(tmp_path / "state")},
        train={"learning_rate": 0.01, "steps": 1},  # the first round learns, the others hardly
        gate={"suspicion_events": 100_000, "min_forward_events": 1_000_000, "min_recent_events": 1_000_000},
    )


@pytest.fixture
def publisher(settings: Settings) -> Iterator[Publisher]:
    """Yield a publisher that holds the lease."""
    lease = Lease(settings.store.path, "test", 60.0)
    fence = lease.try_acquire()
    assert fence is not None
    with closing(open_sink(settings)) as sink:
        made = Publisher(settings, lease, fence, DeadLetters(sink, Observer()), Observer())
        made.states.go_on(None)
        yield made
    lease.release()


def take(learner: Learner, seed: int, *, flipped: bool = False) -> None:
    """Take in a hundred events at the next offsets."""
    first = learner.positions.get(HERE, 0)
    learner.take_in(HERE, np.arange(first, first + 100), [], separable(100, seed=seed, flipped=flipped))


def a_round(learner: Learner) -> tuple[Decision, Candidate | None]:
    """Carry a round out."""
    return learner.conclude(train_round(learner.begin_round("new_events", 0.0)))


def publish(learner: Learner, publisher: Publisher, candidate: Candidate, number: int) -> str:
    """Publish a candidate and adopt it, as the trainer does."""
    checkpoint_id = f"{number:06d}-aaaaaaaa"
    kept = [one for one in learner.roles.ids().values() if one is not None]
    publisher.publish(candidate, checkpoint_id, state_of(learner, (candidate, checkpoint_id)), [], kept)
    learner.adopt(candidate, checkpoint_id)
    return checkpoint_id


def test_a_rollback_publishes_the_predecessor_anew(settings: Settings, publisher: Publisher) -> None:
    """Its manifest names the former checkpoint as parent and no data; a restart goes on from it, as do its spans."""
    learner = Learner(settings, Observer())
    take(learner, 0)
    _, first = a_round(learner)
    assert first is not None
    good = publish(learner, publisher, first, 1)
    take(learner, 1)
    given = learner.begin_round("new_events", 0.0)
    learner.conclude(train_round(given))
    wrong = Learner(settings, Observer())
    wrong.absorb(separable(300, seed=9, flipped=True))
    _, other = a_round(wrong)
    assert other is not None
    decision = Decision("promote", "forward_better", "main")
    mistake = Candidate(given, decision, other.model, other.reference, other.normaliser, dict(learner.positions))
    bad = publish(learner, publisher, mistake, 2)
    found: Candidate | None = None
    for seed in range(3, 9):
        take(learner, seed)
        decision, found = a_round(learner)
        if found is not None:
            break
    assert found is not None
    assert (decision.decision, decision.reason) == ("rollback", "previous_better")
    restored = publish(learner, publisher, found, 9)

    checkpoint, former = publisher.checkpoints.read(restored), publisher.checkpoints.read(good)
    manifest, pointer = checkpoint.manifest, publisher.checkpoints.latest()
    assert (manifest.parent, manifest.data) == (good, ())
    assert (manifest.follows, manifest.trained_until) == (former.manifest.follows, former.manifest.trained_until)
    assert (manifest.gate or {})["reason"] == "previous_better"
    assert checkpoint.encoder == former.encoder
    assert all(np.array_equal(checkpoint.tensors[name], former.tensors[name]) for name in former.tensors)
    assert pointer is not None
    assert (pointer.id, pointer.previous, pointer.by, pointer.reason) == (restored, bad, "gate", "previous_better")

    successor = Learner(settings, Observer())
    go_on(successor, publisher)
    assert successor.roles.ids() == learner.roles.ids() == {"champion": restored, "previous": bad, "frozen": good}
    assert successor.spans == learner.spans == {HERE: 100}
    take(successor, 20)
    given = successor.begin_round("new_events", 0.0)
    outcome = train_round(given)
    _, nothing = successor.conclude(outcome)
    assert nothing is None
    model = successor.portfolio.model
    assert model is not None
    child = Candidate(
        given,
        Decision("promote", "forward_better", "main"),
        model,
        first.reference,
        first.normaliser,
        dict(successor.positions),
    )
    publish(successor, publisher, child, 10)
    spans = ancestry(settings.store.path)
    assert [(span["first"], span["last"]) for span in spans] == [(0, 99), (100, successor.positions[HERE] - 1)]
    assert broken_joints(spans) == []
