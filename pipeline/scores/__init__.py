"""Scores that a model gives to pictures, or to pictures with their captions; each is one file."""
