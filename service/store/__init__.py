"""Below the stages: checkpoints, snapshots, the lease and the journal of decisions, all on a file system."""
