"""The `source` section: where labelled events come from."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from service.settings.base import Section
from service.settings.checks import clash, possible_topic
from service.settings.kafka import KafkaSource

# Kafka's longest name has 249 characters, and the dead letters' topic ends in .dlq.
Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,245}$"), AfterValidator(possible_topic)]


class EmbeddedSource(Section):
    """Where the embedded log lies."""

    path: Path = Field(Path("freshet-data/log.sqlite"), description="one SQLite file; made when absent")


class Source(Section):
    """Where labelled events come from."""

    kind: Literal["embedded", "kafka"] = Field("embedded", description="the durable log in a file, or Kafka")
    topic: Topic = Field("events", description="topic of events; also the one that `send` and /v1/events write to")
    more_topics: tuple[Topic, ...] = Field((), description="topics that the trainer reads beside `topic`")
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

    @property
    def topics(self) -> tuple[str, ...]:
        """All topics that are read, ``topic`` first."""
        return (self.topic, *self.more_topics)

    @model_validator(mode="after")
    def _each_topic_is_read_once(self) -> Self:
        twice = [topic for topic in self.topics if self.topics.count(topic) > 1]
        if twice:
            message = f"topic {twice[0]!r} would be read twice; list each topic once"
            raise clash(message, "source.topic", "source.more_topics")
        letters = {f"{topic}.dlq" for topic in self.topics} & set(self.topics)
        if letters:
            message = f"topic {min(letters)!r} keeps the dead letters of another; read it by `freshet dlq replay`"
            raise clash(message, "source.topic", "source.more_topics")
        return self
