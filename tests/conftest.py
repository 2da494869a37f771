"""Shared by all tests: a real Kafka broker, started when the first test asks for it and stopped at the end."""

import gc
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from typing import NoReturn

import pytest
import structlog

# As trainer and server do: on few cores the threads of a small network's arithmetic fight each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

with warnings.catch_warnings():
    # kafka-python 3.0 reads its message schemas, while it is imported, in a way that Python 3.11 deprecates.
    warnings.filterwarnings("ignore", "(read|open)_text is deprecated", DeprecationWarning)
    from tests.broker import Broker, open_broker
    from tests.broker_machines import NoBrokerError
    from tests.broker_security import can_secure

CLIENT_END_SECONDS = 20.0


def not_here(reason: str) -> NoReturn:
    """Skip a test for what this machine lacks; with CI=true it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def opened(*, own: bool) -> Broker:
    """Return a broker that answers, or skip what wants one."""
    try:
        return open_broker(own=own)
    except NoBrokerError as error:
        not_here(str(error))


@pytest.fixture(scope="session")
def kafka() -> Iterator[Broker]:
    """Yield a broker that answers: the one in FRESHET_TEST_KAFKA, else one of our own."""
    broker = opened(own=False)
    yield broker
    broker.close()


@pytest.fixture(scope="session")
def own_kafka(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Yield a broker of our own, which may be killed and has secured listeners; ``kafka`` itself where that is one."""
    if not os.environ.get("FRESHET_TEST_KAFKA"):
        yield request.getfixturevalue("kafka")
        return
    broker = opened(own=True)
    yield broker
    broker.close()


@pytest.fixture(scope="session")
def secure_kafka(own_kafka: Broker) -> Broker:
    """Return a broker of our own with secured listeners."""
    if not can_secure():
        not_here("certificates for the test broker's secured listeners are made by openssl; install it")
    return own_kafka


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Undo what a test, or a program that it runs in this process, makes of logs: others listen to them, too."""
    configured = structlog.get_config() if structlog.is_configured() else None
    root = logging.getLogger()
    level = root.level
    yield
    structlog.reset_defaults()
    if configured is not None:
        structlog.configure(**configured)
    # Ours alone: pytest has its own there.
    root.handlers = [handler for handler in root.handlers if type(handler) is not logging.StreamHandler]
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture
def kafka_leftovers() -> Iterator[None]:
    """Collect the sockets that kafka-python leaves behind, without the warnings that are due to it.

    It never closes the socket of a refused connection, nor of one that was still being made when a client was closed.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)
        yield
        for thread in threading.enumerate():  # a client that was closed in the middle of something ends a little later
            if thread.name.startswith("kafka-io-") or thread.name.endswith("-network-thread"):
                thread.join(CLIENT_END_SECONDS)
        gc.collect()


@pytest.fixture(autouse=True)
def _kafka_tests_leave_nothing(request: pytest.FixtureRequest) -> None:
    """Have each test of a real broker tidy up, so that no later test gets the blame."""
    if request.node.get_closest_marker("kafka"):
        request.getfixturevalue("kafka_leftovers")
