"""The settings tree: bounds, frozenness, and what has to fit together."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from service.settings import Schema, Section, Settings, label_text
from service.store.manifest import fresh_id


def every_section(model: type[BaseModel] = Settings) -> Iterator[type[BaseModel]]:
    """Yield the settings class and all sections below it."""
    yield model
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from every_section(field.annotation)


def settings(**tree: Any) -> Settings:
    """Validate a tree of plain values."""
    return Settings.model_validate(tree)


@pytest.mark.parametrize("section", list(every_section()), ids=lambda section: section.__name__)
def test_every_key_is_described_and_every_section_is_frozen_and_closed(section: type[BaseModel]) -> None:
    """A section takes no unknown key, cannot be changed, and says what each of its keys means."""
    assert issubclass(section, Section)
    assert section.model_config["frozen"]
    assert section.model_config["extra"] == "forbid"
    for name, field in section.model_fields.items():
        is_section = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        assert field.description or is_section, f"{section.__name__}.{name} has no description"


@pytest.mark.parametrize("section", list(every_section()), ids=lambda section: section.__name__)
def test_every_number_is_bounded_from_below(section: type[BaseModel]) -> None:
    """A number without a least value would let through what makes no sense, such as a negative count."""
    for name, key in section.model_json_schema(by_alias=True)["properties"].items():
        for choice in key.get("anyOf", [key]):
            if choice.get("type") in ("integer", "number"):
                assert "minimum" in choice or "exclusiveMinimum" in choice, f"{section.__name__}.{name}"


def test_the_defaults_need_nothing() -> None:
    """All defaults together are valid: only the schema is left to the user."""
    assert Settings() == settings()
    assert Settings().schema_.names == ()


def test_a_setting_cannot_be_changed() -> None:
    """Settings are frozen once read."""
    with pytest.raises(ValidationError, match="frozen"):
        Settings().window.events = 5  # type: ignore[misc] # that is the point


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"schema": {"numeric": ["a"], "boolean": ["a"]}}, "'a' is listed twice"),
        ({"schema": {"numeric": ["a", "a"]}}, "'a' is listed twice"),
        ({"schema": {"numeric": ["a"], "nullable": ["b"]}}, "nullable names 'b'"),
        ({"schema": {"numeric": ["a"], "vector": {"a": 2}}}, "'a' is listed twice"),
        ({"schema": {"vector": {"a": 0}}}, "greater than or equal to 1"),
        ({"train": {"model": {"module": "no factory"}}}, "pattern"),
        ({"train": {"model": {"weights": "w.safetensors"}}}, "train.model.weights is for a network of your own"),
        ({"train": {"model": {"arguments": {"depth": 2}}}}, "train.model.arguments is for a network of your own"),
        ({"train": {"model": {"normalise": False}}}, "train.model.normalise is for a network of your own"),
        (
            {"train": {"model": {"module": "a:b"}, "portfolio": [{"window_events": 100, "kind": "ridge"}]}},
            "train.portfolio lists kind: ridge, which only built-in networks have",
        ),
        ({"train": {"strategy": "most"}}, "'most' does not fit; expected full, head, or a list of patterns"),
        ({"train": {"strategy": {"layers": []}}}, "expected full, head, or a list of patterns"),
        ({"train": {"strategy": {"layers": "head.*"}}}, "expected full, head, or a list of patterns"),
        ({"train": {"strategy": {"layer": ["head.*"]}}}, "expected full, head, or a list of patterns"),
        ({"schema": {"labels": ["x", "x"]}}, "a label twice"),
        ({"schema": {"labels": ["x", "y", "z"]}}, "has 3 labels, but binary has 2"),
        ({"task": "multiclass", "schema": {"labels": ["x"]}}, "one label"),
        ({"task": "regression", "schema": {"labels": ["x", "y"]}}, "a regression has none"),
        ({"schema": {"numeric": [""]}}, "at least 1 character"),
        ({"window": {"events": 0}}, "greater than or equal to 10"),
        ({"window": {"holdout_share": float("nan")}}, "finite"),
        ({"train": {"model": {"hidden": []}}}, "at least 1 item"),
        ({"source": {"topic": "two words"}}, "pattern"),
        ({"source": {"topic": "."}}, "no name for a topic"),
        ({"source": {"topic": ".."}}, "no name for a topic"),
        ({"source": {"topic": "t" * 246}}, "pattern"),
        ({"schema": {"numeric": ["a"], "label": "a"}}, "schema.label names the feature 'a'"),
        ({"serve": {"port": 8001}}, "serve.port and trainer.port are both 8001 on 127.0.0.1"),
        ({"store": {"path": "a"}, "trainer": {"state_path": "b/../a"}}, "store.path and trainer.state_path are both a"),
        ({"serve": {"port": 70_000}}, "65535"),
        ({"serve": {"shadow": {"candidates": ["champion"]}}}, "'champion' is none of latest, challenger and a checkp"),
        ({"serve": {"shadow": {"candidates": ["latest", "latest"]}}}, "latest stands more than once"),
        ({"serve": {"shadow": {"candidates": [f"00000{n}-00000000" for n in range(5)]}}}, "at most 4 items"),
        ({"serve": {"shadow": {"share": 0}}}, "greater than or equal to 0.001"),
        ({"serve": {"announce_seconds": 5, "grace_seconds": 5}}, "leaves nothing of the 5 seconds of serve.grace_"),
    ],
)
def test_what_does_not_fit_together_is_refused(tree: dict[str, Any], words: str) -> None:
    """Each contradiction and each value out of bounds is named in words."""
    with pytest.raises(ValidationError, match=words):
        settings(**tree)


@pytest.mark.parametrize(
    "servers",
    ["", "a", "a:", ":9092", "a:b", "a:0", "a:65536", "a:1,", "a:1,b", "::1:9092", "[::1]", "http://a:1", "a b:1"],
)
def test_servers_that_are_not_host_and_port_are_refused(servers: str) -> None:
    """What no client could connect to is said before any tries."""
    with pytest.raises(ValidationError, match=r"not host:port|at least 1 character"):
        settings(source={"kafka": {"bootstrap_servers": servers}})


def test_what_only_looks_impossible_is_taken() -> None:
    """The longest topic, IPv6, one port on two hosts, and a state folder inside the store's."""
    tree = settings(
        source={"topic": "t" * 245, "kafka": {"bootstrap_servers": "a-b.example:9092, 10.0.0.1:1,[::1]:65535"}},
        serve={"host": "10.0.0.1", "port": 8001},
        store={"path": "data"},
        trainer={"state_path": "data/state"},
    )
    assert tree.serve.port == tree.trainer.port


def test_a_shadow_is_named_by_any_checkpoints_id() -> None:
    """The form of ids is the store's, which the settings must not look into."""
    known = fresh_id(42)
    assert settings(serve={"shadow": {"candidates": [known, "latest"]}}).serve.shadow.candidates == (known, "latest")


def test_a_network_of_ones_own_is_one_challenger_unless_more_are_asked_for() -> None:
    """It may be large, so a portfolio is only what the user lists."""
    model = {"module": "package.module:factory"}
    assert len(settings(train={"model": model}).train.members(2_000, "binary")) == 1
    several = [{"window_events": 100}, {"window_events": 200}]
    assert len(settings(train={"model": model, "portfolio": several}).train.members(2_000, "binary")) == 2
    assert len(settings().train.members(2_000, "binary")) > 1


def test_strategies_come_back_from_plain_values() -> None:
    """A round's file holds them, and the one that trains it means the same."""
    for strategy in ("full", "head", {"layers": ["head.*", "encoder.1.*"]}):
        train = settings(train={"strategy": strategy}).train
        assert type(train).model_validate(train.model_dump(mode="json")) == train


def test_features_come_in_column_order() -> None:
    """Numeric features first, then boolean, then categorical: the order of all arrays."""
    schema = Schema(numeric=("n",), categorical=("c",), boolean=("b",))
    assert schema.names == ("n", "b", "c")


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (1, "1"), (1.5, "1.5"), ("no", "no")])
def test_labels_compare_as_text(value: object, text: str) -> None:
    """A label in YAML or JSON is the text that JSON would print for it."""
    assert label_text(value) == text
    assert settings(schema={"labels": [value, "other"]}).schema_.labels == (text, "other")
