"""The section `drift`: what counts as a change of the stream, and how rarely chance may be taken for one."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from service.settings.base import Probability, Section
from service.settings.checks import clash


class Drift(Section):
    """How data, prediction and concept drift are looked for."""

    window_events: Annotated[int, Field(ge=20, le=100_000)] = Field(
        500, description="newest events that are compared with the champion's training data"
    )
    every_events: Annotated[int, Field(ge=10, le=100_000)] = Field(
        100, description="events between two comparisons; not more than `window_events`"
    )
    false_alarms_per_100000: Annotated[float, Field(gt=0, le=100)] = Field(
        0.1,
        description="false data alarms, and prediction alarms, expected in 100,000 independent events, however many "
        "features there are",
    )
    least_score: Annotated[float, Field(ge=0, le=10)] = Field(
        0.1,
        description="smallest population stability index (nats) of a feature, or of the predictions, worth an alarm",
    )
    least_rise: Annotated[float, Field(ge=0, le=10)] = Field(
        0.1, description="smallest rise of the champion's error worth an alarm, in standard deviations of one error"
    )
    adwin_delta: Probability = Field(
        0.001, description="ADWIN's bound on the chance of a false cut at one look (Bifet & Gavalda 2007)"
    )
    page_hinkley_tolerance: Annotated[float, Field(gt=0, le=10)] = Field(
        0.15, description="rise that the Page-Hinkley test lets pass for ever, in standard deviations of one error"
    )
    page_hinkley_threshold: Annotated[float, Field(ge=1, le=100_000)] = Field(
        50.0, description="sum of what is above that at which it raises an alarm, in the same unit (Page 1954)"
    )
    cooldown_events: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        1_000, description="events after an alarm in which the same kind of drift raises no other"
    )

    @model_validator(mode="after")
    def _compares_whole_steps(self) -> Self:
        if self.every_events > self.window_events:
            message = (
                f"drift.every_events is {self.every_events}, over drift.window_events of {self.window_events}; "
                "lower the one or raise the other"
            )
            raise clash(message, "drift.every_events", "drift.window_events")
        return self
