"""Shards to a trained text-to-image transformer, and its pictures."""
