"""What a model answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.model.encoder import Encoder
from service.model.learned import LearnedModel, build_network
from service.serve import predictor
from service.serve.instances import encode_instances
from service.serve.predictor import INLINE_ROWS, Prediction, Predictor, answers, warm_up
from tests.unit.serve.builders import INSTANCE, checkpoint_of, encoder_of, settings_in


def model_for(folder: Path, *, spoilt: bool = False, **settings: object) -> LearnedModel:
    """Return a small model."""
    checkpoint = checkpoint_of(settings_in(folder, **settings), "000001-00000000", spoilt=spoilt)  # type: ignore[arg-type]
    return LearnedModel.from_parts(checkpoint.tensors, checkpoint.encoder)


def predict(model: LearnedModel, instances: list[dict[str, Any]]) -> list[Prediction]:
    """Return what a model says of instances."""
    numbers, codes, warnings = encode_instances(model, instances, 10**6)
    return answers(model, model.predict(numbers, codes), warnings)


def test_a_classifier_answers_with_the_likeliest_label_and_all_probabilities(tmp_path: Path) -> None:
    """Scores map every label to its probability; the label is the one with the largest."""
    model = model_for(tmp_path, task="multiclass", labels=("a", "b", "c"))
    for age in (1, 40, 90):
        (answer,) = predict(model, [{**INSTANCE, "age": age}])
        assert list(answer["scores"]) == ["a", "b", "c"]
        assert sum(answer["scores"].values()) == pytest.approx(1)
        assert answer["label"] == max(answer["scores"], key=answer["scores"].__getitem__)
        assert "warnings" not in answer


def test_a_regression_answers_with_its_value(tmp_path: Path) -> None:
    """Scores hold `value` alone, in label units, and the label is the same number."""
    model = model_for(tmp_path, task="regression", labels=())
    numbers = np.array([[41, 1200.5, 1.0]])
    value = model.predict(numbers, np.array([[2]]))[0, 0]
    assert predict(model, [INSTANCE]) == [{"label": value, "scores": {"value": value}}]


def test_rows_of_a_batch_are_answered_as_they_would_be_alone(tmp_path: Path) -> None:
    """Order and company make no difference."""
    model = model_for(tmp_path)
    instances = [{**INSTANCE, "age": age} for age in range(300)]
    together = predict(model, instances)
    for index in (0, 17, 299):
        (alone,) = predict(model, [instances[index]])
        assert alone["scores"] == pytest.approx(together[index]["scores"])


def test_absurd_numbers_are_answered(tmp_path: Path) -> None:
    """The largest double is clipped by the encoder, not a failure."""
    (answer,) = predict(model_for(tmp_path), [{**INSTANCE, "age": 1.7e308, "income": -1.7e308}])
    assert sum(answer["scores"].values()) == pytest.approx(1)


def test_a_quick_model_may_be_asked_on_the_event_loop_and_a_slow_one_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warm-up finds out for how many instances."""
    model = model_for(tmp_path)
    monkeypatch.setattr(predictor, "INLINE_SECONDS", 60.0)
    assert warm_up(model) == INLINE_ROWS[0]
    monkeypatch.setattr(predictor, "INLINE_SECONDS", 0.0)
    assert warm_up(model) == 0


def test_a_model_of_nan_does_not_pass_the_warm_up(tmp_path: Path) -> None:
    """Spoilt weights are found before they serve."""
    with pytest.raises(ValueError, match="NaN"):
        warm_up(model_for(tmp_path, spoilt=True))


def test_labels_that_json_cannot_hold_do_not_pass_the_warm_up(tmp_path: Path) -> None:
    """Half a surrogate pair in a label would fail every answer, so it fails the swap."""
    encoder = encoder_of(settings_in(tmp_path))
    odd = Encoder(**{**vars(encoder), "labels": ("no", "\ud800")})
    with pytest.raises(ValueError, match="surrogates"):
        warm_up(LearnedModel(odd, build_network(odd)))


def test_nothing_serves_at_first() -> None:
    """A new predictor is not ready and says why."""
    empty = Predictor()
    assert empty.current is None
    assert empty.ready() == "no checkpoint has been read yet"
