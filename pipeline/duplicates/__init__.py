"""Which pictures and captions are duplicates or near-duplicates, and which pairs of them are kept."""
