"""CapyMOA's learners, which are MOA's on a Java machine. Runs in the environment of requirements-capymoa.txt."""

import numpy as np
from blocks import Stream, main, measure
from capymoa.base import MOAClassifier
from capymoa.classifier import AdaptiveRandomForestClassifier, StreamingRandomPatches
from capymoa.core import LabeledInstance
from capymoa.stream import Schema

TREES = 10


def capymoa(learner: type[MOAClassifier], stream: Stream) -> dict[str, float]:
    """Measure a learner with the library's default settings and ten trees; categories are nominal attributes."""
    names = [*stream.numeric, *stream.categorical]
    # MOA reads a category that is all digits as its position, so each gets a letter in front.
    values = {name: stream.categories(name) for name in stream.categorical}
    categories = {name: [f"c{value}" for value in known] for name, known in values.items()}
    schema = Schema.from_custom([*names, "label"], "label", categories | {"label": [f"k{y}" for y in stream.classes]})
    places = {name: {value: place for place, value in enumerate(known)} for name, known in values.items()}
    of_class = {y: place for place, y in enumerate(stream.classes)}
    events = []
    for row, y in zip(stream.rows, stream.labels, strict=True):
        numbers = [places[name][row[name]] if name in places else row[name] for name in names]
        instance = LabeledInstance.from_array(schema, np.array(numbers, dtype=float), of_class[y])
        assert instance.java_instance is not None  # made here, so that making it is not timed
        events.append((instance, of_class[y]))
    model = learner(schema=schema, random_seed=1, ensemble_size=TREES)
    return measure(model.predict, lambda instance, _: model.train(instance), events)


if __name__ == "__main__":
    main(
        {
            "capymoa-arf": lambda stream: capymoa(AdaptiveRandomForestClassifier, stream),
            "capymoa-srp": lambda stream: capymoa(StreamingRandomPatches, stream),
        }
    )
