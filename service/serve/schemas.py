"""The forms of answers: what /docs shows."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service import __version__
from service.settings import Task

EXAMPLE_ID = "000042-3f9a1c2b"
EXAMPLE_TIME = "2026-01-31T09:30:00.250Z"
EXAMPLE_TRAINER: dict[str, Any] = {
    "at": EXAMPLE_TIME,
    "state": "learning",
    "new_events": 120,
    "trained_until": EXAMPLE_TIME,
    "age_seconds": 0.4,
    "stale": False,
}


class Answer(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


def _absent_if_none(schema: dict[str, Any]) -> None:
    """Describe what has a default as it is sent: never null, but absent."""
    schema["required"] = [name for name in schema["required"] if "default" not in schema["properties"][name]]


class Explanation(Answer):
    """What each feature adds to the answer, compared with that for an instance about which little is known."""

    of: str = Field(examples=["yes"], description="the label whose probability is explained; `value` in a regression")
    method: str = Field(examples=["Shapley values, exact"])
    baseline: float = Field(
        examples=[0.31], description="what the model gives where numbers are their means and categories unknown"
    )
    attributions: dict[str, float] = Field(
        examples=[{"age": 0.12, "city": -0.03}],
        description="by feature; with the baseline they add up to the score, or value, that is explained",
    )


class NoExplanation(Answer):
    """Why there is none."""

    unavailable: str = Field(examples=["the model is too slow"])


class Prediction(Answer):
    """What the model says of one instance."""

    model_config = ConfigDict(json_schema_extra=_absent_if_none)

    label: str | float = Field(description="the likeliest label; for a regression the value itself")
    scores: dict[str, float] = Field(description="every label's probability; for a regression `value` alone")
    warnings: list[str] | None = Field(
        None, description="what the model has never seen, such as a new category; absent if there is nothing to say"
    )
    explanation: Explanation | NoExplanation | None = Field(
        None, description="absent unless the request asks for it with `?explain=true`"
    )


class CheckpointName(Answer):
    """Which checkpoint answered."""

    id: str = Field(examples=[EXAMPLE_ID])
    trained_until: str | None = Field(
        examples=[EXAMPLE_TIME], description="UTC; the newest event that it was trained on"
    )


class PredictAnswer(Answer):
    """Predictions in the order of the instances, all of them by one checkpoint."""

    predictions: list[Prediction]
    checkpoint: CheckpointName


class RejectedEvent(Answer):
    """An event that did not fit."""

    index: int = Field(examples=[1], description="its place in the request, from 0")
    reason: str = Field(examples=["missing_feature"])


class EventsAnswer(Answer):
    """What became of the events; the accepted ones are durable, the rejected ones are dead-lettered."""

    accepted: int = Field(examples=[1])
    rejected: list[RejectedEvent]


class ServingStatus(Answer):
    """The checkpoint that answers."""

    id: str = Field(examples=[EXAMPLE_ID])
    since: str = Field(examples=[EXAMPLE_TIME], description="when this server began to answer from it")
    round: int = Field(examples=[42], description="the round of training that made it")
    created_at: str = Field(examples=[EXAMPLE_TIME])
    trained_until: str | None = Field(examples=[EXAMPLE_TIME])
    labels: list[str] = Field(
        examples=[["no", "yes"]], description="in the order of its outputs; empty for a regression"
    )


class Latest(Answer):
    """Where the store's pointer stands."""

    id: str = Field(examples=[EXAMPLE_ID])
    previous: str | None = Field(examples=["000041-90d3b6aa"])
    at: str = Field(examples=[EXAMPLE_TIME])
    by: str = Field(examples=["trainer"], description="who moved it")
    reason: str = Field(examples=["not_worse"])


class Pinned(Answer):
    """The checkpoint that every server of the store answers from until the pin is deleted."""

    id: str = Field(examples=[EXAMPLE_ID])
    at: str = Field(examples=[EXAMPLE_TIME])
    by: str = Field(description="who pinned it: a token's name, or user@machine of a command line", examples=["ops"])
    reason: str = Field(examples=["the newer ones misbehave"])


class Shadowed(Answer):
    """A candidate of `serve.shadow`."""

    candidate: str = Field(examples=["challenger"], description="its name in the configuration")
    checkpoint: str | None = Field(examples=[EXAMPLE_ID], description="what that stands for now; null if for nothing")
    since: str = Field(examples=[EXAMPLE_TIME], description="since when it is as told here")
    problem: str | None = Field(
        examples=[None], description="why it is not compared with what serves; null while it is"
    )


class StatusAnswer(Answer):
    """How this server and its trainer fare."""

    task: Task
    model_name: str = Field(examples=["freshet"])
    version: str = Field(examples=[__version__], description="of Freshet")
    serving: ServingStatus | None = Field(description="null until a checkpoint serves")
    latest: Latest | None = Field(
        description="what serves while nothing is pinned; null without a checkpoint, or while the store cannot be read"
    )
    pinned: Pinned | None = Field(
        examples=[None], description="null while nothing is pinned, or the store cannot be read"
    )
    trouble: str | None = Field(
        examples=[None], description="why what is pinned, else the latest, does not serve, if it does not"
    )
    shadow: list[Shadowed] = Field(description="what `serve.shadow` names, in that order; empty if nothing")
    trainer: dict[str, Any] | None = Field(
        examples=[EXAMPLE_TRAINER],
        description="what the trainer last wrote of itself, with `age_seconds` and `stale`; null if it never did",
    )


class CheckpointEntry(Answer):
    """One checkpoint of the store."""

    id: str = Field(examples=[EXAMPLE_ID])
    serving: bool = Field(description="this server answers from it")
    latest: bool = Field(description="the store's pointer names it")
    pinned: bool = Field(examples=[False], description="every server is to answer from it, whatever the latest is")
    round: int | None = Field(examples=[42])
    created_at: str | None = Field(examples=[EXAMPLE_TIME])
    trained_until: str | None = Field(examples=[EXAMPLE_TIME])
    trigger: str | None = Field(examples=["new_events"], description="why its round began")
    problem: str | None = Field(examples=[None], description="why it cannot be served, if it cannot")


class CheckpointsAnswer(Answer):
    """The store's checkpoints, newest first."""

    checkpoints: list[CheckpointEntry]


class FieldFault(Answer):
    """One field at fault."""

    pointer: str = Field(examples=["/instances/0/age"], description="JSON pointer into the request's body (RFC 6901)")
    detail: str = Field(examples=["age is missing"])


class Problem(Answer):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["age is missing"])
    errors: list[FieldFault] | None = Field(None, description="the fields at fault, where there are any")
    request_id: str = Field(description="the answer's X-Request-ID: what to look for in the log")
