"""Opens the source and the sink that the settings name."""

from collections.abc import Sequence

from service.ingest.embedded import EmbeddedSink, EmbeddedSource
from service.ingest.kafka import KafkaSource
from service.ingest.kafka_sink import KafkaSink
from service.ingest.source import EventSink, EventSource
from service.settings import Settings


def open_source(settings: Settings, topics: Sequence[str] = (), group: str | None = None) -> EventSource:
    """Return a source over ``topics``, else those of the settings, for ``group``, else ``source.kafka.group_id``.

    Nothing is connected or opened before its first use.
    """
    source = settings.source
    chosen_topics = topics or source.topics
    chosen_group = group or source.kafka.group_id
    if source.kind == "kafka":
        return KafkaSource(source, chosen_topics, chosen_group)
    return EmbeddedSource(source.embedded.path, chosen_topics, chosen_group)


def open_sink(settings: Settings) -> EventSink:
    """Return a sink; nothing is connected or opened before its first use."""
    if settings.source.kind == "kafka":
        return KafkaSink(settings.source.kafka)
    return EmbeddedSink(settings.source.embedded.path)
