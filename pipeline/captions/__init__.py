"""A caption as it was found → as a model should read it, or why not."""
