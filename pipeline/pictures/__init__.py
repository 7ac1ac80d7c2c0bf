"""Bytes of a picture → upright RGB, or why not; what one decode measures; the rules on it."""
