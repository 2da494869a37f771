"""River's learners. Runs in the environment of requirements-river.txt: TASK PEER FILE LABEL [LIMIT]."""

from collections.abc import Callable
from functools import partial

from blocks import Stream, main, measure, measure_errors
from river import compose, forest, linear_model, optim, preprocessing, tree
from river.base import Classifier, Regressor, Transformer

TREES = 10


def one_by_one(model: Classifier, stream: Stream) -> dict[str, float]:
    """Measure a learner by its methods for single events; of two classes the second is true."""
    classes = stream.classes
    labels = [label == classes[-1] for label in stream.labels] if len(classes) <= 2 else stream.labels
    return measure(model.predict_one, model.learn_one, list(zip(stream.rows, labels, strict=True)))


def encoding(stream: Stream) -> Transformer:
    """Return what standardises numbers and makes categories one-hot."""
    if not stream.categorical:
        return preprocessing.StandardScaler()
    encode = compose.Select(*stream.categorical) | preprocessing.OneHotEncoder()
    if stream.numeric:
        encode += compose.Select(*stream.numeric) | preprocessing.StandardScaler()
    return encode


def logistic_regression(stream: Stream) -> dict[str, float]:
    """Logistic regression on standardised numbers and one-hot categories; softmax above two classes."""
    binary = len(stream.classes) <= 2
    model = linear_model.LogisticRegression() if binary else linear_model.SoftmaxRegression()
    return one_by_one(encoding(stream) | model, stream)


def hoeffding_adaptive_tree(stream: Stream) -> dict[str, float]:
    """Take one tree that grows anew where it drifts (Bifet & Gavalda 2009); categories as they are."""
    return one_by_one(tree.HoeffdingAdaptiveTreeClassifier(nominal_attributes=stream.categorical, seed=1), stream)


def adaptive_random_forest(stream: Stream) -> dict[str, float]:
    """Ten such trees on resampled events (Gomes et al. 2017)."""
    return one_by_one(forest.ARFClassifier(TREES, nominal_attributes=stream.categorical, seed=1), stream)


def linear_regression(optimiser: optim.base.Optimizer, stream: Stream) -> dict[str, float | str]:
    """Linear regression on standardised numbers and one-hot categories.

    An error counts as one standard deviation at most: by the library's default of 1e12 the weights grow without bounds
    on most real streams, where a feature that was the same for long changes.
    """
    return regressor(encoding(stream), linear_model.LinearRegression(optimiser, clip_gradient=1.0), stream)


def regression_trees(make: Callable[..., Regressor], stream: Stream) -> dict[str, float | str]:
    """Trees with categories as they are; the linear models of their leaves see standardised numbers alone."""
    scaled = compose.Select(*stream.numeric) | preprocessing.StandardScaler()
    leaf = compose.Select(*stream.numeric) | linear_model.LinearRegression()
    model = make(nominal_attributes=stream.categorical, leaf_model=leaf, seed=1)
    return regressor(scaled + compose.Select(*stream.categorical) if stream.categorical else scaled, model, stream)


def regressor(encode: Transformer, model: Regressor, stream: Stream) -> dict[str, float | str]:
    """Measure a regressor; its label is standardised, too, since steps of a fixed size diverge on thousands."""
    whole = encode | preprocessing.TargetStandardScaler(model)
    return measure_errors(whole.predict_one, whole.learn_one, list(zip(stream.rows, stream.values, strict=True)))


if __name__ == "__main__":
    main(
        {
            "river-lr": logistic_regression,
            "river-hat": hoeffding_adaptive_tree,
            "river-arf": adaptive_random_forest,
        },
        {
            "river-lr": lambda stream: linear_regression(optim.SGD(), stream),
            "river-lr-adam": lambda stream: linear_regression(optim.Adam(0.01), stream),
            "river-hat": lambda stream: regression_trees(tree.HoeffdingAdaptiveTreeRegressor, stream),
            "river-arf": lambda stream: regression_trees(partial(forest.ARFRegressor, TREES), stream),
        },
    )
