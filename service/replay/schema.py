"""The schema of a recording: the configured one, else what its first rows suggest."""

from service.configuration import check_tree
from service.errors import ConfigurationError
from service.schema_inference import Inference, infer
from service.settings import Settings
from service.tables import Table

SHOWN_NAMES = 40
"""Of a thousand columns a line names so many."""


def settle_schema(settings: Settings, table: Table, label: str | None) -> tuple[Settings, Inference | None]:
    """Return settings with a schema, and the inference that it comes from, None where it was configured.

    With a ``label`` and without configured features the schema is inferred; what is configured of it stays. Raises
    TableError for a label that is no column, and ConfigurationError where there is neither schema nor label.
    """
    configured = settings.schema_
    if label is None and not configured.names:
        raise ConfigurationError(
            "schema: no features are configured; with --label COLUMN the schema is inferred "
            "(`freshet init FILE --label COLUMN` writes it down)"
        )
    if label is None:
        return settings, None
    if configured.names:
        return _with(settings, schema={**configured.model_dump(exclude_unset=True), "label": label}), None
    task = settings.task if "task" in settings.model_fields_set else None
    inference = infer(table, label, task, labels_known=bool(configured.labels))
    schema = inference.schema.model_dump(exclude_unset=True) | configured.model_dump(exclude_unset=True)
    return _with(settings, task=inference.task, schema={**schema, "label": label}), inference


def schema_lines(settings: Settings, inference: Inference) -> list[str]:
    """Return what was inferred as lines for a human: the schema, then whatever was unsure."""
    schema = settings.schema_
    kinds = ("numeric", "categorical", "boolean", "vector", "nullable", "labels")
    parts = [f"{kind} [{_named(list(getattr(schema, kind)))}]" for kind in kinds if getattr(schema, kind)]
    origin = f"schema from the first {inference.rows:,} rows"
    return [f"{origin}: task {settings.task}; label {schema.label}; {'; '.join(parts)}", *inference.warnings]


def _named(names: list[str]) -> str:
    """Return names in a line, the last of very many with how many are not shown."""
    if len(names) <= SHOWN_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[: SHOWN_NAMES - 1])}, … {len(names) - SHOWN_NAMES} more …, {names[-1]}"


def _with(settings: Settings, **changes: object) -> Settings:
    """Return checked settings with other values under some of the top keys."""
    return check_tree(settings.model_dump(by_alias=True, exclude_unset=True) | changes)
