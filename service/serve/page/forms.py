"""The form of ``GET /v1/overview``."""

from typing import Any, Literal

from pydantic import Field

from service import __version__
from service.serve.schemas import EXAMPLE_ID, EXAMPLE_TIME, EXAMPLE_TRAINER, Answer, Latest, Pinned
from service.settings import Task

Outcome = Literal["first_model", "promoted", "rejected", "withheld", "rolled_back", "failed"]
"""As rounds are counted, and two that are in no count: the first model, and what a suspicion holds back."""


class Served(Answer):
    """The checkpoint that answers."""

    id: str = Field(examples=[EXAMPLE_ID])
    since: str = Field(examples=[EXAMPLE_TIME], description="when this server began to answer from it")
    created_at: str = Field(examples=[EXAMPLE_TIME])
    trained_until: str | None = Field(
        examples=[EXAMPLE_TIME], description="UTC; the newest event that it was trained on"
    )


class Scores(Answer):
    """How the models fared, as columns of equal length, oldest point first; older points are further apart."""

    at_ms: list[int] = Field(examples=[[1_790_000_000_000]], description="Unix time in milliseconds")
    events: list[int] = Field(examples=[[12_000]], description="events predicted until then")
    champion: list[float | None] = Field(
        examples=[[0.08]], description="mean error over the newest `window.events`: share of wrong labels, or MAE"
    )
    frozen: list[float | None] = Field(examples=[[0.31]], description="the same of the model that was never updated")
    previous: list[float | None] = Field(examples=[[0.09]], description="the same of the champion's predecessor")
    promoted: list[int] = Field(examples=[[24]], description="promotions until then")
    lag: list[int] = Field(examples=[[0]], description="records that waited to be read")


class Evidence(Answer):
    """What weighed in a decision: how the candidate compares with the serving model."""

    slice: Literal["forward", "recent"] = Field(description="arriving events, or the newest held-out ones")
    events: int = Field(examples=[440])
    difference: float | None = Field(examples=[-0.031], description="mean loss of the candidate less the serving one's")
    standard_error: float | None = Field(examples=[0.004], description="of that difference")


class RoundTold(Answer):
    """One round of training and how it ended."""

    at: str = Field(examples=[EXAMPLE_TIME])
    round: int | None = Field(examples=[42])
    outcome: Outcome = Field(
        description="`first_model` replaces none, `withheld` waits for the end of a suspicion; neither is counted"
    )
    reason: str = Field(examples=["forward_better"], description="of the decision, or what made the round fail")
    meaning: str | None = Field(
        examples=["better on arriving events, and not provably worse on held-out ones"],
        description="the reason in words; of a failed round what it said",
    )
    trigger: str | None = Field(examples=["new_events"])
    trigger_detail: str | None = Field(examples=["500 new events (trigger.every_events: 500)"])
    checkpoint: str | None = Field(examples=[EXAMPLE_ID], description="null if nothing was published")
    training_seconds: float | None = Field(examples=[0.4])
    evidence: Evidence | None = Field(description="null where nothing was compared")


class Notice(Answer):
    """A drift that was found, or a turn of a suspicion."""

    at: str = Field(examples=[EXAMPLE_TIME])
    kind: str = Field(examples=["data"], description="`data`, `prediction` or `concept` drift, or `suspicion`")
    feature: str | None = Field(examples=["amount"])
    meaning: str | None = Field(examples=["the newest events differ from the champion's training data"])


class Act(Answer):
    """What an operator did by hand."""

    at: str = Field(examples=[EXAMPLE_TIME])
    event: str = Field(examples=["promoted"], description="`promoted`, `pinned`, `unpinned` or `failed`")
    checkpoint: str | None = Field(examples=[EXAMPLE_ID])
    by: str | None = Field(examples=["ops"])
    reason: str | None = Field(examples=["the newer ones misbehave"])


class FeatureDrift(Answer):
    """How one feature of the newest events compares with the champion's training data."""

    feature: str = Field(examples=["amount"])
    psi: float | None = Field(examples=[0.04], description="population stability index, in nats")
    missing: float | None = Field(examples=[0.0], description="share that is missing, where that is allowed")
    unseen: float | None = Field(examples=[None], description="share of categories that the model does not know")


class DriftTold(Answer):
    """All drift as it is measured now."""

    features: list[FeatureDrift] = Field(description="the most drifted first, at most 200")
    count: int = Field(examples=[8], description="how many features there are")
    prediction: float | None = Field(examples=[0.02], description="stability index of the outputs, in nats")
    concept: float | None = Field(examples=[0.1], description="rise of the error, in its standard deviations")
    alarms: dict[str, int] = Field(examples=[{"data": 0, "prediction": 0, "concept": 3}])
    worth_an_alarm: float | None = Field(examples=[0.1], description="smallest index that is worth an alarm")


class OverviewAnswer(Answer):
    """What the status page shows."""

    task: Task
    model_name: str = Field(examples=["freshet"])
    version: str = Field(examples=[__version__], description="of Freshet")
    serving: Served | None = Field(description="null until a checkpoint serves")
    latest: Latest | None
    pinned: Pinned | None = Field(examples=[None])
    trouble: str | None = Field(examples=[None], description="why what is pinned, else the latest, does not serve")
    trainer: dict[str, Any] | None = Field(
        examples=[EXAMPLE_TRAINER],
        description="what the trainer last wrote of itself; null if it never did; `refused` (by reason) and "
        "`worker.restarts` count since its `started_at`, all else goes on after a restart",
    )
    heard_at: str | None = Field(examples=[EXAMPLE_TIME], description="when the trainer last wrote")
    stale_after_seconds: float = Field(examples=[5.0], description="a trainer silent for so long should have written")
    scores: Scores
    rounds: list[RoundTold] = Field(description="newest first")
    notices: list[Notice] = Field(description="newest first")
    by_hand: list[Act] = Field(description="newest first")
    drift: DriftTold | None = Field(description="null until the trainer has told")
