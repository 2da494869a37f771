"""Where the learner stands in the log: positions, what became of offsets, and from where the next model learns."""

from service.learner.candidate import Candidate
from service.learner.fates import Fates, Moment
from service.learner.runs import Runs
from service.observer import Observer
from service.records import Partition
from service.settings import Settings


class Whereabouts:
    """The part of a learner that knows offsets and no events.

    ``positions`` are the next offsets to read, ``begins`` the first ones ever read, ``spans`` the first that came since
    the serving model learnt; ``topics`` the identity of each topic; ``counts`` what was read, over the state's life.
    """

    def __init__(self, settings: Settings, observer: Observer) -> None:
        self.settings = settings
        self.observer = observer
        self.positions: dict[Partition, int] = {}
        self.spans: dict[Partition, int] = {}
        self.begins: dict[Partition, int] = {}
        self.topics: dict[str, str] = {}
        self.fates = Fates(settings.window.events)
        self.counts = {"accepted": 0, "refused": 0, "predicted": 0, "rounds": 0, "evicted_unlearnt": 0}
        self._rewound: set[Partition] = set()

    def pass_over(self, source: Partition, first: int, last: int) -> None:
        """Note records that the log deleted before they could be read: they have no fate."""
        self.fates.gone(source, first, last)

    def rewind(self, source: Partition, first: int, last: int) -> None:
        """Go back to ``first``: offsets up to ``last`` were read once, and will be given to other records now."""
        self.fates.rewind(source, first, last)
        self.positions[source] = first
        self.spans[source] = min(first, self.spans.get(source, first))
        self.begins[source] = first
        self._rewound.add(source)

    def settle(self) -> tuple[list[Partition], Runs]:
        """Return the fates settled since the last call, for the ledger, with the partitions that they index."""
        before = self.fates.unlearnt
        settled = self.fates.drain(self.reversible_to())
        self.counts["evicted_unlearnt"] = self.fates.unlearnt
        self.observer.evicted_unlearnt(self.fates.unlearnt - before)
        return list(self.fates.partitions), settled

    def reversible_to(self) -> Moment | None:
        """Return the earliest moment that learning may go back to, None if what is learnt is learnt."""
        return None

    def advance(self, source: Partition, first: int, following: int, refused: int) -> None:
        """Note that a partition's records ``first`` to ``following`` (excluded) were taken in, some refused."""
        self.begins.setdefault(source, first)
        self.spans.setdefault(source, first)
        self.positions[source] = following
        self.counts["refused"] += refused

    def begin_at(self, topic: str, partition: int, offset: int) -> None:
        """Go on with a partition at an offset: what lies before it is learnt already."""
        source = Partition(topic, partition)
        self.positions[source] = self.spans[source] = offset

    @property
    def room(self) -> int:
        """How many learnable events the window can take before it loses one that no round has trained on."""
        return max(self.settings.window.events - self.fates.waiting, 0)

    def follows(self, candidate: Candidate) -> dict[Partition, int]:
        """Return where each partition goes on behind a candidate; not of one that was rewound since it was trained."""
        return {source: offset for source, offset in candidate.follows.items() if source not in self._rewound}
