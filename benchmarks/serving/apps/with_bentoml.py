"""BentoML with the same network: `bentoml serve with_bentoml:Predictions`.

With its adaptive batching, which answers a third more of the small requests; a batched answer must be a list, so there
is nothing beside the predictions in it.
"""

from typing import Any

import bentoml
from body import Instance
from network import answer, predict, served


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Predictions:
    """Answers by a forward pass; pydantic validates the instances."""

    def __init__(self) -> None:
        self.model = served()

    @bentoml.api(route="/v1/predict", batchable=True, max_batch_size=3_200, max_latency_ms=1_000)
    async def predict(self, instances: list[Instance]) -> list[dict[str, Any]]:
        """Answer a batch: the instances of several requests."""
        outputs = predict(self.model, [instance.row() for instance in instances])
        predictions: list[dict[str, Any]] = answer(self.model, outputs)["predictions"]
        return predictions
