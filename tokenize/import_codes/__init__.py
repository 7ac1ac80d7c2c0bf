"""Codes that others tokenized → shards: `tuwen import`."""
