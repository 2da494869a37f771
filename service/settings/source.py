"""The `source` section: where labelled events come from."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from service.settings.base import Section, Text
from service.settings.checks import possible_topic, reachable_servers


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
