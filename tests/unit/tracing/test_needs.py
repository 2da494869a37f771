"""What tracing needs, and what its absence costs."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import ConfigurationError
from service.observer import Observer
from service.serve.batching import Batcher
from service.settings import Settings
from service.tracing.needs import require_tracing
from service.tracing.server import server_parts

ON = Settings.model_validate({"telemetry": {"traces": True}})

UNTRACED = """
import sys
from service.observer import Observer
from service.settings import Settings
from service.tracing.trainer import trainer_parts
observer = Observer()
assert trainer_parts(Settings(), observer).observer is observer
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""


def test_untraced_a_server_has_the_parts_that_it_always_had() -> None:
    """The observer and the application themselves, and a batcher of the plain class: nothing is in the way."""
    observer = Observer()
    parts = server_parts(Settings(), observer)
    assert parts.observer is observer
    assert type(parts.batcher) is Batcher
    assert parts.around(parts) is parts  # type: ignore[arg-type, comparison-overlap] # anything would do
    parts.close()


def test_untraced_nothing_of_opentelemetry_is_loaded() -> None:
    """In a process of its own, where no other test has loaded it."""
    subprocess.run([sys.executable, "-c", UNTRACED], cwd=Path(__file__).parents[3], check=True)


@pytest.mark.parametrize("missing", ["opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"])
def test_a_missing_extra_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With traces on, one line names the extra, and the exit code is 2; with traces off nobody asks."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigurationError, match=r"'\.\[otel\]' in the checkout") as caught:
        require_tracing(ON)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    require_tracing(Settings())


@pytest.mark.parametrize("missing", [False, True])
def test_with_the_extra_it_is_well(missing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own environment has the extra; a package that is missing as a whole counts as missing, too."""
    if not missing:
        require_tracing(ON)
        return
    monkeypatch.setattr("service.tracing.needs.NEEDED", ("no_such_package.sdk",))
    with pytest.raises(ConfigurationError, match="OpenTelemetry is not installed"):
        require_tracing(ON)
