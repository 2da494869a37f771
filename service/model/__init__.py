"""Below the stages: features, vocabulary, normalisation and networks; what train, window and serve all need."""
