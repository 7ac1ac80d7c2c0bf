"""Readers of pictures with captions: folders, tars, Parquet, emoji; each is cut into parts and read as a stream."""
