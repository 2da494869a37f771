"""service/ingest/kafka_topics.py."""

from uuid import UUID, uuid4

import pytest

from service.ingest.kafka_topics import ABSENT_SECONDS, Topics


class Cluster:
    """What a client knows of a cluster: the topics that are there, and their ids."""

    def __init__(self, **ids: UUID | None) -> None:
        self.ids = ids

    def partitions_for_topic(self, name: str) -> set[int] | None:
        """Return the partitions' numbers, None if there is no such topic."""
        return {0} if name in self.ids else None

    def topic_id(self, name: str) -> UUID | None:
        """Return the id, None if the broker is too old to tell."""
        return self.ids.get(name)


@pytest.fixture
def now() -> list[float]:
    """Return a clock's time, which tests set."""
    return [0.0]


@pytest.fixture
def topics(now: list[float]) -> Topics:
    """Return two topics under that clock."""
    return Topics(["a", "b"], lambda: now[0])


def test_no_topic_is_a_problem_after_a_while(topics: Topics, now: list[float]) -> None:
    """A client knows nothing at first; who comes back in time is no problem, and the next absence begins anew."""
    assert topics.absent(Cluster()) is None
    now[0] += ABSENT_SECONDS / 2
    assert topics.absent(Cluster(a=None, b=None)) is None
    now[0] += ABSENT_SECONDS
    assert topics.absent(Cluster()) is None
    now[0] += ABSENT_SECONDS
    assert topics.absent(Cluster()) == "there is no topic a or b yet: create it, or set source.topic"


def test_one_topic_of_several_is_logged_once(
    topics: Topics, now: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are read; the missing one is named again only after it was there."""
    some, every = Cluster(a=None), Cluster(a=None, b=None)
    for cluster in (some, some, some, every, some, some):
        assert topics.absent(cluster) is None
        now[0] += ABSENT_SECONDS
    assert capsys.readouterr().out.count("some topics do not exist") == 2


def test_a_topic_with_another_id_is_a_new_one_once(topics: Topics) -> None:
    """Neither an absence, nor an old broker without ids, nor the id of nothing is a change."""
    first, second, third = uuid4(), uuid4(), uuid4()
    for ids, anew in (
        ({"a": first, "b": third}, []),
        ({"a": first, "b": third}, []),
        ({"b": third}, []),
        ({"a": UUID(int=0), "b": third}, []),
        ({"a": second, "b": third}, ["a"]),
        ({"a": second, "b": third}, []),
    ):
        assert topics.made_anew(Cluster(**ids)) == anew


def test_a_topic_made_anew_between_two_lives_is_noticed(topics: Topics) -> None:
    """The ids of an earlier life are taken over with its positions."""
    old, new = uuid4(), uuid4()
    assert topics.made_anew(Cluster(a=old)) == []
    later = Topics(["a", "b"])
    later.known(topics.ids())
    assert later.made_anew(Cluster(a=new)) == ["a"]
    assert later.ids() == {"a": str(new)}
