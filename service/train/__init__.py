"""Stage 4: a round of training, a pure function of a directory, in a process of its own."""
