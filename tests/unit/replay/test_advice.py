"""The advice: which rule speaks at which figures, and which setting it names."""

from typing import Any

import pytest

from service.replay.advice import REMEDIES, advice
from service.validate.gate import REASONS
from tests.unit.replay.results import result_of

GOOD = {"champion": 0.1, "frozen": 0.2, "challenger": 0.1}


def test_a_replay_without_trouble_needs_no_advice() -> None:
    """Gains, few rejections, nothing refused, training in good time."""
    assert advice(result_of(wrong=GOOD)) == []


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"refusals": {"missing_feature": 2}}, "2 of 1,002 events (2 missing_feature)"),
        ({"refusals": {"missing_feature": 2}}, "`schema.nullable`"),
        ({"refusals": {"wrong_type": 2}}, "`schema.categorical`"),
        (
            {"refusals": {"unknown_label": 3}},
            '--set \'schema.labels=["no", "yes", "maybe"]\' --set task=multiclass',
        ),
        ({"failures": {"not_finite": 2}}, "Rounds failed (2 not_finite): lower learning rates"),
        ({"failures": {"error": 1}}, "Rounds failed (1 error); decisions.jsonl tells why"),
        ({"wrong": {"baseline": 0.1}}, "no better than guessing"),
        ({"wrong": {"frozen": 0.1}}, "follow changes faster"),
        ({"training_seconds": 90.0}, "would take 90% of one core"),
        ({"decisions": {("reject", "forward_worse"): 9}}, "raise `trigger.every_events`"),
        ({"decisions": {("reject", "not_finite"): 9}}, "lower learning rates in `train.portfolio`"),
        ({"decisions": {("reject", "not_finite"): 9}, "train": {"portfolio": []}}, "lower `train.learning_rate`"),
        (
            {"decisions": {("reject", "recent_worse"): 2}, "wrong": {"challenger": 0.05}},
            "and the gate cost 5.0 points of accuracy: try fewer `gate.min_forward_events`",
        ),
        (
            {"turns": {"entered": 2}, "suspicions": [(0, 200, None)], "wrong": {"challenger": 0.05}},
            "`gate.suspicion_events`",
        ),
    ],
)
def test_each_trouble_names_a_setting(figures: dict[str, Any], words: str) -> None:
    """The line says what was found and what to try."""
    figures = {**figures, "wrong": GOOD | figures.get("wrong", {})}
    assert any(words in line for line in advice(result_of(**figures)))


def test_without_a_round_it_says_what_was_missing() -> None:
    """Too few events for the first one."""
    (line,) = advice(result_of(events=3, rounds={"started": 0}))
    assert line == (
        "The first round begins after 500 events, and the recording has 3: lower `trigger.every_events`, "
        "or record for longer."
    )


def test_a_feature_that_only_grows_is_pointed_out() -> None:
    """Its stability index is high from one end of the stream to the other."""
    result = result_of(wrong=GOOD)
    for event in range(5):
        result.tally.drift.offer(event, {"psi/clock": 6.0, "psi/x": 0.01})
    (line,) = advice(result)
    assert "`clock`" in line
    assert "`x`" not in line


def test_remedies_are_for_reasons_of_the_gate() -> None:
    """A reason that is renamed takes its remedy along."""
    assert REMEDIES.keys() <= REASONS.keys()
