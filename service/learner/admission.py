"""What is tried before anything begins: the network that the configuration names, what of it is trained, and where."""

import torch

from service.model.ensemble import build_network
from service.model.trial import require_module, sample_encoder
from service.settings import Settings
from service.train.device import require_device
from service.train.strategy import trained_parameters


def require_model(settings: Settings) -> None:
    """Raise ConfigurationError, in one line, unless the configured network can be made, trained and loaded.

    From here on this process may import the module that ``train.model.module`` names.
    """
    require_module(settings)
    if settings.train.strategy != "full":
        with torch.random.fork_rng(devices=[]):
            names = build_network(sample_encoder(settings)).groups[0].members.names()
        trained_parameters(names, settings.train.strategy)
    require_device(settings)
