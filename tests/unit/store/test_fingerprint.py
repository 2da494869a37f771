"""Fingerprints of schema and model."""

import pytest

from service.settings import Settings
from service.store.fingerprint import difference, fingerprint, model_fingerprint, schema_fingerprint, schema_values


def settings(**schema: object) -> Settings:
    """Return settings with a schema of their own."""
    return Settings.model_validate({"schema": {"numeric": ["a", "b"], "categorical": ["c"], **schema}})


def test_a_fingerprint_is_the_same_everywhere() -> None:
    """It lies in files for years, so its value is fixed here; the order of keys does not matter."""
    assert fingerprint({"b": 1, "a": [1, 2]}) == fingerprint({"a": [1, 2], "b": 1}) == "94a786c3662bc7be"


@pytest.mark.parametrize(
    "other",
    [
        settings(numeric=["b", "a"]),
        settings(numeric=["a"], boolean=["b"]),
        settings(nullable=["a"]),
        settings(labels=["no", "yes"]),
        settings().model_copy(update={"task": "multiclass"}),
    ],
    ids=["order", "kind", "nullable", "labels", "task"],
)
def test_whatever_changes_the_columns_changes_the_schemas_fingerprint(other: Settings) -> None:
    """Columns in another order are another schema."""
    assert schema_fingerprint(other) != schema_fingerprint(settings())


def test_what_leaves_the_columns_alone_leaves_the_fingerprint_alone() -> None:
    """The label's column in files, the order of nullable names, and everything outside the schema."""
    one = Settings.model_validate({"schema": {"numeric": ["a", "b"], "nullable": ["a", "b"]}})
    two = Settings.model_validate(
        {"schema": {"numeric": ["a", "b"], "nullable": ["b", "a"], "label": "y"}, "window": {"events": 99}}
    )
    assert schema_fingerprint(one) == schema_fingerprint(two)


def test_the_models_fingerprint_tells_whether_weights_fit() -> None:
    """Other widths do not; dropout and the learning rate have no weights."""
    base = Settings()
    wider = Settings.model_validate({"train": {"model": {"hidden": [96, 97]}}})
    trained_otherwise = Settings.model_validate({"train": {"model": {"dropout": 0.5}, "learning_rate": 0.1}})
    assert model_fingerprint(wider) != model_fingerprint(base)
    assert model_fingerprint(trained_otherwise) == model_fingerprint(base)


def test_a_difference_is_told_in_words() -> None:
    """Features that went and came, an order that changed, a value that is another one; nothing for equals."""
    old = schema_values(settings())
    new = schema_values(settings(numeric=["b", "d"], labels=["no", "yes"]))
    assert difference(old, old) == ""
    assert difference(old, new) == 'labels was not set, is now ["no","yes"]; numeric without a and now with d'
    assert difference({"n": [1, 2], "t": "x"}, {"n": [2, 1], "t": "y"}) == 'n in another order; t was "x", is now "y"'
