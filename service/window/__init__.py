"""Stage 2: events are scored, split, and held in the window, the replay memory and the held-out slices."""
