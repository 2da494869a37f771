"""Reads the settings: a YAML file, the environment over it, the command line over both."""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from service.configuration_secrets import SECRET_KEYS, nested, refuse_secrets, secret_variables, shown
from service.errors import ConfigurationError
from service.settings import Settings
from service.settings.checks import CLASH

PREFIX = "FRESHET_"
CONFIG_VARIABLE = "FRESHET_CONFIG"
NAMED_KEYS = 3
DEEPEST = 3
"""No known key lies in more sections; by an alias, YAML can hold itself without end."""
DEFAULT_FILE = Path("freshet.yaml")

Tree = dict[str, Any]


class CoreLoader(yaml.SafeLoader):
    """YAML 1.2's booleans: a label or category ``no`` is text, not False."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way of overriding resolvers
        first: [rule for rule in rules if rule[0] != "tag:yaml.org,2002:bool"]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


CoreLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
# YAML 1.1 reads 1e-3 as text, since it wants a point and a sign; everybody means a number.
CoreLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def load_settings(
    path: Path | None = None, overrides: Iterable[str] = (), environment: Mapping[str, str] | None = None
) -> Settings:
    """Return the settings from file, environment and ``section.key=value`` overrides, in rising precedence.

    The file is ``path``, else ``$FRESHET_CONFIG``, else ``./freshet.yaml`` where there is one.
    Raises ConfigurationError, whose message is one line, for whatever is unknown, missing or out of bounds.
    """
    variables = os.environ if environment is None else environment
    chosen = path or (Path(variables[CONFIG_VARIABLE]) if variables.get(CONFIG_VARIABLE) else None)
    tree: Tree = {}
    origins: dict[str, str] = {}
    if chosen is not None or DEFAULT_FILE.exists():
        file = chosen or DEFAULT_FILE
        tree = read_tree(file)
        refuse_secrets(tree, str(file))
        origins = _origins(tree, str(file))
    _lay_environment_over(tree, origins, variables)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            message = f"--set {override}: expected section.key=value, for example --set trigger.every_events=100"
            raise ConfigurationError(message)
        where, value = f"--set {key.strip()}", _parse(text, f"--set {key}")
        refuse_secrets(nested(key.strip(), value), where)
        _put(tree, origins, key.strip(), value, where)
    return check_tree(tree, origins)


def check_with_environment(tree: Tree, name: str, environment: Mapping[str, str] | None = None) -> None:
    """Raise ConfigurationError unless a tree that is to become the file ``name`` is valid, the environment over it."""
    variables = os.environ if environment is None else environment
    # Secrets are never in a file: without those of the environment it could not be valid by itself.
    for some in (secret_variables(variables), variables):
        over, origins = deepcopy(tree), _origins(tree, name)
        _lay_environment_over(over, origins, some)
        check_tree(over, origins)


def check_tree(tree: Tree, origins: Mapping[str, str] | None = None) -> Settings:
    """Return the settings that a tree of plain values describes; raises ConfigurationError with one line."""
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        line = _explain(problems[0], origins or {})
        if len(problems) > 1:
            line += f" (and {len(problems) - 1} more)"
        raise ConfigurationError(line) from None


def require_schema(settings: Settings) -> None:
    """Raise ConfigurationError unless the settings name at least one feature."""
    if not settings.schema_.names:
        message = (
            "schema: no features are configured; name them under schema.numeric, schema.categorical, schema.boolean "
            "or schema.vector (`freshet init FILE --label COLUMN` writes a configuration from a data file)"
        )
        raise ConfigurationError(message)


def read_tree(file: Path) -> Tree:
    """Return a YAML file's mapping; raises ConfigurationError naming the file and line."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        message = f"{file}: no such file; write one with `freshet init FILE --label COLUMN --out {file}`"
        raise ConfigurationError(message) from None
    except (OSError, UnicodeDecodeError) as error:
        message = f"{file}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})"
        raise ConfigurationError(message) from None
    value = _parse(text, str(file))
    if value is None:
        return {}
    if not isinstance(value, dict):
        message = f"{file}: expected sections such as `source:` and `schema:`, found {_kind(value)}"
        raise ConfigurationError(message)
    return value


def _parse(text: str, where: str) -> Any:  # noqa: ANN401 - YAML holds anything
    try:
        return yaml.load(text, Loader=CoreLoader)  # noqa: S506 - a subclass of SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        message = f"{where}: not valid YAML{line}: {problem}"
        raise ConfigurationError(message) from None


def _origins(tree: Tree, name: str) -> dict[str, str]:
    """Return where each key comes from, of a tree that comes from one file; "" stands for the file as a whole."""
    origins = {"": name}

    def collect(below: Tree, above: str) -> None:
        for key, value in below.items():
            if isinstance(value, dict) and value and above.count(".") < DEEPEST:
                collect(value, f"{above}{key}.")
            else:
                origins[f"{above}{key}"] = name

    collect(tree, "")
    return origins


def _lay_environment_over(tree: Tree, origins: dict[str, str], variables: Mapping[str, str]) -> None:
    for name, text in sorted(variables.items()):
        if name.startswith(PREFIX) and ("__" in name or name == PREFIX + "TASK"):
            key = name.removeprefix(PREFIX).lower().replace("__", ".")
            # A password is the variable's text as it is, whatever YAML would make of it.
            _put(tree, origins, key, text if key in SECRET_KEYS else _parse(text, name), name)


def _put(tree: Tree, origins: dict[str, str], key: str, value: Any, where: str) -> None:  # noqa: ANN401 - YAML holds anything
    *sections, last = key.split(".")
    for section in sections:
        below = tree.setdefault(section, {})
        if below is None:
            below = tree[section] = {}
        if not isinstance(below, dict):
            message = f"{where}: {section} is not a section; check the key against docs/CONFIGURATION.md"
            raise ConfigurationError(message)
        tree = below
    tree[last] = value
    for replaced in [other for other in origins if _is_within(other, key)]:
        del origins[replaced]
    origins[key] = where


def _explain(problem: ErrorDetails, origins: Mapping[str, str]) -> str:
    parts = [str(part) for part in problem["loc"]]
    key = ".".join(parts)
    if problem["type"] == CLASH:
        context = problem["ctx"]
        found = dict.fromkeys(filter(None, (_origin(one, origins, default="") for one in context["keys"])))
        return f"{' and '.join(found) or origins.get('') or 'configuration'}: {context['message']}"
    origin = _origin(key, origins, default=origins.get("", ""))
    named = origin.startswith("--set ") and key in origin
    where = f"{origin}: {key}" if origin and not named else origin or key
    if problem["type"] == "extra_forbidden":
        known = sorted(_keys_beside(parts[:-1]))
        close = difflib.get_close_matches(parts[-1], known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
        return f"{where}: unknown key {parts[-1]}; {hint}"
    if problem["type"] == "value_error":
        return f"{where or 'configuration'}: {problem['msg'].removeprefix('Value error, ')}"
    wanted = _wanted(problem, parts)
    return f"{where}: {shown(problem['input'], key)} does not fit; {wanted}{_meaning(parts)}"


def _origin(key: str, origins: Mapping[str, str], default: str) -> str:
    """Return what set a key: what named it or a section around it, else the last that named a key below it."""
    around = [other for other in origins if other and _is_within(key, other)]
    if around:
        return origins[max(around, key=len)]
    below = [other for other in origins if _is_within(other, key)]
    return origins[below[-1]] if below else default


def _is_within(key: str, section: str) -> bool:
    return f"{key}.".startswith(f"{section}.")


def _wanted(problem: ErrorDetails, parts: list[str]) -> str:
    """Say what would fit, in the words of a configuration's reader, not of Python's types."""
    match problem["type"]:
        case "path_type":
            return "expected a path"
        case "model_type":
            return f"expected a section with keys such as {', '.join(_keys_beside(parts)[:NAMED_KEYS])}"
        case "tuple_type":
            return "expected a list"
    return problem["msg"][:1].lower() + problem["msg"][1:]


def _keys_beside(sections: Iterable[str]) -> list[str]:
    model: type[BaseModel] = Settings
    for section in sections:
        field = next((f for name, f in model.model_fields.items() if (f.alias or name) == section), None)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        model = field.annotation
    return [field.alias or name for name, field in model.model_fields.items()]


def _meaning(parts: list[str]) -> str:
    model: type[BaseModel] = Settings
    for part in parts:
        field = next((f for name, f in model.model_fields.items() if (f.alias or name) == part), None)
        if field is None:
            return ""
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
            continue
        return f" ({field.description})" if field.description else ""
    return ""


def _kind(value: Any) -> str:  # noqa: ANN401 - YAML holds anything
    return {list: "a list", str: "text", int: "a number", float: "a number"}.get(type(value), type(value).__name__)
