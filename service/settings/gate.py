"""The section `gate`: what a candidate must show, and when learning becomes speculative."""

from typing import Annotated

from pydantic import Field

from service.settings.base import Count, Probability, Section


class Gate(Section):
    """What a candidate must show before it is published, and when what arrives is not trusted."""

    enabled: bool = Field(default=True, description="false publishes every round's candidate")
    alpha: Probability = Field(
        0.05, description="level of the one-sided paired test on arriving events: provably worse is not published"
    )
    min_forward_events: Annotated[int, Field(ge=2)] = Field(
        100, description="forward evidence on fewer events does not count"
    )
    forward_rounds: Count = Field(3, description="newest rounds whose arriving events are forward evidence")
    recent_events: Annotated[int, Field(ge=2)] = Field(
        50, description="newest held-out events of the recent slice, none from before the error last jumped, that count"
    )
    recent_alpha: Probability = Field(
        0.001, description="level of the one-sided paired test on the recent slice, which is asked every round anew"
    )
    restart_alpha: Probability = Field(
        0.001,
        description="level at which challengers that are worse on arriving events go on from the serving weights",
    )
    min_recent_events: Annotated[int, Field(ge=2)] = Field(
        15, description="with fewer events in the recent slice its check abstains"
    )
    min_class_events: Count = Field(15, description="a class with fewer events in the recent slice has no floor")
    class_floor: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="least share of the serving model's recall that a candidate must keep of each class"
    )
    max_memory_loss_increase: Annotated[float, Field(ge=0)] | None = Field(
        None, description="largest rise of mean loss on the memory slice; null leaves forgetting unbounded"
    )
    previous_rounds: Count = Field(
        10, description="rounds for which the predecessor of the serving model is watched, so that it can come back"
    )
    rollback_events: Annotated[int, Field(ge=2)] = Field(
        300, description="on fewer events since its promotion no model is replaced by its predecessor"
    )
    rollback_alpha: Probability = Field(
        1e-5,
        description="level of the one-sided paired test by which the predecessor must be better; strict, since it is "
        "looked at after every round",
    )
    suspicion_events: Annotated[int, Field(ge=20, le=100_000)] = Field(
        100,
        description="a serving model that is not better than guessing the class frequencies (regression: the mean) on "
        "so many newest events, at level `alpha`, falls under suspicion: learning goes on, publishing waits",
    )
    suspicion_alpha: Probability = Field(
        1e-3,
        description="level of the one-sided tests against guessing that end a suspicion: of the learners, then it "
        "was a change, or of the serving model, then it was noise",
    )
    speculation_max_events: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        3_000, description="a suspicion that nothing has decided ends after so many events: learning goes on"
    )
    confirm_events: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        0, description="so many further events must confirm a suspected change before anything is published"
    )
