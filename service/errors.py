"""The error tree. Each class knows whether a retry can help and which exit code it means.

FreshetError
├── UsageError                  the user asked for something that cannot be done (exit 2)
│   ├── ConfigurationError      a configuration key is unknown, missing or out of bounds
│   │   └── DeviceMissingError  this machine does not have the accelerator that rounds are to be trained on
│   └── TableError              a data file cannot be read, or lacks a column
├── SourceUnavailableError      the broker or the embedded log does not answer (a retry can help)
│   └── SourceRefusedError      the cluster lets this client not in (a retry can help once somebody changed that)
├── StoreError
│   ├── StoreUnavailableError   the disk is full, read-only or away (a retry can help)
│   │   └── StoreBusyError      another process keeps a lock for too long (a retry can help)
│   ├── CheckpointMissingError  no checkpoint has that id
│   ├── CheckpointDamagedError  bytes on disk are not the bytes that were written
│   ├── SnapshotMismatchError   the state directory belongs to another schema, model or version
│   └── LeaseError
│       ├── LeaseHeldError      another trainer learns on this store
│       └── LeaseLostError      this trainer was superseded and must publish nothing more
└── RoundFailedError            the training worker crashed, hung, or its loss became NaN

A message says what was wrong, where, and what to do; it is shown to the user as it is.
"""


class FreshetError(Exception):
    """Anything that Freshet raises on purpose."""

    retriable = False
    exit_code = 1


class UsageError(FreshetError):
    """The command cannot be carried out as it was given."""

    exit_code = 2


class ConfigurationError(UsageError):
    """A configuration key is unknown, missing or out of bounds."""


class DeviceMissingError(ConfigurationError):
    """The device that `train.device` names cannot be used by this process; another machine may have it."""


class TableError(UsageError):
    """A data file cannot be read, or lacks a column that is needed."""


class SourceUnavailableError(FreshetError):
    """The broker or the embedded log does not answer."""

    retriable = True


class SourceRefusedError(SourceUnavailableError):
    """User, certificate, right or secret file will not do: somebody must change it. A service tries again all along."""


class StoreError(FreshetError):
    """The checkpoint store or the trainer's state refused an operation."""


class StoreUnavailableError(StoreError):
    """The store cannot be read or written right now."""

    retriable = True


class StoreBusyError(StoreUnavailableError):
    """Another process, perhaps a stopped one, keeps a lock of the store."""


class CheckpointMissingError(StoreError):
    """No checkpoint in the store has the id that was asked for."""


class CheckpointDamagedError(StoreError):
    """A checkpoint's or snapshot's bytes differ from what its manifest vouches for."""


class SnapshotMismatchError(StoreError):
    """A state directory was written under another schema, model or format version."""


class LeaseError(StoreError):
    """The store's lease does not allow this trainer to go on."""


class LeaseHeldError(LeaseError):
    """Another trainer holds the lease; this one may stand by."""

    retriable = True


class LeaseLostError(LeaseError):
    """Another trainer took the lease over; whatever this one still holds is void."""


class RoundFailedError(FreshetError):
    """A round of training ended without a candidate.

    ``cause`` is one word for metrics: ``crash``, ``hang``, ``deadline``, ``not_finite`` or ``error``.
    """

    def __init__(self, message: str, cause: str) -> None:
        super().__init__(message)
        self.cause = cause
