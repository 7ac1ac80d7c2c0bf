"""A finished corpus, read again: its decision table, its kept pairs, and their splits."""
