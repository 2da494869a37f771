"""Examples that several models are asked about: what those have in common is computed once."""

from collections.abc import Iterator

import torch
from torch import Tensor

from service.model.encoder import Encoder
from service.model.ensemble import Ensemble
from service.records import Examples, FloatArray, IntArray

CHUNK_ROWS = 512
"""Rows of one pass: so few that what happens between two layers stays in the cache; a third faster than 1,000."""

MOST_KEPT = 8_192
"""Of more examples than these nothing is kept, which bounds memory."""


class Asked:
    """Examples, with what encoders and networks have made of them so far.

    Models of neighbouring rounds mostly share an encoder, and right after a promotion the serving model and the
    challengers are the very same networks. To be used within one call, by one thread.
    """

    def __init__(self, examples: Examples) -> None:
        self.examples = examples
        self._prepared: dict[Encoder, list[tuple[Tensor, ...]]] = {}
        self._answers: dict[Ensemble, Tensor] = {}

    def answers(self, encoder: Encoder, network: Ensemble) -> Iterator[Tensor]:
        """Yield a network's outputs [M, outputs, rows], chunk by chunk unless they are kept; at least once."""
        if not len(self.examples):
            yield torch.empty(network.count, encoder.outputs, 0)
        elif len(self.examples) > MOST_KEPT:
            for prepared in self._chunks(encoder, network):
                yield network.outputs(prepared)
        else:
            if network not in self._answers:
                outs = [network.outputs(prepared) for prepared in self._inputs(encoder, network)]
                self._answers[network] = outs[0] if len(outs) == 1 else torch.cat(outs, dim=2)
            yield self._answers[network]

    def _inputs(self, encoder: Encoder, network: Ensemble) -> list[tuple[Tensor, ...]]:
        if encoder.network.module is not None:  # a module of the user's may write into what it is given
            return list(self._chunks(encoder, network))
        if encoder not in self._prepared:
            self._prepared[encoder] = list(self._chunks(encoder, network))
        return self._prepared[encoder]

    def _chunks(self, encoder: Encoder, network: Ensemble) -> Iterator[tuple[Tensor, ...]]:
        return chunks(encoder, network, self.examples.numbers, self.examples.codes)


def chunks(encoder: Encoder, network: Ensemble, numbers: FloatArray, codes: IntArray) -> Iterator[tuple[Tensor, ...]]:
    """Yield what a network takes of numbers [n, N] and codes [n, C], chunk by chunk, at least once."""
    for start in range(0, max(len(numbers), 1), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        yield network.prepare(*encoder.inputs(numbers[rows], codes[rows]))
