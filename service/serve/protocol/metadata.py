"""What the protocol tells of the server and its model."""

from typing import Any

from service import __version__
from service.serve.predictor import Serving
from service.serve.protocol.answer import PROBABILITIES, labels_text, output_names
from service.serve.protocol.columns import features_of, packed_name
from service.serve.protocol.forms import ModelMetadata, ServerMetadata, TensorMetadata
from service.serve.protocol.tensors import BYTES

PLATFORM = "freshet"
EXTENSIONS = ["binary_tensor_data", "classification"]


def server_metadata() -> ServerMetadata:
    """Return what the server is."""
    return ServerMetadata(name=PLATFORM, version=__version__, extensions=EXTENSIONS)


def model_metadata(serving: Serving, model_name: str) -> ModelMetadata:
    """Return which inputs and outputs the serving checkpoint has."""
    model = serving.model
    inputs = [
        TensorMetadata(
            name=feature.name,
            datatype=feature.datatype,
            shape=[-1] if feature.width is None else [-1, feature.width],
            parameters={"nullable": True} if feature.nullable else {},
        )
        for feature in features_of(model.columns)
    ]
    outputs = [
        TensorMetadata(
            name=name,
            datatype=BYTES if name == "label" else "FP64",
            shape=[-1, len(model.labels)] if name == PROBABILITIES else [-1],
            parameters={},
        )
        for name in output_names(model.task)
    ]
    parameters: dict[str, Any] = {}
    if serving.manifest.trained_until is not None:
        parameters["trained_until"] = serving.manifest.trained_until
    if model.labels:
        parameters["labels"] = labels_text(model.labels)
    packed = packed_name(model.columns)
    if packed is not None:
        parameters |= {"packed_input": packed, "packed_datatype": "FP32", "packed_width": model.columns.width}
    return ModelMetadata(
        name=model_name,
        versions=[serving.checkpoint_id],
        platform=PLATFORM,
        inputs=inputs,
        outputs=outputs,
        parameters=parameters,
    )
