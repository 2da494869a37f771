"""Short, stable names for a schema and for a network's shape, to tell whether two of them fit together."""

from collections.abc import Mapping
from typing import Any

from service.settings import Network, Schema, Settings, Task
from service.store.canonical import canonical_json, sha256

_LENGTH = 16


def fingerprint(values: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that stand for plain JSON values, whatever the order of their keys."""
    return sha256(canonical_json(values))[:_LENGTH]


def schema_values(settings: Settings) -> dict[str, Any]:
    """Return ``schema_values_of`` the settings."""
    return schema_values_of(settings.task, settings.schema_)


def schema_values_of(task: Task, schema: Schema) -> dict[str, Any]:
    """Return what an event's columns depend on: task, features by kind in column order, nullable ones, labels.

    Vectors and labels are absent unless configured; without labels the first checkpoint fixes them.
    """
    values: dict[str, Any] = {
        "task": task,
        "numeric": list(schema.numeric),
        "boolean": list(schema.boolean),
        "categorical": list(schema.categorical),
        "nullable": sorted(schema.nullable),
    }
    if schema.vector:
        values["vector"] = [f"{name}[{length}]" for name, length in schema.vector.items()]
    if schema.labels:
        values["labels"] = list(schema.labels)
    return values


def model_values(settings: Settings) -> dict[str, Any]:
    """Return ``model_values_of`` the settings."""
    return model_values_of(settings.train.model)


def model_values_of(network: Network) -> dict[str, Any]:
    """Return what the shapes of the weights depend on, beside the schema, and whose code they are for."""
    if network.module is None:
        return network.model_dump(mode="json", include={"hidden", "embedding_width", "max_categories"})
    told = network.model_dump(mode="json", include={"module", "arguments", "max_categories"})
    return told | {"normalise": network.standardises}


def schema_fingerprint(settings: Settings) -> str:
    """Return the fingerprint of ``schema_values``."""
    return fingerprint(schema_values(settings))


def model_fingerprint(settings: Settings) -> str:
    """Return the fingerprint of ``model_values``."""
    return fingerprint(model_values(settings))


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return in words how two objects of plain values differ, empty if they do not."""
    return "; ".join(
        _explain(key, old.get(key), new.get(key)) for key in sorted({*old, *new}) if _differ(key, old, new)
    )


def _differ(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return canonical_json(old.get(key)) != canonical_json(new.get(key))


def _explain(key: str, old: Any, new: Any) -> str:  # noqa: ANN401 - JSON holds anything
    if isinstance(old, list) and isinstance(new, list):
        gone = [str(entry) for entry in old if entry not in new]
        added = [str(entry) for entry in new if entry not in old]
        parts = [f"{word} {', '.join(names)}" for word, names in (("without", gone), ("now with", added)) if names]
        return f"{key} {' and '.join(parts)}" if parts else f"{key} in another order"
    return f"{key} was {_shown(old)}, is now {_shown(new)}"


def _shown(value: Any) -> str:  # noqa: ANN401 - JSON holds anything
    return "not set" if value is None else canonical_json(value).decode()
