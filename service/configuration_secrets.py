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


def variable_of(key: str) -> str:
    """Return the environment's variable that sets ``section.key``."""
    return "FRESHET_" + key.upper().replace(".", "__")


def secret_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return those variables of an environment that set a secret."""
    wanted = {variable_of(key) for key in SECRET_KEYS}
    return {name: text for name, text in environment.items() if name.upper() in wanted}


def drop_secrets(tree: dict[str, Any]) -> dict[str, Any]:
    """Take all secrets out of a tree that is to become a file, and return it."""
    for key in SECRET_KEYS:
        *sections, last = key.split(".")
        below: Any = tree
        for section in sections:
            below = below.get(section) if isinstance(below, dict) else None
        if isinstance(below, dict):
            below.pop(last, None)
    return tree


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
            named = where if where.endswith(key) else f"{where}: {key}"
            variable = variable_of(key)
            message = f"{named} is a secret; give it by {variable}, or put it into a file and name that in {key}_file"
            raise ConfigurationError(message)


def shown(value: Any, key: str) -> str:  # noqa: ANN401
    """Return a value as a message may show it: neither a secret nor what stands in the place of its section."""
    beside = {secret.rpartition(".")[0] for secret in SECRET_KEYS}
    within = any(f"{key}.".startswith(f"{secret}.") for secret in SECRET_KEYS)
    around = not isinstance(value, str) and any(secret.startswith(f"{key}.") for secret in SECRET_KEYS)
    return HIDDEN if within or around or key in beside else repr(value)
