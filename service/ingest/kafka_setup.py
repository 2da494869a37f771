"""Makes the topics that are read, and those of their dead letters, where the cluster has none yet."""

from contextlib import closing
from typing import Any, NamedTuple

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError, TopicAuthorizationFailedError, for_code

from service.errors import FreshetError
from service.ingest.dead_letters import dead_letter_topic
from service.ingest.kafka_client import connect
from service.ingest.kafka_failures import unavailable
from service.settings import KafkaSource as KafkaSettings
from service.settings import Source

NO_METRICS = "metrics_enabled"  # consumers and producers take it, this client does not know it
BROKERS_CHOICE = -1


class Topic(NamedTuple):
    """A topic that is there: whether it was made now, and how many partitions it has."""

    made: bool
    partitions: int


def create_topics(source: Source, partitions: int | None, replication_factor: int | None) -> dict[str, Topic]:
    """Make what is missing, and return all topics by name; None leaves a number to the broker.

    Raises SourceUnavailableError while no broker answers, and FreshetError with the broker's reason for a topic that it
    does not make.
    """
    names = [name for topic in source.topics for name in (topic, dead_letter_topic(topic))]
    admin, _ = connect(_admin, source.kafka)
    with closing(admin):
        try:
            present = set(admin.list_topics())
            shape = {
                "num_partitions": partitions or BROKERS_CHOICE,
                "replication_factor": replication_factor or BROKERS_CHOICE,
            }
            missing = {name: shape for name in names if name not in present}
            made = _create(admin, missing, source.kafka) if missing else set()
            admin.wait_for_topics(names)
            described = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(names)}
        except KafkaError as error:
            raise unavailable(source.kafka, error) from error
    return {name: Topic(name in made, described[name]) for name in names}


def _create(admin: Any, missing: dict[str, dict[str, int]], settings: KafkaSettings) -> set[str]:  # noqa: ANN401
    """Ask for all that is missing; return what was made, and not by somebody else in the same moment."""
    answer = admin.create_topics(missing, raise_errors=False)
    made = set()
    for topic in answer["topics"]:
        error = for_code(topic["error_code"])
        if not topic["error_code"]:
            made.add(topic["name"])
        elif error is TopicAuthorizationFailedError:
            raise unavailable(settings, TopicAuthorizationFailedError({topic["name"]}))
        elif error is not TopicAlreadyExistsError:
            why = topic.get("error_message") or error.__name__
            raise FreshetError(f"Kafka at {settings.bootstrap_servers} does not make topic {topic['name']}: {why}")
    return made


def _admin(**arguments: Any) -> KafkaAdminClient:  # noqa: ANN401 - kafka-python ships no types
    return KafkaAdminClient(**{name: value for name, value in arguments.items() if name != NO_METRICS})
