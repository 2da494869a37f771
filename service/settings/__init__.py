"""The configuration as one frozen tree: every key with its default, bounds and meaning.

`configuration.py` reads it from file, environment and command line.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from service.settings.base import Section
from service.settings.checks import clash, plain_path
from service.settings.drift import Drift
from service.settings.gate import Gate
from service.settings.kafka import KafkaSecurity, KafkaSource
from service.settings.learning import Train, Window, Worker
from service.settings.network import Layers, Network, Strategy
from service.settings.portfolio import Member
from service.settings.schema import BINARY_CLASSES, Schema, Task, label_text
from service.settings.serving import Serve
from service.settings.source import EmbeddedSource, Source
from service.settings.telemetry import Telemetry
from service.settings.trainer import Store, Trainer
from service.settings.trigger import Trigger

__all__ = [
    "BINARY_CLASSES",
    "Drift",
    "EmbeddedSource",
    "Gate",
    "KafkaSecurity",
    "KafkaSource",
    "Layers",
    "Log",
    "Member",
    "Network",
    "Schema",
    "Serve",
    "Settings",
    "Source",
    "Store",
    "Strategy",
    "Task",
    "Telemetry",
    "Train",
    "Trainer",
    "Trigger",
    "Window",
    "Worker",
    "label_text",
]


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
    drift: Drift = Drift()
    store: Store = Store()
    trainer: Trainer = Trainer()
    serve: Serve = Serve()
    log: Log = Log()
    telemetry: Telemetry = Telemetry()

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
    def _a_regression_has_no_classes_to_balance(self) -> Self:
        if self.task == "regression" and self.window.replay_selection == "class_balanced":
            message = "window.replay_selection is class_balanced, but a regression has no classes; choose another"
            raise clash(message, "window.replay_selection", "task")
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
