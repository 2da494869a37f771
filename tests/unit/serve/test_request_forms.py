"""The forms of requests, as the configured features shape them."""

from service.serve.request_forms import events_body, predict_body
from service.settings import Settings

SETTINGS = Settings.model_validate(
    {"schema": {"numeric": ["n"], "vector": {"v": 2, "w": 3}, "nullable": ["w"], "labels": ["no", "yes"]}}
)


def test_a_vector_is_an_array_of_so_many_numbers() -> None:
    """The description says how long it is, and whether it may be null; the example fits."""
    media = predict_body(SETTINGS)["requestBody"]["content"]["application/json"]
    form = media["schema"]
    features = form["properties"]["instances"]["items"]
    assert features["properties"] == {
        "n": {"type": "number"},
        "v": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
        "w": {"type": ["array", "null"], "items": {"type": "number"}, "minItems": 3, "maxItems": 3},
    }
    assert features["required"] == ["n", "v"]
    assert media["example"]["instances"] == [{"n": 1.5, "v": [1.5, 1.5], "w": [1.5, 1.5, 1.5]}]
    events = events_body(SETTINGS)["requestBody"]["content"]["application/json"]
    assert events["example"]["events"][0]["features"] == media["example"]["instances"][0]
