"""LitServe with the same network: `with_litserve.py PORT`.

With batches, which answer a quarter more of the small requests than without; `fast_queue` makes no difference here.
"""

import sys
from typing import Any

import litserve
import numpy as np
from network import answer, predict, served

Rows = list[list[float]]


class Predictions(litserve.LitAPI):
    """Takes numbers out of the request, answers by a forward pass; nothing is validated."""

    def setup(self, device: str) -> None:
        """Read the network."""
        del device
        self.model = served()

    def decode_request(self, request: dict[str, Any]) -> Rows:
        """Return rows of numbers."""
        return [[instance[f"x{place}"] for place in range(8)] for instance in request["instances"]]

    def batch(self, inputs: list[Rows]) -> tuple[Rows, list[int]]:
        """Return the rows of several requests, and how many each of them has."""
        return [row for rows in inputs for row in rows], [len(rows) for rows in inputs]

    def predict(self, batched: tuple[Rows, list[int]]) -> list[np.ndarray[Any, Any]]:
        """Return the probabilities of each request."""
        rows, lengths = batched
        return np.split(predict(self.model, rows), np.cumsum(lengths)[:-1])

    def unbatch(self, output: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Return them as they are."""
        return output

    def encode_response(self, output: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Return the answer to one request."""
        return answer(self.model, output)


if __name__ == "__main__":
    api = Predictions(api_path="/v1/predict", max_batch_size=32, batch_timeout=0.002)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="error", generate_client_file=False)
