"""Rows of codes and caption ids ↔ the bytes of a WebDataset tar, read again as one verified array."""
