"""Publishes a model that was pre-trained elsewhere, before any event has come."""

import structlog

from service.learner.given import first_candidate
from service.learner.learner import Learner
from service.observer import Observer
from service.settings import Settings
from service.trainer.publisher import Publisher

log = structlog.get_logger(__name__)


def publish_given_weights(settings: Settings, publisher: Publisher) -> None:
    """Make ``train.model.weights`` the first checkpoint, where there are neither checkpoints nor a state yet.

    So servers answer from it at once, it is the *frozen* model, and every candidate has to be better than it.
    """
    if settings.train.model.weights is None or publisher.checkpoints.entries() or publisher.states.load() is not None:
        return
    candidate = first_candidate(Learner(settings, Observer()))
    if candidate is not None:
        checkpoint_id = publisher.checkpoints.new_id(0)
        publisher.publish(candidate, checkpoint_id, None, [], ())
        log.info("given weights published", weights=str(settings.train.model.weights), checkpoint=checkpoint_id)
