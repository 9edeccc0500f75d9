"""Running it: health, documents, workers, the one-command start."""
