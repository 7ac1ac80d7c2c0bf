"""The layout of Chinese-CLIP, TSV and LMDB → pictures with their captions."""
