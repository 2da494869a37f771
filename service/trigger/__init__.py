"""Stage 3: decides when a round of training starts. Pure."""
