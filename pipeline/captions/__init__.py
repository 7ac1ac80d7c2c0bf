"""Captions: cleaned for a model to read, or dropped for a reason."""
