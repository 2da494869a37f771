"""Results of replays that never were: figures to be told."""

from typing import Any

import numpy as np

from service.records import Examples, Scores
from service.replay.result import Result
from service.replay.tally import Tally
from service.settings import Settings


def result_of(
    *,
    wrong: dict[str, float] | None = None,
    events: int = 1_000,
    rounds: dict[str, int] | None = None,
    decisions: dict[tuple[str, str], int] | None = None,
    refusals: dict[str, int] | None = None,
    failures: dict[str, int] | None = None,
    turns: dict[str, int] | None = None,
    suspicions: list[tuple[int, int, str | None]] | None = None,
    training_seconds: float = 1.0,
    **tree: Any,
) -> Result:
    """Return a result of ``events`` events, of which each role got the share ``wrong`` wrong; the champion half."""
    settings = Settings.model_validate({"schema": {"numeric": ["x"]}, **tree})
    tally = Tally(settings.task)
    shares = {"baseline": 0.5, "champion": 0.5, "frozen": 0.5, "challenger": 0.5} | (wrong or {})
    roles = {}
    for role, share in shares.items():
        errors = (np.arange(events) < share * events).astype(np.float64)
        roles[role] = Scores(errors, errors)
    if events:
        tally.scored(Examples.empty(1, 0, events), roles)
    tally.rounds |= {"started": 10, "promoted": 5, "rejected": 4} if rounds is None else rounds
    tally.decisions.update(decisions or {})
    tally.refusals.update(refusals or {})
    tally.failures.update(failures or {})
    tally.turns.update(turns or {})
    return Result(
        name="loans.csv",
        settings=settings,
        tally=tally,
        rows=events + tally.refusals.total(),
        seconds=2.0,
        training_seconds=training_seconds,
        virtual_seconds=100.0,
        timed=True,
        pretrained=None,
        labels=("no", "yes"),
        refused_labels={"maybe": 3},
        suspicions=suspicions or [],
    )
