"""Answers in tensors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.records import FloatArray
from service.serve.predictor import Serving
from service.serve.problems import ProblemError
from service.serve.protocol.answer import answer_of, wanted_of
from service.serve.protocol.request import Wanted
from tests.unit.serve.builders import TRAINED_UNTIL, checkpoint_of, settings_in
from tests.unit.serve.inference import CHECKPOINT, NUMBERS, framed, model_of, parsed, tensor

OUTPUTS = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
LABELS = ("a", "ä:b", "c")


def answered(wanted: list[Wanted], outputs: FloatArray = OUTPUTS, **more: Any) -> tuple[dict[str, Any], bytes]:
    """Return the JSON of an answer, and what comes behind it."""
    task = "regression" if outputs.shape[1] == 1 else "multiclass"
    manifest = checkpoint_of(settings_in(Path()), CHECKPOINT).manifest
    serving = Serving(CHECKPOINT, manifest, model_of(NUMBERS, task=task, labels=LABELS), 0.0)
    said = {"request_id": None, "warning": "", **more}
    answer = answer_of(serving, "freshet", outputs, wanted, **said)
    length = len(answer.body) if answer.json_bytes is None else answer.json_bytes
    return json.loads(answer.body[:length]), answer.body[length:]


def test_a_classification_is_its_label_and_every_label_s_probability() -> None:
    """Row by row; the order of the labels comes with them."""
    said, rest = answered([Wanted("label", binary=False), Wanted("probabilities", binary=False)])
    assert said == {
        "model_name": "freshet",
        "model_version": CHECKPOINT,
        "parameters": {"trained_until": TRAINED_UNTIL},
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["ä:b", "a"]},
            {
                "name": "probabilities",
                "datatype": "FP64",
                "shape": [2, 3],
                "data": OUTPUTS.ravel().tolist(),
                "parameters": {"labels": '["a","ä:b","c"]'},
            },
        ],
    }
    assert rest == b""


def test_outputs_in_bytes_come_behind_the_json_in_their_order() -> None:
    """Their sizes tell where each ends; those in JSON stay there."""
    said, rest = answered([Wanted("probabilities", binary=True), Wanted("label", binary=True)])
    assert [one["parameters"]["binary_data_size"] for one in said["outputs"]] == [48, 4 + 4 + 4 + 1]
    assert "data" not in said["outputs"][0]
    assert rest == OUTPUTS.tobytes() + framed("ä:b".encode(), b"a")
    said, rest = answered([Wanted("label", binary=False), Wanted("probabilities", binary=True)])
    assert said["outputs"][0]["data"] == ["ä:b", "a"]
    assert rest == OUTPUTS.tobytes()


def test_the_likeliest_classes_may_be_asked_for() -> None:
    """As many as wanted, or as there are: probability, index and label, the likeliest first."""
    said, _ = answered([Wanted("probabilities", binary=False, classes=2)])
    assert said["outputs"] == [
        {
            "name": "probabilities",
            "datatype": "BYTES",
            "shape": [2, 2],
            "data": ["0.5:1:ä:b", "0.3:2:c", "0.6:0:a", "0.3:1:ä:b"],
        }
    ]
    said, rest = answered([Wanted("probabilities", binary=True, classes=9)], OUTPUTS[:1])
    assert said["outputs"][0]["shape"] == [1, 3]
    assert rest == framed("0.5:1:ä:b".encode(), b"0.3:2:c", b"0.2:0:a")


def test_a_regression_is_its_value() -> None:
    """One number a row."""
    said, _ = answered([Wanted("value", binary=False)], np.array([[1.5], [-2.0]]))
    assert said["outputs"] == [{"name": "value", "datatype": "FP64", "shape": [2], "data": [1.5, -2.0]}]


def test_the_request_s_id_and_warnings_are_said() -> None:
    """An id only if there was one."""
    said, _ = answered([Wanted("label", binary=False)], request_id="7", warning="city is new")
    assert said["id"] == "7"
    assert said["parameters"] == {"trained_until": TRAINED_UNTIL, "warnings": "city is new"}


def test_all_outputs_are_meant_if_none_is_named() -> None:
    """In bytes if the request says so."""
    request = parsed({"inputs": [tensor("x", "FP64", [1.0])], "parameters": {"binary_data_output": True}})
    assert wanted_of(request, "binary") == (Wanted("label", binary=True), Wanted("probabilities", binary=True))
    assert wanted_of(request, "regression") == (Wanted("value", binary=True),)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({"name": "value"}, "output 'value' is not known; this model has label and probabilities"),
        ({"name": "label", "parameters": {"classification": 1}}, "not one that classification can be asked of"),
    ],
)
def test_outputs_that_there_are_not_are_refused(output: dict[str, Any], said: str) -> None:
    """Before the model is asked."""
    request = parsed({"inputs": [tensor("x", "FP64", [1.0])], "outputs": [output]})
    with pytest.raises(ProblemError, match=said):
        wanted_of(request, "binary")
