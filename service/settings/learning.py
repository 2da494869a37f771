"""The sections that say how a model learns: `window` and `train`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from service.settings.base import Count, Seconds, Section, Share
from service.settings.checks import clash
from service.settings.network import Network, Strategy
from service.settings.portfolio import PORTFOLIO, REGRESSION_PORTFOLIO, Member
from service.settings.schema import Task

DEVICE = r"^[a-z]+(:[0-9]{1,2})?$"
"""A device's kind, and which of them; whether torch has it is asked where torch is loaded anyway."""


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
    replay_selection: Literal["uniform", "recent_biased", "class_balanced", "hard"] = Field(
        "uniform",
        description="which of them it holds: all alike (Vitter 1985), the recent rather (Aggarwal 2006), as many of "
        "each class (Chrysakis & Moens 2020), or what the model that served found hard when it came, not too long ago",
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
    strategy: Strategy = Field(
        "full",
        description="which parameters are trained: `full`: all; `head`: the last layer; `{layers: [patterns]}`: those "
        "whose names match, as in `encoder.*`",
    )
    device: Annotated[str, Field(pattern=DEVICE)] = Field(
        "cpu",
        description="what rounds of a network of your own are trained on, as torch names it: `cpu`, `cuda`, `cuda:1`, "
        "`mps`, `xpu`; all else is done on the processor",
    )
    steps: Count = Field(10, description="most optimiser steps of a round")
    first_steps: Count = Field(100, description="most optimiser steps of the first training and of `pretrain`")
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = Field(128, description="examples per step")
    portfolio: tuple[Member, ...] | None = Field(
        None,
        description="challengers that differ in kind and in how fast they forget; null for nine built-in ones, or one "
        "of your own module; an empty list for one network, with `learning_rate`, `replay_share` and the whole window",
    )
    mixture_rate: Annotated[float, Field(ge=0, le=10)] = Field(
        0.1, description="how much a challenger's share falls by a nat of loss on arriving events; 0 keeps them equal"
    )
    mixture_events: Annotated[float, Field(ge=1, le=1e9)] = Field(
        200.0, description="for about so many events such losses are remembered"
    )
    jump_deviations: Annotated[float, Field(gt=0, le=100)] | None = Field(
        3.0,
        description="so many standard errors above its running mean the error of 100 events is a jump, at which some "
        "challengers forget what came before; null for never",
    )
    jump_steps: Annotated[int, Field(ge=1, le=100)] = Field(
        3, description="the first round after a jump takes so many times the steps"
    )
    restart_nats: Annotated[float, Field(ge=0, le=100)] | None = Field(
        None,
        description="a challenger that is provably worse than the serving model by more than this (in a regression: of "
        "absolute error, in label units) goes on from the serving weights (Jaderberg et al. 2017); null for never",
    )
    learning_rate: Annotated[float, Field(gt=0, le=1)] = Field(
        3e-3, description="AdamW's step size, of a single challenger"
    )
    weight_decay: Annotated[float, Field(ge=0, le=10)] = Field(
        1e-4, description="AdamW's decoupled weight decay (Loshchilov & Hutter 2019)"
    )
    anchor: Annotated[float, Field(ge=0, le=1_000)] = Field(
        1e-4, description="pull towards the pre-trained weights, L2-SP (Li et al. 2018)"
    )
    replay_share: Share = Field(
        0.2, description="share of each batch drawn from the replay memory, of a single challenger"
    )
    label_smoothing: Share = Field(0.05, description="probability spread over all labels (Szegedy et al. 2016)")
    distillation: Annotated[float, Field(ge=0, le=1_000)] = Field(
        0.0, description="pull towards the answers of the weights before the round (Hinton et al. 2015)"
    )
    averaging: Share = Field(
        0.0,
        description="what predicts is an average of the weights that keeps this share a step (Polyak 1992); 0: none",
    )
    stopping_share: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.15,
        description="share of the window kept from the steps to stop early by, where there are enough steps for two "
        "checks; 0 turns early stopping off",
    )
    stopping_patience: Count = Field(3, description="checks without improvement after which a round stops")
    stopping_every_steps: Count = Field(10, description="optimiser steps between two such checks")
    worker: Worker = Worker()

    @model_validator(mode="after")
    def _a_device_is_for_a_module(self) -> Self:
        if self.on_accelerator and self.model.module is None:
            message = (
                "train.device is for a network of your own; name it in train.model.module "
                "(the built-in ones are made for the processor)"
            )
            raise clash(message, "train.device")
        return self

    @model_validator(mode="after")
    def _a_module_is_the_only_network_of_its_portfolio(self) -> Self:
        for one in (self.portfolio or ()) if self.model.module is not None else ():
            if one.kind != "network" or one.bins:
                what = "bins" if one.bins else f"kind: {one.kind}"
                message = f"train.portfolio lists {what}, which only built-in networks have; leave it or the module out"
                raise clash(message, "train.portfolio", "train.model.module")
        return self

    @property
    def on_accelerator(self) -> bool:
        """Whether rounds are trained on anything but the processor."""
        return self.device.partition(":")[0] != "cpu"

    def members(self, window_events: int, task: Task) -> tuple[Member, ...]:
        """Return the challengers that a round trains; none of them sees more than the window holds."""
        one = Member(window_events=window_events, replay_share=self.replay_share, learning_rate=self.learning_rate)
        built_in = REGRESSION_PORTFOLIO if task == "regression" else PORTFOLIO
        usual = built_in if self.model.module is None else (one,)
        chosen = usual if self.portfolio is None else self.portfolio or (one,)
        return tuple(
            member.model_copy(update={"window_events": min(member.window_events, window_events)}) for member in chosen
        )
