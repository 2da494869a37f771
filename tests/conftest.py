"""Shared by all tests: a real Kafka broker, started when the first test asks for it and stopped at the end."""

import os
import warnings
from collections.abc import Iterator

import pytest

with warnings.catch_warnings():
    # kafka-python 3.0 reads its message schemas, while it is imported, in a way that Python 3.11 deprecates.
    warnings.filterwarnings("ignore", "(read|open)_text is deprecated", DeprecationWarning)
    from tests.broker import Broker, NoBrokerError, open_broker


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
