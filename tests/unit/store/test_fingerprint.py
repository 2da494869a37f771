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
        settings(vector={"v": 2}),
        settings(labels=["no", "yes"]),
        settings().model_copy(update={"task": "multiclass"}),
    ],
    ids=["order", "kind", "nullable", "vector", "labels", "task"],
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


def own(**model: object) -> Settings:
    """Return settings with a network of the user's own."""
    return Settings.model_validate({"train": {"model": {"module": "a.b:c", **model}}})


@pytest.mark.parametrize(
    "other",
    [own(module="a.b:d"), own(arguments={"width": 3}), own(normalise=False), own(max_categories=5)],
    ids=["module", "arguments", "normalise", "max_categories"],
)
def test_whatever_changes_a_network_of_ones_own_changes_its_fingerprint(other: Settings) -> None:
    """A checkpoint of one is not taken for that of another."""
    assert model_fingerprint(other) != model_fingerprint(own())


def test_the_built_in_networks_keys_and_the_place_of_weights_leave_such_a_fingerprint_alone() -> None:
    """Where weights came from is one machine's own, once they are in a checkpoint."""
    assert model_fingerprint(own(hidden=[5], dropout=0.3, normalise=True)) == model_fingerprint(own())
    assert model_fingerprint(own(weights="a")) == model_fingerprint(own(weights="b")) != model_fingerprint(own())


def test_vectors_are_named_with_their_lengths() -> None:
    """What a reader of a mismatch needs to see."""
    one, two = schema_values(settings(vector={"v": 2})), schema_values(settings(vector={"v": 3}))
    assert difference(one, two) == "vector without v[2] and now with v[3]"
