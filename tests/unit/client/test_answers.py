"""The client's forms beside the server's: what one says the other has a name for."""

import msgspec
import pytest
from pydantic import BaseModel

from service.client import answers, errors
from service.serve import control_forms, schemas
from service.store.manifest import DataRange, Following, Learnt, Manifest


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (answers.CheckpointName, schemas.CheckpointName),
        (answers.Prediction, schemas.Prediction),
        (answers.PredictAnswer, schemas.PredictAnswer),
        (answers.RejectedEvent, schemas.RejectedEvent),
        (answers.EventsAnswer, schemas.EventsAnswer),
        (answers.ServingStatus, schemas.ServingStatus),
        (answers.Latest, schemas.Latest),
        (answers.Pinned, schemas.Pinned),
        (answers.Shadowed, schemas.Shadowed),
        (answers.StatusAnswer, schemas.StatusAnswer),
        (answers.CheckpointEntry, schemas.CheckpointEntry),
        (answers.PromoteAnswer, control_forms.PromoteAnswer),
        (answers.PinAnswer, control_forms.PinAnswer),
        (answers.UnpinAnswer, control_forms.UnpinAnswer),
        (answers.HistoryEntry, control_forms.HistoryEntry),
        (answers.DataRange, DataRange),
        (answers.Following, Following),
        (answers.Manifest, Manifest),
        (errors.FieldFault, schemas.FieldFault),
    ],
)
def test_every_key_of_an_answer_has_its_attribute(mine: type[msgspec.Struct], theirs: type[BaseModel]) -> None:
    """Of the same name; a key that the server adds is passed over until it stands here, too."""
    assert set(mine.__struct_fields__) == set(theirs.model_fields)


def test_an_explanation_can_also_be_that_there_is_none() -> None:
    """Both of the server's forms are one here."""
    theirs = set(schemas.Explanation.model_fields) | set(schemas.NoExplanation.model_fields)
    assert set(answers.Explanation.__struct_fields__) == theirs


def test_only_what_is_for_measuring_has_none() -> None:
    """The times of each single event stay with those who know how they are written."""
    assert set(Learnt.model_fields) - set(answers.Learnt.__struct_fields__) == {"times"}
