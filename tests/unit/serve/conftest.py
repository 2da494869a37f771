"""Running servers for the tests of serving."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings
from tests.unit.serve.builders import publish, settings_in
from tests.unit.serve.running import Service, running


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Return a function that starts a server with the given settings, or some of its own."""
    with ExitStack() as stack:

        def start(settings: Settings | None = None, **serve: Any) -> Service:
            return stack.enter_context(running(settings or settings_in(tmp_path, **serve)))

        yield start


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a server with a checkpoint and small limits, for tests that only ask."""
    settings = settings_in(tmp_path_factory.mktemp("ready"), max_body_bytes=20_000, max_instances=50)
    publish(settings)
    with running(settings) as service:
        yield service
