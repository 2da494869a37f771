"""How events become a network's inputs from a round on: what is known of labels, categories and scales so far."""

from service.model.encoder import Encoder
from service.model.normaliser import Normaliser
from service.model.vocabulary import Categories, Labels
from service.settings import Settings


def encoder_of(settings: Settings, labels: Labels, categories: Categories, statistics: Normaliser) -> Encoder:
    """Return the encoder of a round; the last of the ``statistics`` are the target's."""
    regression = settings.task == "regression"
    means, scales = statistics.means, statistics.scales
    return Encoder(
        task=settings.task,
        schema=settings.schema_,
        network=settings.train.model,
        labels=labels.names,
        categories={name: tuple(known) for name, known in categories.to_json().items()},
        means=means[:-1].copy(),
        scales=scales[:-1].copy(),
        target_mean=float(means[-1]) if regression else 0.0,
        target_scale=float(scales[-1]) if regression else 1.0,
    )
