"""Parquet and Arrow that hold the pictures → pictures with their captions."""
