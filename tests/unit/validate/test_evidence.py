"""Forward evidence: paired, by round, and void when what it was about changes."""

import math

import numpy as np
import pytest

from service.validate.evidence import ForwardEvidence, PairedSums, Probation


def test_sums_give_mean_and_standard_error() -> None:
    """The sums of parts are the sums of the whole."""
    differences = np.random.default_rng(0).normal(size=500)
    sums = PairedSums.of(differences[:200]) + PairedSums.of(differences[200:])
    assert sums.mean == pytest.approx(differences.mean())
    assert sums.standard_error == pytest.approx(differences.std(ddof=1) / math.sqrt(500))


def test_no_events_have_no_mean() -> None:
    """Nothing is known, and nothing is claimed."""
    assert math.isnan(PairedSums().mean)
    assert math.isnan(PairedSums.of(np.array([1.0])).standard_error)


def test_only_the_newest_rounds_count() -> None:
    """Evidence about weights of long ago fades out."""
    evidence = ForwardEvidence(rounds=2)
    for value in (5.0, -1.0, -3.0):
        evidence.add("main", np.full(10, value))
        evidence.end_round()
    evidence.add("main", np.full(10, -5.0))
    assert evidence.sums("main").events == 20
    assert evidence.sums("main").mean == pytest.approx(-4.0)


def test_a_new_serving_model_voids_all_evidence() -> None:
    """What was learnt about challengers against the old one says nothing about the new one."""
    evidence = ForwardEvidence(rounds=3)
    evidence.add("one", np.ones(5))
    evidence.add("two", np.ones(5))
    evidence.forget("one")
    assert evidence.sums("one").events == 0
    assert evidence.sums("two").events == 5
    evidence.forget()
    assert evidence.sums("two").events == 0


def test_it_survives_json() -> None:
    """A restart goes on with the same evidence, block by block."""
    evidence = ForwardEvidence(rounds=2)
    evidence.add("main", np.array([1.0, 2.0]))
    evidence.end_round()
    evidence.add("main", np.array([3.0]))
    copy = ForwardEvidence.from_json(evidence.to_json(), rounds=2)
    for held in (evidence, copy):
        held.end_round()
        held.add("main", np.array([4.0]))
    assert copy.sums("main") == evidence.sums("main")


def test_a_predecessor_is_watched_for_so_many_rounds() -> None:
    """From the promotion on; before it and afterwards nothing is added up."""
    probation = Probation(rounds=2)
    probation.add(np.ones(5))
    assert (probation.runs, probation.sums.events) == (False, 0)
    probation.begin()
    for _ in range(2):
        probation.add(np.full(5, -1.0))
        assert probation.sums.mean == -1.0
        probation.end_round()
    probation.add(np.ones(5))
    assert (probation.runs, probation.sums.events) == (False, 0)


def test_a_new_promotion_begins_a_new_watch() -> None:
    """The predecessor is another one."""
    probation = Probation(rounds=2)
    probation.begin()
    probation.add(np.ones(5))
    probation.end_round()
    probation.begin()
    probation.end_round()
    assert probation.runs
    assert probation.sums.events == 0
    probation.end()
    assert not probation.runs


def test_a_watch_survives_json() -> None:
    """A restart goes on with it."""
    probation = Probation(rounds=3)
    probation.begin()
    probation.add(np.array([1.0, 3.0]))
    probation.end_round()
    copy = Probation.from_json(probation.to_json(), rounds=3)
    assert copy.sums == probation.sums
    for one in (probation, copy):
        one.end_round()
        assert one.runs
        one.end_round()
        assert not one.runs


def test_an_objection_that_was_wrong_is_not_heard_until_one_is_right() -> None:
    """Held back it proved better; sent out in spite of it, it must go on to be better than what it replaced."""
    random = np.random.default_rng(0)
    better, worse, little = (
        PairedSums.of(random.normal(mean, 0.1, count)) for mean, count in ((-1, 200), (1, 200), (1, 9))
    )

    def after(*steps: tuple[PairedSums, float]) -> bool:
        probation = Probation(10)
        for forward, gains in steps:
            probation.begin()
            probation.add(np.full(200, gains))
            probation.objected = True
            probation.weigh(forward, 100, 0.05)
            probation = Probation.from_json(probation.to_json(), 10)
        return probation.heard

    assert after((little, 0.5))
    assert not after((better, 0.0))
    assert not after((better, 0.0), (little, 0.5))
    assert after((better, 0.0), (little, -0.1))
    assert after((better, 0.0), (worse, 0.5))
    silent = Probation(10)
    silent.weigh(better, 100, 0.05)
    assert silent.heard
