"""River's learners. Runs in the environment of requirements-river.txt: PEER FILE LABEL [LIMIT]."""

from blocks import Stream, main, measure
from river import compose, forest, linear_model, preprocessing, tree
from river.base import Classifier

TREES = 10


def one_by_one(model: Classifier, stream: Stream) -> dict[str, float]:
    """Measure a learner by its methods for single events; of two classes the second is true."""
    classes = stream.classes
    labels = [label == classes[-1] for label in stream.labels] if len(classes) <= 2 else stream.labels
    return measure(model.predict_one, model.learn_one, list(zip(stream.rows, labels, strict=True)))


def logistic_regression(stream: Stream) -> dict[str, float]:
    """Logistic regression on standardised numbers and one-hot categories; softmax above two classes."""
    encode = preprocessing.StandardScaler()
    if stream.categorical:
        encode = compose.Select(*stream.categorical) | preprocessing.OneHotEncoder()
        if stream.numeric:
            encode += compose.Select(*stream.numeric) | preprocessing.StandardScaler()
    binary = len(stream.classes) <= 2
    return one_by_one(
        encode | (linear_model.LogisticRegression() if binary else linear_model.SoftmaxRegression()), stream
    )


def hoeffding_adaptive_tree(stream: Stream) -> dict[str, float]:
    """Take one tree that grows anew where it drifts (Bifet & Gavalda 2009); categories as they are."""
    return one_by_one(tree.HoeffdingAdaptiveTreeClassifier(nominal_attributes=stream.categorical, seed=1), stream)


def adaptive_random_forest(stream: Stream) -> dict[str, float]:
    """Ten such trees on resampled events (Gomes et al. 2017)."""
    return one_by_one(forest.ARFClassifier(TREES, nominal_attributes=stream.categorical, seed=1), stream)


if __name__ == "__main__":
    main(
        {
            "river-lr": logistic_regression,
            "river-hat": hoeffding_adaptive_tree,
            "river-arf": adaptive_random_forest,
        }
    )
