"""What an alarm says."""

from dataclasses import dataclass

DATA, PREDICTION, CONCEPT = KINDS = ("data", "prediction", "concept")
"""The inputs, the champion's outputs, or what is right for them: its error has risen."""

MEANINGS = {
    DATA: "the newest events differ from the champion's training data",
    PREDICTION: "what the champion predicts differs from what it predicted when it was promoted",
    CONCEPT: "the champion errs more than before",
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """Drift of one of KINDS; ``event`` is the number of the event, among all accepted, with which it was found.

    ``score`` is a population stability index in nats, and ``feature`` the one that differs most evidently; of a
    concept drift it is the rise of the champion's error in standard deviations of one error. ``threshold`` is the
    least score that is worth an alarm.
    """

    kind: str
    feature: str | None
    score: float
    threshold: float
    event: int
