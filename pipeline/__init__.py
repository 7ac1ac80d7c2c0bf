"""Sources to a clean, deduplicated corpus in which every pair has a verdict."""
