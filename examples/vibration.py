"""A network that knows nothing of Freshet, and the four lines by which Freshet trains and serves it.

``Convolutions`` is any torch module: here a small convolution over one measured signal. ``Classifier`` is the same
module with the inputs that Freshet gives; its parameters have the same names, so weights fit both.
"""

from torch import Tensor, nn


class Convolutions(nn.Module):
    """Classifies signals [n, length] float32 into logits [n, classes]."""

    def __init__(self, classes: int, channels: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv1d(1, channels, kernel_size=7, stride=2, padding=3),
            nn.BatchNorm1d(channels),
            nn.ReLU(),
            nn.Conv1d(channels, 2 * channels, kernel_size=5, stride=2, padding=2),
            nn.BatchNorm1d(2 * channels),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(2 * channels, classes)

    def forward(self, signals: Tensor) -> Tensor:
        """Return logits [n, classes]."""
        return self.head(self.encoder(signals[:, None, :]))


class Classifier(Convolutions):
    """What ``train.model.module`` names: Freshet calls it with ``ModelInputs`` and ``train.model.arguments``."""

    def __init__(self, inputs, channels: int = 16) -> None:  # noqa: ANN001 - it need not import Freshet for a type
        super().__init__(inputs.outputs, channels)
        self.signal = inputs.vectors["signal"]

    def forward(self, numbers: Tensor, missing: Tensor, codes: Tensor) -> Tensor:  # noqa: ARG002 - it uses the signal alone
        """Return logits [n, outputs] of events whose feature ``signal`` stands in some columns of ``numbers``."""
        return super().forward(numbers[:, self.signal])
