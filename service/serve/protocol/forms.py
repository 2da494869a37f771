"""The forms of the protocol's answers and requests, as OpenAPI shows them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service import __version__
from service.model.features import FeatureColumns
from service.serve.protocol.answer import output_names
from service.serve.protocol.columns import Feature, features_of
from service.serve.protocol.tensors import BOOL, BYTES
from service.serve.schemas import EXAMPLE_ID, EXAMPLE_TIME
from service.settings import Settings

Parameters = dict[str, str | float | bool]

EXAMPLE_LABELS = '["no","yes"]'
ROWS = (
    "Shown for one row. For n rows each shape begins with n, and `data` holds n times as much, row by row, flat or "
    "nested. Inputs come in any order; numbers in any datatype of numbers; those of nullable features may be left out. "
    "With the binary tensor data extension `parameters.binary_data_size` stands in the place of `data`."
)
EXAMPLES: dict[str, list[Any]] = {BYTES: ["text"], BOOL: [True]}


class Form(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(protected_namespaces=(), json_schema_serialization_defaults_required=True)


class InferenceError(Form):
    """What went wrong, in the form of the Open Inference Protocol."""

    error: str = Field(examples=["input 'age' stands more than once; which is meant?"])


class ServerMetadata(Form):
    """The server."""

    name: str = Field(examples=["freshet"])
    version: str = Field(examples=[__version__])
    extensions: list[str] = Field(examples=[["binary_tensor_data", "classification"]])


class Live(Form):
    """It lives; the status says so, too."""

    live: Literal[True]


class Ready(Form):
    """It answers; the status says so, too."""

    ready: Literal[True]


class ModelReady(Ready):
    """The model answers; the status says so, too."""

    name: str = Field(examples=["freshet"])


class TensorMetadata(Form):
    """An input or output; a size of -1 is the number of rows."""

    name: str = Field(examples=["age"])
    datatype: str = Field(examples=["FP64"])
    shape: list[int] = Field(examples=[[-1]])
    parameters: Parameters = Field(
        examples=[{"nullable": True}], description="`nullable`: the input, or values in it, may be missing"
    )


class ModelMetadata(Form):
    """The model: `versions` are the checkpoint that answers, alone."""

    name: str = Field(examples=["freshet"])
    versions: list[str] = Field(examples=[[EXAMPLE_ID]])
    platform: str = Field(examples=["freshet"])
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: Parameters = Field(
        examples=[{"trained_until": EXAMPLE_TIME, "labels": EXAMPLE_LABELS}],
        description="`trained_until`; `labels`: a JSON array in the order of the probabilities; `packed_input`: the "
        "one input that can hold all features as numbers, in the order of `inputs`, with `packed_width` numbers a row",
    )


def _no_nulls(schema: dict[str, Any]) -> None:
    """Describe what may be absent as it is sent: never null."""
    for name in ("id", "data", "parameters"):
        if name in schema["properties"] and name in schema["required"]:
            schema["required"].remove(name)


class OutputTensor(Form):
    """An output; without `data` if it was asked for in bytes."""

    model_config = ConfigDict(json_schema_extra=_no_nulls)

    name: str = Field(examples=["label"])
    datatype: str = Field(examples=[BYTES])
    shape: list[int] = Field(examples=[[1]])
    data: list[str | float] | None = Field(None, examples=[["yes"]])
    parameters: Parameters | None = Field(
        None, examples=[{"labels": EXAMPLE_LABELS}], description="`labels` of the probabilities; `binary_data_size`"
    )


class InferAnswer(Form):
    """Outputs for all rows, by one checkpoint."""

    model_config = ConfigDict(json_schema_extra=_no_nulls)

    model_name: str = Field(examples=["freshet"])
    model_version: str = Field(examples=[EXAMPLE_ID], description="the checkpoint's id")
    id: str | None = Field(None, examples=["42"], description="the request's, if it had one")
    parameters: Parameters = Field(
        examples=[{"trained_until": EXAMPLE_TIME}],
        description="`trained_until`; `warnings`: what the model has never seen, such as a new category",
    )
    outputs: list[OutputTensor]


def infer_body(settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI request body of an inference, with the configured features, exact for a single row."""
    features = features_of(FeatureColumns(settings.schema_))
    needed = [place for place, feature in enumerate(features, start=1) if not feature.nullable]
    parameters = {"type": ["object", "null"], "description": "`binary_data_output`: all outputs as bytes"}
    names = [{"name": name} for name in output_names(settings.task)]
    outputs = {"type": ["array", "null"], "uniqueItems": True, "items": {"enum": names}}
    form = {
        "type": "object",
        "description": ROWS,
        "properties": {
            "id": {"type": ["string", "null"], "description": "said again in the answer"},
            "inputs": {
                "type": "array",
                "prefixItems": [_input_form(feature) for feature in features],
                "minItems": max(needed, default=1),
                "maxItems": len(features),
            },
            "outputs": outputs | {"description": "all, if none is named; each may have parameters: `binary_data`"},
            "parameters": parameters,
        },
        "required": ["inputs"],
    }
    inputs = [
        {"name": feature.name, "datatype": feature.datatype, "shape": _shape(feature), "data": _example(feature)}
        for feature in features
    ]
    return {"content": {"application/json": {"schema": form, "example": {"id": "42", "inputs": inputs}}}}


def _input_form(feature: Feature) -> dict[str, Any]:
    kinds = {BYTES: "string", BOOL: "boolean"}
    kind: Any = kinds.get(feature.datatype, "number")
    width = feature.width or 1
    data: dict[str, Any] = {"type": "array", "items": {"type": kind}, "minItems": width, "maxItems": width}
    if feature.nullable:
        data = {"anyOf": [data, {"const": [None]}]}
    return {
        "type": "object",
        "properties": {
            "name": {"const": feature.name},
            "datatype": {"const": feature.datatype},
            "shape": {"const": _shape(feature)},
            "data": data,
            "parameters": {"type": ["object", "null"]},
        },
        "required": ["name", "datatype", "shape", "data"],
    }


def _shape(feature: Feature) -> list[int]:
    return [1] if feature.width is None else [1, feature.width]


def _example(feature: Feature) -> list[Any]:
    return EXAMPLES.get(feature.datatype, [1.5] * (feature.width or 1))
