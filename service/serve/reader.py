"""Reads the body of a prediction in one typed pass: what fits, at once; what does not, is for others to name.

Whatever is unusual, right or wrong, goes the slow way of ``body`` and ``instances``, which finds words for every fault.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta, Struct

from service.model.learned import LearnedModel
from service.records import FloatArray, IntArray
from service.settings import Schema, Serve


class Read(NamedTuple):
    """Instances in columns: numbers [n, width], NaN where missing, codes [n, categorical]; and the values themselves.

    ``rows`` hold them in the schema's order, None where missing.
    """

    numbers: FloatArray
    codes: IntArray
    rows: list[tuple[Any, ...]]


class InstanceReader:
    """Turns the bytes of ``{"instances": [...]}`` into columns, for models of one schema."""

    def __init__(self, schema: Schema, limits: Serve) -> None:
        self.schema = schema
        self._most_numbers = limits.max_body_bytes
        self._names = schema.names
        self._decoder: msgspec.json.Decoder[Any] | None = None
        with suppress(ValueError):  # names with quotes or control characters are not for msgspec
            self._decoder = msgspec.json.Decoder(_body_of(schema, limits.max_instances))
        self._plain = not (schema.nullable or schema.vector or schema.categorical)

    def read(self, body: bytes, model: LearnedModel) -> Read | None:
        """Return what a body says in the model's columns, None if anything about it needs a closer look."""
        if self._decoder is None:
            return None
        try:
            instances = self._decoder.decode(body).instances
        except (ValueError, RecursionError):
            return None
        rows: list[tuple[Any, ...]] = [msgspec.structs.astuple(instance) for instance in instances]
        absent = 0 if self._plain else sum(row.count(msgspec.UNSET) for row in rows)
        if not self._each_key_once(body, rows, absent):
            return None
        if self._plain:
            return Read(np.array(rows, dtype=np.float64), np.empty((len(rows), 0), dtype=np.int64), rows)
        if len(rows) * model.columns.width > self._most_numbers:
            return None
        if absent:
            rows = [tuple(None if value is msgspec.UNSET else value for value in row) for row in rows]
        numbers, texts = model.columns.columns(rows)
        return Read(numbers, model.categories.encode(texts, grow=False, rows=len(rows)), rows)

    def _each_key_once(self, body: bytes, rows: Sequence[Sequence[Any]], absent: int) -> bool:
        """Tell whether there are no more keys than values: of a key that comes twice only the last one was read."""
        surplus = body.count(b":") - (1 + len(rows) * len(self._names) - absent)
        if not surplus:
            return True
        if b"\\" in body:
            return False
        for row in rows:  # colons within names and texts
            for name, value in zip(self._names, row, strict=True):
                if value is not msgspec.UNSET:
                    surplus -= name.count(":") + (value.count(":") if isinstance(value, str) else 0)
        return not surplus


def _body_of(schema: Schema, max_instances: int) -> type[Struct]:
    """Return the form of a body with instances of these features, in column order."""
    kinds: dict[str, Any] = dict.fromkeys(schema.numeric, float)
    kinds |= dict.fromkeys(schema.boolean, bool)
    kinds |= {
        name: Annotated[list[float], Meta(min_length=length, max_length=length)]
        for name, length in schema.vector.items()
    }
    kinds |= dict.fromkeys(schema.categorical, str)
    # Names of features may be no names of Python's.
    fields = {name: f"f{index}" for index, name in enumerate(schema.names)}
    instance = msgspec.defstruct(
        "Instance",
        [_field(fields[name], kinds[name], nullable=name in schema.nullable) for name in schema.names],
        rename={field: name for name, field in fields.items()},
        forbid_unknown_fields=True,
        gc=False,
        kw_only=True,
    )
    instances = Annotated[list[instance], Meta(min_length=1, max_length=max_instances)]  # type: ignore[valid-type] # made above
    return msgspec.defstruct("Body", [("instances", instances)], forbid_unknown_fields=True)


def _field(field: str, kind: Any, *, nullable: bool) -> tuple[str, Any] | tuple[str, Any, Any]:  # noqa: ANN401 - a type
    return (field, kind | None | msgspec.UnsetType, msgspec.UNSET) if nullable else (field, kind)
