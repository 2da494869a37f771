"""The section `trigger`: what starts a round of training, and what makes it wait."""

from typing import Annotated, Literal

from pydantic import Field

from service.settings.base import Count, Probability, Seconds, Section

DriftKind = Literal["concept", "prediction", "data"]


class Trigger(Section):
    """When a round of training starts: whatever asks for it first, within the budget."""

    every_events: Count = Field(500, description="accepted events since the last round began, held-out ones too")
    every_seconds: Seconds = Field(30.0, description="seconds since the last round began")
    min_events: Count = Field(20, description="with fewer new events time alone does not start a round")
    early_events: Count = Field(
        100, description="new events from which on a drift alarm or a fall of the score starts a round early"
    )
    on_drift: tuple[DriftKind, ...] = Field(
        ("concept",), description="kinds of drift whose alarm starts a round early; an empty list for none"
    )
    fall_alpha: Probability | None = Field(
        1e-3,
        description="level of the one-sided test that the champion's loss on the newest events has risen above what it "
        "was since its promotion; null turns it off",
    )
    fall_events: Annotated[int, Field(ge=20, le=100_000)] = Field(
        100, description="newest events that this test compares with those before them"
    )
    max_staleness_seconds: Seconds | None = Field(
        None,
        description="how long a learnable event may wait for a checkpoint that was trained on it; rounds begin early "
        "enough for what they take; null sets no bound",
    )
    budget_share: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="share of one processor core that training may use on average, or of the time of `train.device`; "
        "whatever asks for a round waits for it; null sets no ceiling",
    )
    assumed_round_seconds: Seconds = Field(
        0.05, description="processor time that `replay` charges the budget for each round, so that runs are repeatable"
    )
    backoff_rounds: Count | None = Field(
        12,
        description="rejected rounds in a row after which the next ones are spaced wider, twice as wide with every "
        "half as many more; null never does",
    )
    backoff_idle_rounds: Count | None = Field(
        None,
        description="rounds in a row, promoted ones too, without a gain that can be shown on arriving events, after "
        "which the next ones are spaced wider likewise; null never does",
    )
    backoff_max: Annotated[float, Field(ge=1, le=1_000)] = Field(
        4.0, description="how many times wider at most; never wider than the window"
    )
