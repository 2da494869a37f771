"""Stage 1: records come in from Kafka or the embedded log and become columns, or dead letters."""
