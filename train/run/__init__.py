"""The folder of a run: what it was asked to be, its checkpoints and its logs."""
