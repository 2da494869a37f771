"""service/ingest/kafka_client.py."""

import logging
from collections.abc import Iterator

import pytest
from kafka.cluster import ClusterMetadata
from kafka.errors import InvalidTopicError, UnknownTopicOrPartitionError
from kafka.protocol.metadata import MetadataResponse

from service.ingest.kafka_client import client_arguments, quieten
from service.settings import KafkaSource


@pytest.fixture
def levels() -> Iterator[None]:
    """Put the levels of the two loggers back afterwards."""
    loggers = (logging.getLogger(), logging.getLogger("kafka"))
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


def test_several_servers_are_told_apart() -> None:
    """The setting joins them by commas; blanks around them do not matter."""
    arguments = client_arguments(KafkaSource(bootstrap_servers="a:1, b:2"))
    assert arguments["bootstrap_servers"] == ["a:1", "b:2"]


@pytest.mark.usefixtures("levels")
def test_the_librarys_log_is_heard_at_debug_only() -> None:
    """kafka-python logs an error for every refused connection; only who debugs wants to read that."""
    logging.getLogger().setLevel(logging.INFO)
    quieten()
    assert not logging.getLogger("kafka.net").isEnabledFor(logging.ERROR)
    logging.getLogger("kafka").setLevel(logging.NOTSET)
    logging.getLogger().setLevel(logging.DEBUG)
    quieten()
    assert logging.getLogger("kafka.net").isEnabledFor(logging.DEBUG)


@pytest.mark.usefixtures("levels")
def test_a_missing_topic_floods_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Not even at debug: kafka-python says so ten times a second. What else it says of topics is heard."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="kafka")  # whatever was quietened before
    quieten()
    cluster = ClusterMetadata()
    cluster.set_topics(["away"])
    broker = MetadataResponse.MetadataResponseBroker(0, "a", 1, None, version=5)
    for error in (UnknownTopicOrPartitionError, InvalidTopicError):
        topic = MetadataResponse.MetadataResponseTopic(error_code=error.errno, name="away", partitions=[], version=5)
        cluster.update_metadata(MetadataResponse(brokers=[broker], controller_id=0, topics=[topic], version=5))
    assert [record.levelname for record in caplog.records if "away" in record.getMessage()] == ["ERROR"]
