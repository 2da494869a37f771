"""What a regressor must beat: guesses that know no features. TASK PEER FILE LABEL [LIMIT]; needs nothing but Python."""

from blocks import Stream, main, measure_errors


class Mean:
    """The mean of the labels so far."""

    def __init__(self) -> None:
        self.total, self.events = 0.0, 0

    def predict(self, _: object) -> float:
        """Return the mean, at first 0."""
        return self.total / max(1, self.events)

    def learn(self, _: object, value: float) -> None:
        """Take in one label."""
        self.total, self.events = self.total + value, self.events + 1


class Last:
    """The newest label that was learnt: the last one of the block before."""

    def __init__(self) -> None:
        self.value = 0.0

    def predict(self, _: object) -> float:
        """Return it, at first 0."""
        return self.value

    def learn(self, _: object, value: float) -> None:
        """Keep the label."""
        self.value = value


def guessed(guess: Mean | Last, stream: Stream) -> dict[str, float | str]:
    """Measure a guess."""
    return measure_errors(guess.predict, guess.learn, list(zip(stream.rows, stream.values, strict=True)))


if __name__ == "__main__":
    main({}, {"mean": lambda stream: guessed(Mean(), stream), "last": lambda stream: guessed(Last(), stream)})
