"""What tracing needs beside Freshet itself."""

from importlib.util import find_spec

from service.errors import ConfigurationError
from service.settings import Settings

NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def require_tracing(settings: Settings) -> None:
    """Raise ConfigurationError if traces are wanted and what they need is not installed."""
    if settings.telemetry.traces and not all(map(_installed, NEEDED)):
        raise ConfigurationError(
            "telemetry.traces is true, but OpenTelemetry is not installed; install Freshet with its extra `otel` "
            "(pip install '.[otel]' in the checkout), or set telemetry.traces to false"
        )


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it is missing
        return False
