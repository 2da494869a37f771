"""Which settings are secrets, where they may not stand, and how a value that may hold one is shown."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from service.errors import ConfigurationError
from service.settings import Settings

HIDDEN = "(hidden)"


def _secret_keys(model: type[BaseModel], above: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        key = above + (field.alias or name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _secret_keys(field.annotation, f"{key}.")
        elif SecretStr in (field.annotation, *get_args(field.annotation)):
            yield key


SECRET_KEYS = frozenset(_secret_keys(Settings))
"""Every key whose value is a secret, as ``section.key``."""


def nested(key: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - YAML holds anything
    """Return the tree in which nothing but ``section.key`` is set."""
    for part in reversed(key.split(".")):
        value = {part: value}
    tree: dict[str, Any] = value
    return tree


def refuse_secrets(tree: Mapping[str, Any], where: str) -> None:
    """Raise ConfigurationError if a tree from a file or the command line sets a secret: others can read those."""
    for key in sorted(SECRET_KEYS):
        value: Any = tree
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            variable = "FRESHET_" + key.upper().replace(".", "__")
            named = where if where.endswith(key) else f"{where}: {key}"
            message = f"{named} is a secret; give it by {variable}, or put it into a file and name that in {key}_file"
            raise ConfigurationError(message)


def shown(value: Any, key: str) -> str:  # noqa: ANN401
    """Return a value as a message may show it: neither a secret nor what stands in the place of its section."""
    beside = {secret.rpartition(".")[0] for secret in SECRET_KEYS}
    within = any(f"{key}.".startswith(f"{secret}.") for secret in SECRET_KEYS)
    around = not isinstance(value, str) and any(secret.startswith(f"{key}.") for secret in SECRET_KEYS)
    return HIDDEN if within or around or key in beside else repr(value)
