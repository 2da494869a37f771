"""Writes docs/CONFIGURATION.md from the settings: `python -m service.cli.reference > docs/CONFIGURATION.md`."""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from service.settings import Settings

INTRODUCTION = """\
# Configuration

<!-- Written by `python -m service.cli.reference > docs/CONFIGURATION.md`; a test holds it current. -->

One YAML file: the one that `--config` names, else the one in `$FRESHET_CONFIG`, else `./freshet.yaml`.
The environment overrides the file (`FRESHET_TRIGGER__EVERY_EVENTS=100`: section and key joined by two underscores, the
value in YAML), and `--set trigger.every_events=100` overrides both.
An unknown key, or a value out of bounds, ends every command with exit code 2 and one line that names it.
`freshet check` prints the configuration as it is in force.
Why each default is what it is stands in [`config/freshet.yaml`](../config/freshet.yaml).
"""

Node = Mapping[str, Any]


def reference() -> str:
    """Return the page."""
    root = Settings.model_json_schema(by_alias=True)
    sections = [INTRODUCTION]
    for name, node in _sections(root, root["$defs"], ""):
        rows = "\n".join(_rows(node, root["$defs"], name))
        heading = f"## `{name}`" if name else "## At the top"
        about = f"{node['description']}\n\n" if name else ""
        sections.append(f"{heading}\n\n{about}| key | default | values | meaning |\n|---|---|---|---|\n{rows}\n")
    return "\n".join(sections)


def _sections(node: Node, definitions: Node, name: str) -> Iterator[tuple[str, Node]]:
    yield name, node
    for key, value in node["properties"].items():
        below = _section(value, definitions)
        if below is not None:
            yield from _sections(below, definitions, f"{name}.{key}" if name else key)


def _rows(node: Node, definitions: Node, name: str) -> Iterator[str]:
    for key, value in node["properties"].items():
        if _section(value, definitions) is None:
            path = f"{name}.{key}" if name else key
            default = json.dumps(value.get("default"))
            values, meaning = _values(value, definitions), value["description"].replace("|", chr(92) + "|")
            yield f"| `{path}` | `{default}` | {values} | {meaning} |"


def _section(value: Node, definitions: Node) -> Node | None:
    """Return the section that a property is, None if it is a key."""
    reference_to = value.get("$ref", "").rpartition("/")[2]
    return definitions[reference_to] if reference_to else None


def _values(value: Node, definitions: Node) -> str:
    """Say which values a key takes."""
    if "anyOf" in value:
        return " or ".join(_values(choice, definitions) for choice in value["anyOf"])
    if "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value["enum"])
    below = _section(value, definitions)
    if below is not None:
        keys = ", ".join(f"`{key}`" for key in below.get("properties", {}))
        return f"mapping with {keys}" if keys else "anything"
    if value["type"] == "array":
        return f"list of {_values(value['items'], definitions)}"
    if value["type"] == "object":
        return f"mapping from names to {_values(value['additionalProperties'], definitions)}"
    names = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "true or false",
        "null": "null",
    }
    pattern = [f"matching `{value['pattern']}`"] if "pattern" in value else []
    return " ".join(filter(None, (names[value["type"]], " and ".join(_bounds(value)), *pattern)))


def _bounds(value: Node) -> Iterator[str]:
    for key, words in (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<")):
        if key in value:
            yield f"{words} {value[key]:,}"


if __name__ == "__main__":
    sys.stdout.write(reference())
