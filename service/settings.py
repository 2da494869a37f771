"""The configuration as one frozen tree: every key with its default, bounds and meaning.

`configuration.py` reads it from file, environment and command line.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from service.setting_checks import HIGHEST_PORT, clash, plain_path, possible_topic, reachable_servers

Task = Literal["binary", "multiclass", "regression"]
BINARY_CLASSES = 2


def label_text(value: Any) -> Any:  # noqa: ANN401 - a label in YAML or JSON may be any scalar
    """Return a scalar label as the text it is compared by (``true`` for True, ``1`` for 1); leave others alone."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str, Field(min_length=1)]
Label = Annotated[str, BeforeValidator(label_text)]
Share = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(gt=0, lt=1)]
Port = Annotated[int, Field(ge=1, le=HIGHEST_PORT)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A part of the tree: frozen, and without room for unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)


KINDS = ("numeric", "boolean", "categorical")


class Schema(Section):
    """Which features an event has, and what its label is."""

    numeric: tuple[Text, ...] = Field((), description="features that are numbers")
    categorical: tuple[Text, ...] = Field((), description="features that are text; unknown values are data")
    boolean: tuple[Text, ...] = Field((), description="features that are true or false")
    nullable: tuple[Text, ...] = Field((), description="features that may be missing (null or absent)")
    label: Text = Field("label", description="the label's column in files; on the wire it is always `label`")
    labels: tuple[Label, ...] = Field((), description="all labels; left empty, the first checkpoint fixes the set")

    @model_validator(mode="after")
    def _names_fit_together(self) -> Self:
        names = self.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            message = f"feature {twice[0]!r} is listed twice; list each feature under one kind"
            raise clash(message, *(f"schema.{kind}" for kind in KINDS if twice[0] in getattr(self, kind)))
        if self.label in names:
            message = (
                f"schema.label names the feature {self.label!r}; take it out of the features, or name another column"
            )
            raise clash(
                message, "schema.label", *(f"schema.{kind}" for kind in KINDS if self.label in getattr(self, kind))
            )
        strangers = sorted(set(self.nullable) - set(names))
        if strangers:
            message = f"schema.nullable names {strangers[0]!r}, which is no feature; list it under a kind too"
            raise clash(message, "schema.nullable")
        if len(set(self.labels)) != len(self.labels):
            raise clash("schema.labels has a label twice; list each once", "schema.labels")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """All features, in column order: numeric, boolean, categorical."""
        return self.numeric + self.boolean + self.categorical


class KafkaSource(Section):
    """How to reach a Kafka cluster."""

    bootstrap_servers: Annotated[Text, AfterValidator(reachable_servers)] = Field(
        "127.0.0.1:9092", description="host:port, several joined by commas"
    )
    group_id: Text = Field("freshet", description="consumer group; one trainer learns per store and group")
    fetch_max_wait_ms: Annotated[int, Field(ge=1, le=10_000)] = Field(
        100, description="longest that the broker may hold back a fetch that finds nothing"
    )


class EmbeddedSource(Section):
    """Where the embedded log lies."""

    path: Path = Field(Path("freshet-data/log.sqlite"), description="one SQLite file; made when absent")


class Source(Section):
    """Where labelled events come from."""

    kind: Literal["embedded", "kafka"] = Field("embedded", description="the durable log in a file, or Kafka")
    # Kafka's longest name has 249 characters, and the dead letters' topic ends in .dlq.
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,245}$"), AfterValidator(possible_topic)] = Field(
        "events", description="topic of events"
    )
    max_bytes: Annotated[int, Field(ge=1_024, le=64 * 2**20)] = Field(
        2**20, description="a record with more bytes is refused as too_large"
    )
    poll_events: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1_000, description="most records taken in one poll; bounds memory and the gap between polls"
    )
    poll_timeout_seconds: Annotated[float, Field(gt=0, le=10)] = Field(
        0.1, description="longest wait of one poll for new records"
    )
    kafka: KafkaSource = KafkaSource()
    embedded: EmbeddedSource = EmbeddedSource()


class Window(Section):
    """What the trainer keeps in memory of the stream."""

    events: Annotated[int, Field(ge=10, le=10_000_000)] = Field(
        2_000, description="newest learnable events, all of them trained on in a round"
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


class Store(Section):
    """Where checkpoints lie."""

    path: Path = Field(Path("freshet-data/store"), description="a folder that trainer and servers share")
    keep: Annotated[int, Field(ge=3, le=100_000)] = Field(
        20, description="newest checkpoints kept; champion, predecessor and frozen model always are"
    )


class Trainer(Section):
    """The role that consumes and learns."""

    host: Text = Field("127.0.0.1", description="address of its metrics and health")
    port: Port = Field(8001, description="port of its metrics and health")
    state_path: Path = Field(Path("freshet-data/state"), description="a folder for snapshot and rounds")
    snapshot_seconds: Seconds = Field(5.0, description="longest time between two snapshots while events arrive")
    status_seconds: Seconds = Field(1.0, description="time between two writes of status.json")
    lease_seconds: Annotated[float, Field(ge=1, le=3_600)] = Field(
        10.0, description="a holder silent for so long loses the store's lease to a standby"
    )
    grace_seconds: Seconds = Field(20.0, description="time that a stop may take")


class Serve(Section):
    """The role that answers."""

    host: Text = Field("127.0.0.1", description="address of the HTTP server")
    port: Port = Field(8000, description="port of the HTTP server")
    model_name: Text = Field("freshet", description="the model's name to clients")
    max_instances: Annotated[int, Field(ge=1, le=1_000_000)] = Field(10_000, description="most instances a request")
    max_body_bytes: Annotated[int, Field(ge=1_024)] = Field(16 * 2**20, description="largest body of a request")
    watch_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        0.25, description="time between two looks at the store's pointer"
    )
    grace_seconds: Seconds = Field(10.0, description="time that open requests have to finish at a stop")


class Log(Section):
    """What is written to standard error."""

    format: Literal["auto", "console", "json"] = Field("auto", description="auto: console on a terminal, else json")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least level shown")


class Settings(Section):
    """The whole configuration."""

    task: Task = Field("binary", description="what is predicted")
    schema_: Schema = Field(Schema(), alias="schema", description="the events' features and label")
    source: Source = Source()
    window: Window = Window()
    trigger: Trigger = Trigger()
    train: Train = Train()
    gate: Gate = Gate()
    store: Store = Store()
    trainer: Trainer = Trainer()
    serve: Serve = Serve()
    log: Log = Log()

    @model_validator(mode="after")
    def _labels_fit_the_task(self) -> Self:
        labels = self.schema_.labels
        if self.task == "regression" and labels:
            message = "schema.labels is set, but a regression has none; remove it or change task"
            raise clash(message, "schema.labels", "task")
        if self.task == "binary" and labels and len(labels) != BINARY_CLASSES:
            message = f"schema.labels has {len(labels)} labels, but binary has 2; list two or set task: multiclass"
            raise clash(message, "schema.labels", "task")
        if self.task == "multiclass" and len(labels) == 1:
            message = "schema.labels has one label; list at least two, or none to learn them from the stream"
            raise clash(message, "schema.labels", "task")
        return self

    @model_validator(mode="after")
    def _roles_keep_apart(self) -> Self:
        if self.serve.host == self.trainer.host and self.serve.port == self.trainer.port:
            message = f"serve.port and trainer.port are both {self.serve.port} on {self.serve.host}; change one of them"
            raise clash(message, "serve.port", "trainer.port")
        if plain_path(self.store.path) == plain_path(self.trainer.state_path):
            message = f"store.path and trainer.state_path are both {self.store.path}; give each a folder of its own"
            raise clash(message, "store.path", "trainer.state_path")
        return self
