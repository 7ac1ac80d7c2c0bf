"""A run from its first step, or its checkpoint, to its last."""
