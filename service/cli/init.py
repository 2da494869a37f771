"""`freshet init`: a configuration from a data file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.options import AsJson, Overrides, answer, show, tell
from service.configuration import check_with_environment, load_settings
from service.configuration_secrets import drop_secrets, secret_variables
from service.configuration_text import annotated_yaml, as_tree
from service.errors import UsageError
from service.settings import Settings

if TYPE_CHECKING:  # the type alone: what stands behind it is slow to import, and `--help` does without
    from service.schema_inference import Inference

COMMENTS = {
    "task": "What is predicted: binary, multiclass or regression.",
    "schema.numeric": "Features that are numbers.",
    "schema.categorical": "Features that are text; a value never seen before is data, not an error.",
    "schema.boolean": "Features that are true or false.",
    "schema.vector": "Features that are lists of numbers, and how long each list is.",
    "schema.nullable": "Features that may be missing; only those that were missing in the first million rows are here.",
    "schema.label": "The label's column in files. In an event the key is always `label`.",
    "source.kind": "embedded: a durable log in one file, no broker needed. kafka: a Kafka cluster.",
    "source.topic": "Where labelled events arrive.",
    "source.kafka.bootstrap_servers": "Used when kind is kafka; host:port, several joined by commas.",
    "window.events": "Newest events, all of them trained on in a round. Fewer forget faster.",
    "trigger.every_events": "A round starts after so many new events...",
    "trigger.every_seconds": "... or so many seconds, whichever comes first.",
    "store.path": "Checkpoints; a folder that the trainer and all servers share.",
    "trainer.state_path": "The trainer's own snapshots and rounds; no other trainer may use it.",
    "serve.port": "The port that answers POST /v1/predict.",
}
SHOWN = [key for key in COMMENTS if not key.startswith(("task", "schema"))]


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, JSON Lines or Parquet, one labelled event a row.")],
    label: Annotated[str, typer.Option("--label", metavar="COLUMN", help="The column to predict.")],
    *,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write there, not to the output.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what --out names.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A configuration whose other keys are kept.")
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Write a configuration, its schema inferred from the first rows of a data file."""
    if any(override.strip().startswith("schema.") for override in overrides or ()):
        raise UsageError("--set schema.…: init infers the schema; change it in the file that init writes")
    from service.schema_inference import infer  # noqa: PLC0415 - slow to import
    from service.tables import read_table  # noqa: PLC0415

    base = load_settings(config or Path(os.devnull), overrides or (), secret_variables(os.environ))
    inference = infer(read_table(file), label, base.task if "task" in base.model_fields_set else None)
    tree = starting_tree(inference, base)
    # What the environment sets is not written, but it will be in force beside what is.
    check_with_environment(tree, str(out or "what init would write"))
    text = annotated_yaml(tree, comments_for(inference, file))
    for warning in inference.warnings:
        tell(f"freshet: {warning}")
    if out is not None:
        _write(out, text, force=force)
        tell(f"freshet: wrote {out}; next: freshet run --config {out}")
    if as_json:
        answer(
            {
                "file": str(file),
                "rows": inference.rows,
                "task": inference.task,
                "schema": tree["schema"],
                "warnings": inference.warnings,
                "out": str(out) if out else None,
                "configuration": text,
            }
        )
    elif out is None:
        show(text)


def starting_tree(inference: "Inference", base: Settings) -> dict[str, Any]:
    """Return the inferred schema, the keys that users most often change, and whatever ``base`` sets."""
    everything = as_tree(base)
    tree: dict[str, Any] = {
        "task": inference.task,
        "schema": inference.schema.model_dump(mode="json"),
    }
    for key in SHOWN:
        *sections, last = key.split(".")
        into, value = tree, everything
        for section in sections:
            into, value = into.setdefault(section, {}), value[section]
        into[last] = value[last]
    given = base.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"task", "schema_"})
    _merge(tree, given)
    return drop_secrets(tree)


def comments_for(inference: "Inference", file: Path) -> dict[str, str]:
    """Return the comments of an inferred configuration, by key."""
    origin = f"From the first {inference.rows:,} rows of {file.name}; `freshet check` says whether it holds together."
    if inference.schema.labels:
        labels = f"Seen in the first {inference.rows:,} rows; add what is missing: other labels are refused."
    elif inference.task == "regression":
        labels = "A regression has none."
    else:
        labels = "Left empty, the first checkpoint fixes the set."
    return {**COMMENTS, "task": f"{origin}\n\n{COMMENTS['task']}", "schema.labels": labels}


def _merge(tree: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = value


def _write(out: Path, text: str, *, force: bool) -> None:
    try:
        with out.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{out}: exists already; pass --force to overwrite it, or another --out") from None
    except OSError as error:
        raise UsageError(f"{out}: cannot be written ({error.strerror or error})") from None
