"""Codes are appended, never changed; labels are open until they are fixed."""

from service.model.vocabulary import FIRST_CODE, MISSING, UNKNOWN, Categories, Labels
from service.settings import Settings


def encode(categories: Categories, values: list[str | None], *, grow: bool) -> list[int]:
    """Return the codes of one feature's values."""
    return categories.encode([values], grow=grow, rows=len(values))[:, 0].tolist()


def test_new_values_get_the_next_codes() -> None:
    """In order of appearance, from the first free one; missing has its own."""
    categories = Categories(["colour"], capacity=10)
    assert encode(categories, ["red", None, "blue", "red"], grow=True) == [
        FIRST_CODE,
        MISSING,
        FIRST_CODE + 1,
        FIRST_CODE,
    ]


def test_without_growing_a_new_value_is_unknown() -> None:
    """Serving never changes the vocabulary."""
    categories = Categories(["colour"], capacity=10)
    encode(categories, ["red"], grow=True)
    assert encode(categories, ["green", "red"], grow=False) == [UNKNOWN, FIRST_CODE]
    assert not categories.known("colour", "green")


def test_beyond_capacity_values_share_the_unknown_bucket() -> None:
    """An identifier by mistake costs bounded memory."""
    categories = Categories(["id"], capacity=2)
    assert encode(categories, ["a", "b", "c", "d", "a"], grow=True) == [2, 3, UNKNOWN, UNKNOWN, 2]
    assert categories.sizes == (4,)


def test_categories_survive_json() -> None:
    """A checkpoint reads text as it was read in training."""
    categories = Categories(["x", "y"], capacity=5)
    categories.encode([["a", "b"], ["c", "c"]], grow=True, rows=2)
    copy = Categories.from_json(categories.to_json(), 5)
    again = copy.encode([["b", "z"], ["c", None]], grow=False, rows=2)
    assert again.tolist() == [[3, 2], [UNKNOWN, MISSING]]


def test_labels_are_learnt_until_fixed() -> None:
    """The first checkpoint closes the set."""
    labels = Labels.of(Settings(task="multiclass"))
    assert [labels.index(name) for name in ("b", "a", "b")] == [0, 1, 0]
    labels.fix()
    assert labels.index("c") is None
    assert labels.names == ("b", "a")


def test_a_binary_task_takes_no_third_label() -> None:
    """Even before the first checkpoint."""
    labels = Labels.of(Settings())
    assert [labels.index(name) for name in ("x", "y", "z")] == [0, 1, None]


def test_labels_survive_json() -> None:
    """Open stays open, fixed stays fixed."""
    labels = Labels.of(Settings(task="multiclass"))
    labels.index("a")
    copy = Labels.from_json(labels.to_json())
    assert copy.index("b") == 1
    copy.fix()
    assert Labels.from_json(copy.to_json()).index("c") is None
