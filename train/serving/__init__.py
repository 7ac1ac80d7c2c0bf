"""A run as a server: a page, and an API that OpenAI's clients speak."""
