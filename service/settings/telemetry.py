"""The `telemetry` section: traces for OpenTelemetry."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from service.settings.base import Section, Text


def _collector(text: str) -> str:
    try:
        url = urlsplit(text)
        named = url.scheme in ("http", "https") and url.hostname and (url.port is None or url.port)
    except ValueError:
        named = False
    if not named or url.query or url.fragment:
        message = "it is no URL of a collector, such as http://127.0.0.1:4318"
        raise ValueError(message)
    if url.username is not None or url.password is not None:
        message = "it holds credentials; leave them out, and send them by OTEL_EXPORTER_OTLP_HEADERS in the environment"
        raise ValueError(message)
    return text


class Telemetry(Section):
    """What is told to OpenTelemetry; the extra `otel` brings what it needs, OTEL_* variables set the rest."""

    traces: bool = Field(default=False, description="send spans of requests, batches, rounds and swaps to a collector")
    endpoint: Annotated[Text, AfterValidator(_collector)] | None = Field(
        None,
        description="base URL of the collector, spoken to by OTLP over HTTP; "
        "null: that of OTEL_EXPORTER_OTLP_ENDPOINT, else http://localhost:4318",
    )
    sample: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="share of requests that are traced unless the caller has decided; rounds and swaps always are"
    )
