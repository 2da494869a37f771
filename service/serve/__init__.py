"""Stage 6: predictions over HTTP from the latest validated checkpoint."""
