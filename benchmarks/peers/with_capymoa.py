"""CapyMOA's learners, which are MOA's on a Java machine. Runs in the environment of requirements-capymoa.txt."""

import statistics

import numpy as np
from blocks import BLOCK, Stream, main, measure, measure_errors
from capymoa.base import MOAClassifier, MOARegressor
from capymoa.classifier import AdaptiveRandomForestClassifier, StreamingRandomPatches
from capymoa.core import LabeledInstance, RegressionInstance
from capymoa.regressor import FIMTDD, SOKNL, AdaptiveRandomForestRegressor
from capymoa.stream import Schema

TREES = 10


def features(stream: Stream) -> tuple[list[str], dict[str, list[str]], list[np.ndarray]]:
    """Return the names of the features, the values of those that are nominal, and each event as numbers [features]."""
    names = [*stream.numeric, *stream.categorical]
    values = {name: stream.categories(name) for name in stream.categorical}
    places = {name: {value: place for place, value in enumerate(known)} for name, known in values.items()}
    rows = [[places[name][row[name]] if name in places else row[name] for name in names] for row in stream.rows]
    # MOA reads a category that is all digits as its position, so each gets a letter in front.
    categories = {name: [f"c{value}" for value in known] for name, known in values.items()}
    return names, categories, [np.array(row, dtype=float) for row in rows]


def capymoa(learner: type[MOAClassifier], stream: Stream) -> dict[str, float]:
    """Measure a learner with the library's default settings and ten trees; categories are nominal attributes."""
    names, categories, rows = features(stream)
    schema = Schema.from_custom([*names, "label"], "label", categories | {"label": [f"k{y}" for y in stream.classes]})
    of_class = {y: place for place, y in enumerate(stream.classes)}
    events = []
    for row, y in zip(rows, stream.labels, strict=True):
        instance = LabeledInstance.from_array(schema, row, of_class[y])
        assert instance.java_instance is not None  # made here, so that making it is not timed
        events.append((instance, of_class[y]))
    model = learner(schema=schema, random_seed=1, ensemble_size=TREES)
    return measure(model.predict, lambda instance, _: model.train(instance), events)


def regressor(
    learner: type[MOARegressor], stream: Stream, *, scaled: bool = False, **settings: int
) -> dict[str, float | str]:
    """Measure a regressor with the library's default settings and those given; categories are nominal attributes.

    ``scaled`` shows it labels about 0, by mean and deviation of the first block, whose predictions don't count: a tree
    that a forest begins anew predicts 0 until it has learnt.
    """
    names, categories, rows = features(stream)
    schema = Schema.from_custom([*names, "label"], "label", categories)
    first = stream.values[:BLOCK] if scaled else [-1.0, 1.0]  # as they are: mean 0, deviation 1
    mean, deviation = statistics.fmean(first), statistics.pstdev(first) or 1.0
    events = []
    for row, y in zip(rows, stream.values, strict=True):
        instance = RegressionInstance.from_array(schema, row, (y - mean) / deviation)
        assert instance.java_instance is not None  # made here, so that making it is not timed
        events.append((instance, y))
    model = learner(schema=schema, random_seed=1, **settings)
    return measure_errors(
        lambda instance: model.predict(instance) * deviation + mean,
        lambda instance, _: model.train(instance),
        events,
    )


if __name__ == "__main__":
    main(
        {
            "capymoa-arf": lambda stream: capymoa(AdaptiveRandomForestClassifier, stream),
            "capymoa-srp": lambda stream: capymoa(StreamingRandomPatches, stream),
        },
        {
            "capymoa-arf": lambda stream: regressor(
                AdaptiveRandomForestRegressor, stream, scaled=True, ensemble_size=TREES
            ),
            "capymoa-soknl": lambda stream: regressor(SOKNL, stream, ensemble_size=TREES),
            "capymoa-fimtdd": lambda stream: regressor(FIMTDD, stream),
        },
    )
