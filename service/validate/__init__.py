"""Stage 5: the gate, which decides whether a candidate is published. Pure."""
