"""Pairs → blocks of codes and caption ids → shards: what a worker does."""
