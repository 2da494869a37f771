"""Members side by side are the networks that they would be alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from service.model.encoder import Encoder
from service.model.ensemble import Ensemble, Group, Shape, build_network
from service.model.inputs import BINS
from service.model.learned import LearnedModel
from service.model.members import Separate, put_together, taken_apart
from service.model.network import EMBEDDED
from service.settings import Network, Schema, Task
from tests.unit.model.test_learned import encoder, some

SHARES = np.array([0.5, 0.3, 0.2])
PLAIN = Shape(hidden=True, bins=False)


class Plain(nn.Module):
    """A network that knows nothing of members."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.outer = nn.Linear(4, 2)

    def forward(self, numbers: Tensor, _missing: Tensor, _codes: Tensor) -> Tensor:
        """Return logits."""
        return self.outer(self.norm(self.inner(numbers)))


def several(kind: str, count: int = 3, task: Task = "binary") -> Ensemble:
    """Return members of a kind: networks of their own, or built-in ones of one shape or of several."""
    torch.manual_seed(1)
    if kind == "separate":
        return Ensemble([Group(Separate([Plain() for _ in range(count)]), list(range(count)))], None)
    mixed = (PLAIN, Shape(hidden=False, bins=True), Shape(hidden=True, bins=True))
    return build_network(binned(task), [PLAIN] * count if kind == "stacked" else mixed[:count])


def binned(task: Task = "binary") -> Encoder:
    """Return an encoder whose numeric features have bins."""
    edges = np.sort(np.random.default_rng(0).normal(size=(2, BINS + 1)), axis=1)
    return replace(encoder(task), edges=edges)


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Return what an encoder makes of 20 events."""
    return torch.randn(20, 3), torch.zeros(20, 1), torch.randint(0, 4, (20, 1))


@pytest.mark.parametrize("kind", ["stacked", "mixed", "separate"])
def test_each_member_answers_as_it_would_alone(kind: str) -> None:
    """Whatever is computed together, and in whatever order, changes no number."""
    network = several(kind)
    given = inputs()
    together = network(*given)
    for index, weights in enumerate(network.members()):
        shape = Shape.of_weights(weights)
        alone = several(kind, 1) if kind == "separate" else build_network(binned(), [shape])
        alone.load([weights])
        torch.testing.assert_close(alone(*given)[0], together[index])


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("shape", [PLAIN, Shape(hidden=False, bins=True), Shape(hidden=True, bins=True)])
def test_the_gradient_written_by_hand_is_autograds(shape: Shape, *, wide: bool) -> None:
    """For every weight of two members, with features that are embedded and without."""
    described = replace(
        binned(),
        categories={"d": tuple(map(str, range(60 if wide else 2)))},
        network=Network(hidden=(8, 5), dropout=0.0),  # else chance would make the two differ
    )
    network = build_network(described, [shape] * 2)
    members = network.groups[0].members
    flat, layout = members.join(members.names())
    flat.normal_()
    rows = tuple(part.expand(2, *part.shape) for part in members.seen(*network.prepare(*inputs())))
    out = members.answer(*rows)
    pull = torch.randn_like(out)
    by_hand = members.blame(pull)
    flat.requires_grad_()
    members(*rows).backward(pull)
    assert flat.grad is not None
    torch.testing.assert_close(by_hand, flat.grad)
    assert (wide and shape.hidden) == ("embedding0.weight" in layout)


@pytest.mark.parametrize("kind", ["stacked", "separate"])
def test_joined_parameters_are_the_networks_own(kind: str) -> None:
    """What moves the joined tensor moves the network; what is not trained has no gradient."""
    members = several(kind).groups[0].members
    network = several(kind)
    members = network.groups[0].members
    names = members.names()
    flat, layout = members.join(names[-2:])
    out = members.answer(*(part.expand(3, *part.shape) for part in members.seen(*network.prepare(*inputs()))))
    gradients = members.blame(torch.ones_like(out))
    assert gradients.shape == flat.shape
    for name, (begin, end, _) in layout.items():
        assert bool((gradients[:, begin:end] != 0).any()) == (name in names[-2:])
    flat.zero_()
    assert all((own[name] == 0).all() for own in network.members() for name in names[-2:])


def test_arrays_survive_a_row() -> None:
    """Taken apart and put together, a row is what it was; absent arrays leave what is there."""
    members = several("stacked").groups[0].members
    flat, layout = members.join(members.names())
    arrays = taken_apart(flat[1], layout)
    assert (put_together(arrays, layout, torch.zeros_like(flat[1])) == flat[1]).all()
    assert (put_together({}, layout, flat[0]) == flat[0]).all()


def test_new_categories_find_room_and_change_nothing_else() -> None:
    """A feature that outgrew its room is given more; what was learnt about known values stays."""
    small = LearnedModel(encoder(), build_network(encoder()))
    large = replace(encoder(), categories={"d": tuple(map(str, range(40)))})
    grown = LearnedModel.of_members(large, [small.network.members()[0]])
    assert large.room > encoder().room
    examples = some(40)
    assert grown.predict(examples.numbers, examples.codes) == pytest.approx(
        small.predict(examples.numbers, examples.codes)
    )


def test_columns_come_to_be_embedded_one_after_the_other() -> None:
    """Each grows by itself: the second column that has many values moves nothing of the first, whatever their order."""
    schema = Schema(numeric=("a", "b"), boolean=("c",), categorical=("d", "e"), nullable=("b", "d"))

    def known(first: int, second: int) -> Encoder:
        sizes = {"d": first, "e": second}
        return replace(
            encoder(), schema=schema, categories={name: tuple(map(str, range(size))) for name, size in sizes.items()}
        )

    torch.manual_seed(1)
    before = LearnedModel(known(5, 40), build_network(known(5, 40)))
    examples = some(40)
    codes = np.random.default_rng(0).integers(0, [7, 42], (40, 2))
    for sizes in ((5, 90), (50, 40), (200, 90)):
        grown = LearnedModel.of_members(known(*sizes), before.network.members())
        assert grown.predict(examples.numbers, codes) == pytest.approx(before.predict(examples.numbers, codes))


def test_weights_of_columns_that_took_turns_in_one_embedding_are_read() -> None:
    """A former version's: row code * columns + column of one table, as wide for each as for the widest."""
    schema = Schema(numeric=("a", "b"), boolean=("c",), categorical=("d", "e"), nullable=("b", "d"))
    sizes = {"d": 40, "e": 90}
    made = replace(
        encoder(), schema=schema, categories={name: tuple(map(str, range(size))) for name, size in sizes.items()}
    )
    torch.manual_seed(1)
    model = LearnedModel(made, build_network(made))
    (weights,) = model.network.members()
    table = np.zeros((2 * 128, weights["embedding0.weight"].shape[1]), dtype=np.float32)
    for column in (0, 1):
        own = weights.pop(f"embedding{column}.weight")
        table[column::2][: len(own)] = own
    inner = np.concatenate([weights.pop(f"{EMBEDDED}{column}") for column in (0, 1)])
    former = dict(weights) | {"embedding.weight": table, EMBEDDED: inner}
    examples = some(40)
    codes = np.random.default_rng(0).integers(0, [42, 92], (40, 2))
    again = LearnedModel.of_members(made, [former])
    assert (again.predict(examples.numbers, codes) == model.predict(examples.numbers, codes)).all()


def test_a_mixture_averages_probabilities_by_share() -> None:
    """And scores the truth by that average."""
    network = several("mixed")
    model = LearnedModel(binned(), network, SHARES)
    examples = some(60)
    each = [LearnedModel.of_members(binned(), [own]) for own in network.members()]
    wanted = sum(share * one.predict(examples.numbers, examples.codes) for share, one in zip(SHARES, each, strict=True))
    assert model.predict(examples.numbers, examples.codes) == pytest.approx(wanted, abs=1e-6)
    scores, losses = model.score_members(examples)
    happened = np.asarray(wanted)[np.arange(60), examples.targets.astype(int)]
    assert scores.losses == pytest.approx(-np.log(happened), abs=1e-5)
    for own, one in zip(losses, each, strict=True):
        assert own == pytest.approx(one.score(examples).losses, abs=1e-5)


def test_a_mixture_of_values_averages_them() -> None:
    """In a regression."""
    described = binned("regression")
    network = several("mixed", task="regression")
    model = LearnedModel(described, network, SHARES)
    examples = some(10)
    each = [LearnedModel.of_members(described, [own]) for own in network.members()]
    wanted = sum(share * one.predict(examples.numbers, examples.codes) for share, one in zip(SHARES, each, strict=True))
    assert model.predict(examples.numbers, examples.codes) == pytest.approx(wanted)


def test_members_and_shares_travel_in_a_checkpoint() -> None:
    """What was written predicts the same when it is read."""
    model = LearnedModel(binned(), several("stacked"), SHARES)
    again = LearnedModel.from_parts(model.weights(), model.encoder.to_json())
    examples = some(30)
    assert again.predict(examples.numbers, examples.codes) == pytest.approx(
        model.predict(examples.numbers, examples.codes), abs=1e-7
    )


def test_a_member_too_many_is_refused_in_one_line() -> None:
    """A checkpoint whose tensors do not fit its shares says which."""
    tensors = LearnedModel(binned(), several("stacked", 2)).weights()
    tensors["7/layers.0.bias"] = tensors["1/layers.0.bias"]
    with pytest.raises(ValueError, match=r"7/layers\.0\.bias belongs to none of 2 members"):
        LearnedModel.from_parts(tensors, binned().to_json())
