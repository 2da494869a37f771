"""The `serve` section: the role that answers."""

from typing import Annotated

from pydantic import Field

from service.settings.base import Port, Seconds, Section, Text


class Serve(Section):
    """The role that answers."""

    host: Text = Field("127.0.0.1", description="address of the HTTP server")
    port: Port = Field(8000, description="port of the HTTP server")
    model_name: Text = Field("freshet", description="the model's name to clients")
    max_instances: Annotated[int, Field(ge=1, le=1_000_000)] = Field(10_000, description="most instances a request")
    max_body_bytes: Annotated[int, Field(ge=1_024)] = Field(16 * 2**20, description="largest body of a request")
    watch_seconds: Annotated[float, Field(gt=0, le=60)] = Field(
        0.25, description="time between two looks at the store's pointer"
    )
    grace_seconds: Seconds = Field(10.0, description="time that open requests have to finish at a stop")
