"""Position → row → batch: the stream of a training, and the coins of its positions."""
