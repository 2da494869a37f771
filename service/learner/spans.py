"""Which offsets a round learns from: what came since the last published checkpoint, partition by partition."""

from collections.abc import Mapping
from typing import Any

from service.records import Partition


def data_of(spans: Mapping[Partition, int], positions: Mapping[Partition, int]) -> tuple[dict[str, Any], ...]:
    """Return, for each partition with any, the offsets from where its span begins to its position (excluded)."""
    return tuple(
        {"topic": source.topic, "partition": source.partition, "first": first, "last": positions[source] - 1}
        for source, first in sorted(spans.items())
        if first < positions.get(source, first)
    )


def spans_behind(begins: Mapping[Partition, int], follows: Mapping[Partition, int]) -> dict[Partition, int]:
    """Return where each partition goes on behind a checkpoint: at its beginning where the checkpoint knows it not."""
    return {**begins, **follows}
