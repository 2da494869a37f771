"""Shared by all tests: a real Kafka broker, started when the first test asks for it and stopped at the end."""

import gc
import os
import threading
import warnings
from collections.abc import Iterator

import pytest

with warnings.catch_warnings():
    # kafka-python 3.0 reads its message schemas, while it is imported, in a way that Python 3.11 deprecates.
    warnings.filterwarnings("ignore", "(read|open)_text is deprecated", DeprecationWarning)
    from tests.broker import Broker, open_broker
    from tests.broker_machines import NoBrokerError

CLIENT_END_SECONDS = 5.0


@pytest.fixture(scope="session")
def kafka() -> Iterator[Broker]:
    """Yield a broker that answers. Where there is none, tests are skipped with the reason; with CI=true they fail."""
    try:
        broker = open_broker()
    except NoBrokerError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    yield broker
    broker.close()


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
