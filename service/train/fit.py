"""Training: from a round's inputs to its candidates, with nothing read and nothing written."""

import time

import numpy as np
import torch

from service.errors import RoundFailedError
from service.model.ensemble import Shape, build_network
from service.train.device import Beat, beat_of, release, seed_device, shortage
from service.train.material import Batches
from service.train.ridge import fit_ridge
from service.train.round import Outcome, Round, Trained
from service.train.steps import Stepwise


def train_round(given: Round, beat: Beat = lambda: None) -> Outcome:
    """Train every challenger of a round, those of one kind together, and return what became of them.

    ``beat`` is called at every step, to show that the work goes on.
    Raises RoundFailedError when no challenger's loss stays a number (``not_finite``), or the memory of the device that
    is not the processor is too small (``error``); what the round had there is free again then.
    """
    device = torch.device(given.settings.device)
    try:
        return _outcome(given, beat_of(device, beat), device)
    except torch.OutOfMemoryError as error:
        problem = shortage(device, error)
    release(device)  # only behind the error, which holds on to all that the round had
    raise RoundFailedError(problem, "error")


def _outcome(given: Round, beat: Beat, device: torch.device) -> Outcome:
    began = time.perf_counter()
    seed_device(device, given.seed)
    # Faded moments become denormal numbers, with which a processor is ten times slower.
    torch.set_flush_denormal(True)
    try:
        # The built-in network writes its gradient down by hand; a module of the user's needs autograd.
        with torch.inference_mode(given.encoder.network.module is None):
            trained = {one.name: one for one in _train(given, beat, device)}
    finally:
        torch.set_flush_denormal(False)
    if all(one.training_loss is None for one in trained.values()):
        names = ", ".join(trained)
        raise RoundFailedError(f"no loss of {names} stayed a number within {given.settings.steps} steps", "not_finite")
    ordered = tuple(trained[one.name] for one in given.challengers)
    return Outcome(given.number, ordered, time.perf_counter() - began)


def _train(given: Round, beat: Beat, device: torch.device) -> list[Trained]:
    settings, task = given.settings, given.encoder.task
    first = all(one.weights is None for one in given.challengers)
    jumped = given.since_jump <= given.fresh
    steps = settings.first_steps if first else settings.steps * (settings.jump_steps if jumped else 1)
    begin = [one.name for one in given.challengers if one.weights is None]
    network = build_network(given.encoder, [Shape.of(one.recipe) for one in given.challengers], fresh=bool(begin))
    fresh = network.members() if begin else []
    start = [one.weights or fresh[index] for index, one in enumerate(given.challengers)]
    network.load(start)
    # From here on a module of the user's, and what it is trained on, are on the device; what is remembered is not.
    for module in (one for group in network.groups for one in group.members.modules()):
        module.to(device)
    random = np.random.default_rng(given.seed)
    stops = (first or settings.steps == steps) and steps >= 2 * settings.stopping_every_steps
    batches = Batches(given, network, random, device, stops=stops)
    trained: list[Trained] = []
    for group in network.groups:
        chosen = [given.challengers[place] for place in group.places]
        own = [start[place] for place in group.places]
        if chosen[0].recipe.kind == "ridge":
            trained += fit_ridge(group.members, chosen, own, batches, task)
            beat()
            continue
        pulls = [given.anchor[min(place, len(given.anchor) - 1)] for place in group.places] if given.anchor else None
        stepwise = Stepwise(settings, task, group.members, chosen, own, pulls, settings.strategy, steps)
        trained += stepwise.run(batches, beat)
    return trained
