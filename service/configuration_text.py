"""Writes configurations as YAML that `configuration.py` reads back unchanged."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from service.configuration import CoreLoader
from service.settings import Settings

SIMPLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
WIDTH = 120


class CoreDumper(yaml.SafeDumper):
    """Quotes whatever the loader, or YAML 1.1 elsewhere, would take for something else than text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way of overriding resolvers
        first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, ()), *rules]
        for first, rules in {**yaml.SafeDumper.yaml_implicit_resolvers, **CoreLoader.yaml_implicit_resolvers}.items()
    }


def as_tree(settings: Settings) -> dict[str, Any]:
    """Return the whole configuration as plain values."""
    return settings.model_dump(mode="json", by_alias=True)


def to_yaml(tree: Mapping[str, Any]) -> str:
    """Return a tree as YAML in the tree's order."""
    return yaml.dump(dict(tree), Dumper=CoreDumper, sort_keys=False, allow_unicode=True, width=WIDTH)


def annotated_yaml(tree: Mapping[str, Any], comments: Mapping[str, str]) -> str:
    """Return a tree as YAML with comments: ``comments`` by key (``trigger.every_events``), each put above its line."""
    return "\n".join(_annotated(tree, comments, "", "")) + "\n"


def _annotated(tree: Mapping[str, Any], comments: Mapping[str, str], above: str, indent: str) -> Iterator[str]:
    for key, value in tree.items():
        path = f"{above}.{key}" if above else key
        if path in comments:
            yield from (f"{indent}# {line}" if line else "" for line in comments[path].splitlines())
        name = _inline(key)  # a feature may be called what YAML takes for something else
        if isinstance(value, Mapping) and value:
            yield f"{indent}{name}:"
            yield from _annotated(value, comments, path, indent + "  ")
            continue
        line = f"{indent}{name}: {_inline(value)}"
        if isinstance(value, Sequence) and not isinstance(value, str) and len(line) > WIDTH:
            yield f"{indent}{name}:"
            yield from (f"{indent}  - {_inline(item)}" for item in value)
        else:
            yield line


def _inline(value: Any) -> str:  # noqa: ANN401 - a configuration holds any scalar
    text = yaml.dump(
        value, Dumper=CoreDumper, default_flow_style=True, allow_unicode=True, width=float("inf"), sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...")
