"""The alerts whose sections of docs/RUNBOOK.md panels name; once, since rules and runbook are written elsewhere."""

from enum import StrEnum


class Section(StrEnum):
    """An alert's name, which is its section's heading."""

    LAG = "FreshetLagGrowing"
    PARTITION = "FreshetPartitionStuck"
    REJECTIONS = "FreshetRejectionsInARow"
    ROLLBACK = "FreshetRollback"
    DRIFT = "FreshetDriftWithoutRecovery"
    STALE = "FreshetModelStale"
    REFUSED = "FreshetDeadLetterShare"
    WORKER = "FreshetWorkerRestarts"
    STORE = "FreshetStoreUnreachable"
    SERVER = "FreshetServerNotReady"
    TRAINER = "FreshetTrainerNotReady"
    PAUSED = "FreshetTrainingPaused"
    BELOW_FROZEN = "FreshetChampionBelowFrozen"
    ROUNDS_FAIL = "FreshetRoundsFail"
    SUSPICION = "FreshetSuspicion"
    DEAD_LETTERS = "FreshetDeadLettersFail"
