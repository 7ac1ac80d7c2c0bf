"""Shards → what other people load: ordinary tars, or Parquet."""
