"""A decoded picture → squares for a tokenizer: which part (`boxes`), and how it becomes pixels (`resample`)."""
