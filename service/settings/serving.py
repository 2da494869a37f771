"""The `serve` section: the role that answers."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from service.settings.base import Port, Seconds, Section, Text
from service.settings.beside import Explain, Shadow
from service.settings.checks import clash

Briefly = Annotated[float, Field(gt=0, le=3_600)]


class Serve(Section):
    """The role that answers."""

    host: Text = Field("127.0.0.1", description="address of the HTTP server")
    port: Port = Field(8000, description="port of the HTTP server")
    model_name: Text = Field("freshet", description="the model's name to clients")
    max_instances: Annotated[int, Field(ge=1, le=1_000_000)] = Field(10_000, description="most instances a request")
    max_body_bytes: Annotated[int, Field(ge=1_024)] = Field(16 * 2**20, description="largest body of a request")
    max_header_bytes: Annotated[int, Field(ge=1_024, le=2**20)] = Field(
        16 * 2**10, description="most bytes of all headers of a request"
    )
    max_in_flight: Annotated[int, Field(ge=1, le=100_000)] = Field(
        256, description="most predictions under way at once; more are answered 503"
    )
    max_queue_instances: Annotated[int, Field(ge=1, le=100_000_000)] = Field(
        100_000, description="most instances that wait for their answer at once; requests beyond are answered 503"
    )
    max_batch_instances: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        1_024, description="most instances of several requests that are answered by one forward pass"
    )
    batch_wait_seconds: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="time that a request waits for others to share its forward pass; 0 takes those already there"
    )
    max_events_in_flight: Annotated[int, Field(ge=1, le=100_000)] = Field(
        32, description="most requests with events under way at once; more are answered 503"
    )
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        512, description="most open connections; at more, idle ones are closed, then new ones refused"
    )
    head_seconds: Briefly = Field(10.0, description="time for a request's line and headers to arrive")
    body_seconds: Briefly = Field(30.0, description="time for a request's body to arrive")
    keep_alive_seconds: Briefly = Field(75.0, description="time that a connection may be idle between two requests")
    tokens_file: Path | None = Field(
        None, description="file of lines name:role:token, role events or admin; reread when it changes"
    )
    watch_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        0.05, description="time between two looks at the store's pointer"
    )
    shadow: Shadow = Shadow()
    explain: Explain = Explain()
    grace_seconds: Seconds = Field(10.0, description="time that open requests have to finish at a stop")
    announce_seconds: Annotated[float, Field(ge=0, le=600)] = Field(
        0.0, description="part of the grace time in which a stopping server still listens, while /readyz says 503"
    )

    @model_validator(mode="after")
    def _announcing_leaves_time(self) -> Self:
        if self.announce_seconds >= self.grace_seconds:
            message = (
                f"serve.announce_seconds is {self.announce_seconds:g}, which leaves nothing of the "
                f"{self.grace_seconds:g} seconds of serve.grace_seconds; make it shorter"
            )
            raise clash(message, "serve.announce_seconds", "serve.grace_seconds")
        return self
