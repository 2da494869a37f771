"""Where a recording is to begin at the model that `pretrain` has made, as a live stream would."""

from collections.abc import Callable

from service.errors import CheckpointDamagedError, StoreError
from service.learner.learner import Learner
from service.learner.roles import Standing
from service.learner.state import resume_from
from service.model.encoder import Encoder
from service.settings import Settings
from service.store.checkpoints import Checkpoint, CheckpointStore
from service.store.fingerprint import difference, model_values, model_values_of, schema_values, schema_values_of

TRIGGER = "pretrain"


def begin_pretrained(learner: Learner, say: Callable[[str], None]) -> str | None:
    """Let a new learner go on from the store's pre-trained model; return its id, None where it has to make its own.

    ``say`` is told which it is, unless there is no such model. The store is only read. Raises StoreError for one that
    cannot be read.
    """
    settings = learner.settings
    store = CheckpointStore(settings.store.path, settings.store.keep)
    made = [entry.id for entry in store.entries() if entry.manifest is not None and entry.manifest.trigger == TRIGGER]
    if not made:
        return None
    where = f"{settings.store.path}: the pre-trained model {made[0]}"
    try:
        checkpoint = store.read(made[0])
        differs = _difference(settings, checkpoint)
        if differs:
            say(f"{where} is not used: it was made under another configuration ({differs})")
            return None
        standing = Standing.from_parts(made[0], checkpoint.tensors, checkpoint.encoder)
        resume_from(learner, standing, standing, checkpoint.encoder)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointDamagedError(f"{where}: its parts do not fit together: {error}") from None
    except StoreError as error:
        raise StoreError(f"{error}; choose another store.path to begin without a model") from None
    say(f"{where} serves first")
    return made[0]


def _difference(settings: Settings, checkpoint: Checkpoint) -> str:
    """Return in which settings those of a checkpoint differ, nothing where they do not."""
    encoder = Encoder.from_json(checkpoint.encoder)
    made_for = schema_values_of(encoder.task, encoder.schema) | model_values_of(encoder.network)
    return difference(made_for, schema_values(settings) | model_values(settings))
