"""Names of spans and attributes: OpenTelemetry's where its conventions have one, else below `freshet.`."""

REQUEST_ID = "freshet.request.id"
CHECKPOINT = "freshet.checkpoint.id"
INSTANCES = "freshet.request.instances"

BATCH = "batch"
BATCH_INSTANCES = "freshet.batch.instances"
BATCH_REQUESTS = "freshet.batch.requests"

SWAP = "swap"
SWAP_OUTCOME = "freshet.swap.outcome"

ROUND = "round"
ROUND_NUMBER = "freshet.round.number"
ROUND_TRIGGER = "freshet.round.trigger"
ROUND_PARENT = "freshet.round.parent.checkpoint.id"
ROUND_OUTCOME = "freshet.round.outcome"
ROUND_CPU_SECONDS = "freshet.round.cpu_seconds"
ROUND_LOSS = "freshet.round.training_loss"
GATE_DECISION = "freshet.gate.decision"
GATE_REASON = "freshet.gate.reason"
WORKER_RESTARTED = "worker restarted"
WORKER_CAUSE = "freshet.worker.cause"
