"""The sections that say how a model learns: `window`, `trigger`, `train` and `gate`."""

from typing import Annotated, Literal

from pydantic import Field

from service.settings.base import Count, Probability, Seconds, Section, Share


class Window(Section):
    """What the trainer keeps in memory of the stream."""

    events: Annotated[int, Field(ge=10, le=10_000_000)] = Field(
        2_000, description="newest learnable events, all of them trained on in a round"
    )
    overflow: Literal["evict", "wait"] = Field(
        "evict",
        description="when events come faster than rounds train: `evict` lets the oldest leave the window unlearnt, "
        "counted, most of them for the replay memory; `wait` polls no more than fits until the round has ended, "
        "unless training is paused",
    )
    replay_events: Annotated[int, Field(ge=0, le=10_000_000)] = Field(
        10_000, description="size of the reservoir of events that have left the window"
    )
    holdout_share: Annotated[float, Field(ge=0.01, le=0.5)] = Field(
        0.1, description="share of events, chosen by hash, that no model is ever trained on"
    )
    recent_events: Annotated[int, Field(ge=10, le=1_000_000)] = Field(
        200, description="newest held-out events: what candidates are checked on"
    )
    memory_events: Annotated[int, Field(ge=10, le=1_000_000)] = Field(
        1_000, description="time-biased reservoir of held-out events: was something forgotten?"
    )


class Trigger(Section):
    """When a round of training starts: after so many new events or so many seconds, whichever comes first."""

    every_events: Count = Field(500, description="accepted events since the last round began, held-out ones too")
    every_seconds: Seconds = Field(30.0, description="seconds since the last round began")
    min_events: Count = Field(20, description="fewer new events than these never start a round")


class Network(Section):
    """The built-in tabular network."""

    hidden: Annotated[tuple[Annotated[int, Field(ge=1, le=4_096)], ...], Field(min_length=1, max_length=8)] = Field(
        (64, 64), description="width of each hidden layer"
    )
    embedding_width: Annotated[int, Field(ge=1, le=256)] = Field(8, description="numbers per category")
    max_categories: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        1_000, description="known values per categorical feature; later ones share the unknown bucket"
    )
    dropout: Share = Field(0.05, description="share of hidden units silenced in training (Srivastava et al. 2014)")


class Worker(Section):
    """The process that trains."""

    heartbeat_seconds: Seconds = Field(30.0, description="a worker silent for longer is taken for hung")
    deadline_seconds: Seconds = Field(600.0, description="a round that takes longer is abandoned")
    backoff_seconds: Seconds = Field(1.0, description="pause before the first restart; doubles up to a minute")
    breaker_failures: Annotated[int, Field(ge=1, le=1_000)] = Field(
        5, description="failed rounds in a row after which training pauses; consumption goes on"
    )
    breaker_seconds: Annotated[float, Field(gt=0, le=86_400)] = Field(
        120.0, description="how long it pauses then, before one round tries again"
    )
    niceness: Annotated[int, Field(ge=0, le=19)] = Field(5, description="how far the worker yields the processor")
    keep_rounds: Annotated[int, Field(ge=1, le=10_000)] = Field(5, description="newest finished rounds kept on disk")
    keep_failed_rounds: Annotated[int, Field(ge=1, le=10_000)] = Field(20, description="newest failed rounds kept")


class Train(Section):
    """How a round trains."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, description="with the round's number it seeds the round")
    model: Network = Network()
    steps: Count = Field(60, description="most optimiser steps of a round")
    first_steps: Count = Field(600, description="most optimiser steps of the first training and of `pretrain`")
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = Field(256, description="examples per step")
    learning_rate: Annotated[float, Field(gt=0, le=1)] = Field(3e-3, description="AdamW's step size")
    weight_decay: Annotated[float, Field(ge=0, le=10)] = Field(
        1e-4, description="AdamW's decoupled weight decay (Loshchilov & Hutter 2019)"
    )
    anchor: Annotated[float, Field(ge=0, le=1_000)] = Field(
        1e-4, description="pull towards the pre-trained weights, L2-SP (Li et al. 2018)"
    )
    replay_share: Share = Field(0.2, description="share of each batch drawn from the replay memory")
    stopping_share: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.15, description="share of the window kept from the steps to stop early by; 0 turns early stopping off"
    )
    stopping_patience: Count = Field(3, description="checks without improvement after which a round stops")
    stopping_every_steps: Count = Field(10, description="optimiser steps between two such checks")
    worker: Worker = Worker()


class Gate(Section):
    """What a candidate must show before it is published."""

    enabled: bool = Field(default=True, description="false publishes every round's candidate")
    alpha: Probability = Field(0.05, description="level of the one-sided paired tests")
    min_forward_events: Annotated[int, Field(ge=2)] = Field(
        100, description="forward evidence on fewer events does not count"
    )
    forward_rounds: Count = Field(3, description="newest rounds whose arriving events are forward evidence")
    min_recent_events: Annotated[int, Field(ge=2)] = Field(
        30, description="with fewer events in the recent slice its check abstains"
    )
    min_class_events: Count = Field(15, description="a class with fewer events in the recent slice has no floor")
    class_floor: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="least share of the serving model's recall that a candidate must keep of each class"
    )
    max_memory_loss_increase: Annotated[float, Field(ge=0)] | None = Field(
        None, description="largest rise of mean loss on the memory slice; null leaves forgetting unbounded"
    )
